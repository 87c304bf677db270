"""End to end on the embedded model, by the notebook: news in context help it, and training puts them in the weights."""

from __future__ import annotations

from pathlib import Path

import pytest

import sys2ft
from sys2ft.runs import read_jsonl

pytestmark = [pytest.mark.embedded, pytest.mark.slow, pytest.mark.timeout(300)]

NOTEBOOK = Path(__file__).resolve().parent.parent / "examples" / "quickstart.ipynb"


def test_the_notebook_puts_news_into_the_embedded_model(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "kept without outputs"
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = ["".join(out.get("text", "") for out in cell.get("outputs", ())) for cell in notebook.cells]
    bundled = sys2ft.bundled_news("demo")
    news = [bundled[0], bundled[-1]]
    folder = tmp_path / "quickstart-run"
    rows = [
        sys2ft.Prediction.from_dict(row)
        for subject in ("base", "naive")
        for row in read_jsonl(folder / "predictions" / f"{subject}.jsonl")
    ]

    def cloze(subject: str, condition: str) -> list[sys2ft.Prediction]:
        found = [r for r in rows if (r.subject, r.condition, r.scoring) == (subject, condition, "cloze")]
        assert len(found) == sum(len(item.questions) for item in news)
        return found

    def likelihood(subject: str, condition: str) -> float:
        """Mean log-likelihood (nats a token) of the right answers to the questions of recall."""
        found = [
            r.detail["choices"][r.expected] / r.detail["tokens"][list(r.detail["choices"]).index(r.expected)]
            for r in cloze(subject, condition)
            if r.kind == "recall"
        ]
        assert found
        return sum(found) / len(found)

    assert likelihood("base", "in_context") > likelihood("base", "closed_book") + 0.3
    assert likelihood("naive", "closed_book") > likelihood("base", "closed_book") + 0.3
    assert sum(map(bool, (r.correct for r in cloze("base", "in_context")))) > 0
    assert (folder / "report.html").is_file()
    assert any("naive" in text and "closed book" in text for text in printed), "the table"
    assert "base:" in printed[-2] and "adapter:" in printed[-2]
    adapters = [p.name for p in (folder / "adapters" / "naive").iterdir()]
    assert sorted(adapters) == sorted(item.id for item in news)
