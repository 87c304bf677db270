"""What the page shows of folders, as plain data: the run, its facts, a ledger, studies. Nothing is computed twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sys2ft.errors import SettingsError
from sys2ft.files import damage_named, read_json, read_jsonl
from sys2ft.languages import language_of
from sys2ft.ledger import Ledger
from sys2ft.report import headline, read_artifacts
from sys2ft.report.artifacts import BASE, Artifacts
from sys2ft.report.heat import LEVELS, heat
from sys2ft.report.summary import Summary, summarise_artifacts
from sys2ft.statistics import Score

Record = dict[str, Any]


def run_view(folder: Path) -> Record:
    """The run: verdict, key numbers, news items with their questions, and how each was answered.

    Raises UserError if the folder is no run folder, or a file in it is damaged.
    """
    artifacts = read_artifacts(folder)
    summary = summarise_artifacts(artifacts)
    verdict, sentences = headline(summary)
    answered = _answered(artifacts, summary.headline)
    return {
        "name": summary.name,
        "model": summary.model,
        "verdict": verdict,
        "sentences": sentences,
        "missing": list(summary.missing),
        "best": summary.best,
        "headline": summary.headline,
        "rates": _rates(summary),
        "news": [_news(news, answered) for news in artifacts.news],
    }


def _rates(summary: Summary) -> Record:
    """Accuracy of the base closed book and in context, and of each protocol closed book; None: not known."""
    rows = {row.subject: row for row in summary.block().rows}
    return {
        "base": _score(rows[BASE].closed_book),
        "in_context": _score(rows[BASE].in_context),
        "tuned": {name: _score(row.closed_book) for name, row in rows.items() if name != BASE},
    }


def _score(measured: object) -> Record | None:
    if not isinstance(measured, Score):
        return None
    return {"estimate": measured.estimate, "low": measured.low, "high": measured.high}


def _news(news: Record, answered: dict[tuple[str, int], Record]) -> Record:
    questions = [
        {
            "question": question["question"],
            "answer": question["answer"],
            "choices": question.get("choices", []),
            "kind": question.get("kind"),
            "answered": answered.get((news["id"], index), {}),
        }
        for index, question in enumerate(news["questions"])
    ]
    brief = language_of(news["news"]).prompts.text("ask_direct")
    return {"id": news["id"], "news": news["news"], "questions": questions, "brief": brief}


def news_rows(folder: Path) -> list[Record]:
    """The news items of a run, as its file has them."""
    return read_jsonl(folder / "news.jsonl")


def _answered(artifacts: Artifacts, headline: str) -> dict[tuple[str, int], Record]:
    """Whether each question was answered right: by the base closed book and in context, and by each protocol."""
    table: dict[tuple[str, int], Record] = {}
    for subject, rows in artifacts.predictions.items():
        for row in rows:
            if row["scoring"] != headline:
                continue
            own = table.setdefault((row["news_id"], row["question"]), {})
            if subject == BASE:
                own["base" if row["condition"] == "closed_book" else "in_context"] = row["correct"]
            elif row["condition"] == "closed_book":
                own.setdefault("tuned", {})[subject] = row["correct"]
    return table


def facts_view(folder: Path) -> Record:
    """Each news item's text in pieces, with the number of kept elements that cover each fact, by protocol."""
    found = heat(read_artifacts(folder), most=None)
    if found is None:
        return {"levels": LEVELS, "news": []}
    return {"levels": LEVELS, "news": [{"id": name, "rows": list(map(asdict, rows))} for name, rows in found.news]}


def ledger_view(folder: Path) -> Record:
    """The entries of a ledger, and the accuracy on the news items of each after each later one.

    Raises SettingsError if the folder is no ledger.
    """
    ledger = Ledger.open(folder)
    entries = ledger.entries
    last = entries[-1] if entries else None
    rows = [
        {
            "number": entry.number,
            "date": entry.date,
            "by": entry.by,
            "news": list(entry.news),
            "kept": entry.kept,
            "rehearsed": sum(entry.rehearsed.values()),
            "then": entry.accuracy(entry.number),
            "now": last.accuracy(entry.number) if last else None,
            "tag": entry.tag,
            "remarks": list(entry.remarks),
            "changes": [
                {
                    "of": change.of, "before": change.before, "after": change.after, "n": change.difference.n_items,
                    "estimate": change.difference.estimate, "low": change.difference.low,
                    "high": change.difference.high,
                }
                for change in entry.changes
            ],
            "after": [later.accuracy(entry.number) for later in entries if later.number >= entry.number],
        }
        for entry in entries
    ]  # fmt: skip
    return {"name": folder.name, "model": ledger.record["model"]["name"], "entries": rows, "undone": len(ledger.undone)}


def studies_view(folders: Sequence[Path]) -> list[Record]:
    """Of each study: its name, what it asks, and what was found. Raises SettingsError if a folder is no study's."""
    found = []
    for folder in folders:
        file = folder / "results.json"
        if not file.is_file() or not (folder / "study.html").is_file():
            raise SettingsError(
                f"{folder} has no results of a study",
                expected="a folder that `sys2ft study NAME` has written",
                fix="check the path, or run the study",
            )
        with damage_named(file, "give the study's command again"):
            record = read_json(file)
            study = record["study"]
            found.append(
                {
                    "name": study["name"], "asks": study["asks"], "models": study["models"],
                    "sentences": record["sentences"], "missing": len(record["missing"]),
                }
            )  # fmt: skip
    return found
