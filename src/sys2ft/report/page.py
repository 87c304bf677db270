"""report.html of a run: one self-contained page with verdict, tables, figures, costs and every answer.

The numbers come from `summary`, the shell and the escaping from `pages`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from sys2ft.files import atomic_folder, digest_file, write_text
from sys2ft.pages import facts, render, trusted
from sys2ft.report import leaks, views, words
from sys2ft.report.artifacts import BASE, Artifacts, read_artifacts
from sys2ft.report.heat import heat
from sys2ft.report.selection import Withheld
from sys2ft.report.summary import Summary, summarise_artifacts
from sys2ft.report.verdict import headline
from sys2ft.statistics import Score

_HERE = Path(__file__).resolve().parent


def write_report(run_folder: Path, *, examples: int = 3) -> Path:
    """Write report.html into the run folder, atomically, and return its path.

    `examples` is the number of replay elements to show per protocol: kept, and rejected for each reason. The page of an
    unfinished run lists what is missing. The same folder gives the same bytes.
    """
    artifacts = read_artifacts(run_folder)
    summary = summarise_artifacts(artifacts)
    path = Path(run_folder) / "report.html"
    write_text(path, _render(artifacts, summary, examples))
    _write_pages(artifacts, summary)
    return path


def _write_pages(artifacts: Artifacts, summary: Summary) -> None:
    """Write the pages of the news items of a run that has many, into report/; delete those of earlier times."""
    every, folder = views.pages(artifacts), artifacts.folder / "report"
    if not every:
        shutil.rmtree(folder, ignore_errors=True)
        return
    common = _of_questions(artifacts, summary)
    with atomic_folder(folder) as temporary:
        for before, page, after in zip([None, *every], every, [*every[1:], None], strict=False):
            values = {
                **common,
                "summary": summary,
                "page": page,
                "before": before,
                "after": after,
                "news": views.news_views(artifacts, summary, page.news),
            }
            write_text(temporary / page.name, render(_HERE, "report", values, template="news_page"))


def _of_questions(artifacts: Artifacts, summary: Summary) -> dict[str, Any]:
    """What the list of questions needs besides the news items."""
    return {
        "names": {subject: words.named(summary, subject) for subject in artifacts.subjects},
        "leaked": leaks.leaked(artifacts),
        "domains": [block.name for block in summary.slices("domain")],
        "facts": facts(artifacts.run, [_news_digest(artifacts)]),
        "record": json.dumps(artifacts.run, indent=2, ensure_ascii=False),
    }


def _render(artifacts: Artifacts, summary: Summary, most: int) -> str:
    verdict, sentences = headline(summary)
    values = {
        **_of_questions(artifacts, summary),
        "run": artifacts.run,
        "summary": summary,
        "block": summary.block(),
        "others": [summary.block(scoring) for scoring in summary.scorings if scoring != summary.headline],
        "verdict": verdict,
        "sentences": sentences,
        "controls_note": words.controls_note(summary),
        "drop_lines": words.drop_lines(summary),
        "landmarks": _landmarks(summary),
        "caption": words.caption(summary, summary.block()),
        "notes": [*summary.remarks, *words.notes(summary.block())],
        "budget_notes": words.budget_notes(summary),
        "figures": _figures(artifacts, summary),
        "reasons": sorted({reason for cost in summary.costs for reason in cost.rejected}),
        "examples": [views.examples(artifacts, protocol, most) for protocol in summary.protocols],
        "heat": heat(artifacts),
        "news": views.news_views(artifacts, summary, views.shown_news(artifacts, summary)),
        "pages": views.pages(artifacts),
        "shown": views.SHOWN,
        "total": len(artifacts.news),
        "unleaked": summary.slices("unleaked"),
        "unleaked_note": leaks.NOTE,
        "variety": (words.VARIETY, {name: words.variety_cells(one) for name, one in summary.diversity.items()}),
        "variety_note": words.VARIETY_NOTE,
    }
    named = (words.estimate, words.number, words.count, words.tera, words.seconds, words.of_budget, words.covered)
    return render(
        _HERE,
        "report",
        values,
        filters={function.__name__: function for function in named},
        tests={"score": lambda measured: isinstance(measured, Score)},
    )


def _landmarks(summary: Summary) -> list[tuple[str, Score]]:
    """The three key numbers at the top of the page."""
    base = summary.block().row(BASE)
    best = summary.block().row(summary.best).closed_book if summary.best else None
    # Beside the tuned model's accuracy, one that is zero by construction would be read as a gain.
    named = [
        ("untouched, closed book", None if isinstance(base.gap_to_icl, Withheld) else base.closed_book),
        (f"tuned by {summary.best}, closed book", best),
        ("untouched, with the news in context", base.in_context),
    ]
    return [(name, measured) for name, measured in named if isinstance(measured, Score)]


def _figures(artifacts: Artifacts, summary: Summary) -> list[tuple[str, str, Any]]:
    """Title, explanation and SVG of each figure; None if the run lacks its data."""
    from sys2ft.report import figures

    bare = "".join(f" {protocol} has no adapter: base answers." for protocol in summary.without_adapter)
    drawn = [
        (
            "Accuracy",
            "Closed book: without the news item in the prompt. In context: with it. Lines are 95% intervals." + bare,
            figures.accuracy_figure(summary),
        ),
        (
            "Accuracy by domain",
            "Closed book. The vertical bar is the untouched model with the news in context." + bare,
            figures.domain_figure(summary),
        ),
        (
            "Accuracy and cost",
            "Closed-book accuracy against the FLOP spent on generating replay elements and on training." + bare,
            figures.cost_figure(summary),
        ),
        ("Yield", "The fate of the samples drawn from the model.", figures.yield_figure(summary)),
        ("Training loss", "Median over the adapters, and their range.", figures.loss_figure(artifacts)),
    ]
    # The chart renderer escapes all text, and names are all that a run contributes to the SVG.
    return [(title, said, trusted(svg) if svg else None) for title, said, svg in drawn]


def _news_digest(artifacts: Artifacts) -> tuple[str, str]:
    return "news SHA-256", digest_file(artifacts.folder / "news.jsonl")
