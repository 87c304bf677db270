"""End to end on the embedded model: news in context help it, and training puts them into the weights."""

from __future__ import annotations

from pathlib import Path

import pytest

import sys2ft
from sys2ft.models import DEFAULT_MODEL
from sys2ft.runs import read_jsonl

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(300)]


def test_the_embedded_model_learns_a_news(tmp_path: Path) -> None:
    news = sys2ft.bundled_news("demo")[:2]
    result = sys2ft.run(
        news,
        model=DEFAULT_MODEL,
        out=tmp_path / "run",
        generate=sys2ft.GenerateSettings(protocols=("naive",), samples_per_news=8),
        train=sys2ft.TrainSettings(epochs=2, batch_size=4, learning_rate=1e-3),
        evaluate=sys2ft.EvaluateSettings(scorings=("cloze", "direct"), direct_tokens=8),
    )
    rows = [
        sys2ft.Prediction.from_dict(row)
        for subject in ("base", "naive")
        for row in read_jsonl(tmp_path / "run" / "predictions" / f"{subject}.jsonl")
    ]

    def accuracy(subject: str, condition: str) -> float:
        graded = [r.correct for r in rows if (r.subject, r.condition, r.scoring) == (subject, condition, "cloze")]
        assert len(graded) == sum(len(item.questions) for item in news)
        return sum(map(bool, graded)) / len(graded)

    def likelihood(subject: str, kind: str) -> float:
        """Mean nats a token of the right answers to the questions of a kind, closed book."""
        found = [
            r.detail["choices"][r.expected] / r.detail["tokens"][list(r.detail["choices"]).index(r.expected)]
            for r in rows
            if (r.subject, r.condition, r.scoring, r.kind) == (subject, "closed_book", "cloze", kind)
        ]
        assert len(found) == len(news)
        return sum(found) / len(found)

    assert accuracy("base", "in_context") > accuracy("base", "closed_book")
    assert likelihood("naive", "recall") > likelihood("base", "recall") + 0.3
    answers = [r.said for r in rows if r.subject == "base" and r.scoring == "direct" and r.condition == "in_context"]
    assert all(answers)
    assert "base" in result.table()
    assert result.report.is_file()
    assert len(list((tmp_path / "run" / "adapters" / "naive").iterdir())) == 2
