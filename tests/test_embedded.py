"""End to end on the embedded model: news in context help it, and training puts them into the weights."""

from __future__ import annotations

from pathlib import Path

import pytest

import sys2ft
from sys2ft.models import DEFAULT_MODEL
from sys2ft.runs import read_jsonl

pytestmark = [pytest.mark.embedded, pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_embedded_model_learns_a_news(tmp_path: Path) -> None:
    bundled = sys2ft.bundled_news("demo")
    news = [bundled[0], bundled[-1]]
    result = sys2ft.run(
        news,
        model=DEFAULT_MODEL,
        out=tmp_path / "run",
        generate=sys2ft.GenerateSettings(protocols=("naive",), samples_per_news=4),
        train=sys2ft.TrainSettings(adapters="per-news", epochs=2, batch_size=4, learning_rate=2e-3),
        evaluate=sys2ft.EvaluateSettings(scorings=("cloze", "direct"), direct_tokens=4),
    )
    rows = [
        sys2ft.Prediction.from_dict(row)
        for subject in ("base", "naive")
        for row in read_jsonl(tmp_path / "run" / "predictions" / f"{subject}.jsonl")
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
    assert all(r.said for r in rows if r.scoring == "direct")
    assert result.report.is_file()
    assert "naive" in result.table()
    adapters = [p.name for p in (tmp_path / "run" / "adapters" / "naive").iterdir()]
    assert sorted(adapters) == sorted(item.id for item in news)
