"""report.html: one file that holds everything a run found, and asks nothing of the network.

Model output is hostile until escaped: the template escapes every value, and the page's own policy (CSP) lets only the
one script run whose hash it names.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sys2ft.evaluation.statistics import Score
from sys2ft.files import digest_file, write_text
from sys2ft.report import views, words
from sys2ft.report.artifacts import BASE, Artifacts, read_artifacts
from sys2ft.report.summary import Summary, summarise_artifacts

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).resolve().parent


def write_report(run_folder: Path, *, examples: int = 3) -> Path:
    """Write report.html into the run folder, whole or not at all, and return its path.

    `examples` is how many replay elements to show of each protocol: kept, and rejected for each reason. An unfinished
    run gives a page that says what is missing. The same folder gives the same bytes.
    """
    artifacts = read_artifacts(run_folder)
    summary = summarise_artifacts(artifacts)
    path = Path(run_folder) / "report.html"
    write_text(path, _render(artifacts, summary, examples))
    return path


def _render(artifacts: Artifacts, summary: Summary, most: int) -> str:
    verdict, sentences = words.headline(summary)
    script = (_HERE / "page.js.j2").read_text(encoding="utf-8")
    return environment().get_template("page.html.j2").render(
        css=trusted((_HERE / "page.css").read_text(encoding="utf-8")),
        script=trusted(script),
        script_hash=script_hash(script),
        run=artifacts.run,
        summary=summary,
        block=summary.block(),
        others=[summary.block(scoring) for scoring in summary.scorings if scoring != summary.headline],
        verdict=verdict,
        sentences=sentences,
        landmarks=_landmarks(summary),
        caption=words.caption(summary, summary.block()),
        notes=[*summary.remarks, *words.notes(summary.block())],
        figures=_figures(artifacts, summary),
        reasons=sorted({reason for cost in summary.costs for reason in cost.rejected}),
        examples=[views.examples(artifacts, protocol, most) for protocol in summary.protocols],
        news=views.news_views(artifacts, summary),
        domains=[block.name for block in summary.slices("domain")],
        facts=facts(artifacts.run, [_news_digest(artifacts)]),
        record=json.dumps(artifacts.run, indent=2, ensure_ascii=False),
    )  # fmt: skip


def script_hash(script: str) -> str:
    """The script's digest as the page's content policy names it."""
    return b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def environment() -> Environment:
    """Templates of this room: every value is escaped, and a name that is not given is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        estimate=words.estimate, number=words.number, count=words.count, tera=words.tera, seconds=words.seconds
    )
    environment.tests["score"] = lambda measured: isinstance(measured, Score)
    return environment


def trusted(text: str) -> Any:
    """Text of this package, not of a run: it goes into the page as it is."""
    from markupsafe import Markup

    return Markup(text)


def _landmarks(summary: Summary) -> list[tuple[str, Score]]:
    """The three numbers a reader looks for first."""
    base = summary.block().row(BASE)
    best = summary.block().row(summary.best).closed_book if summary.best else None
    named = [
        ("untouched, closed book", base.closed_book),
        (f"tuned by {summary.best}, closed book", best),
        ("untouched, with the news in context", base.in_context),
    ]
    return [(name, measured) for name, measured in named if isinstance(measured, Score)]


def _figures(artifacts: Artifacts, summary: Summary) -> list[tuple[str, str, Any]]:
    """Title, explanation and SVG of each figure; None where the run does not hold its data."""
    from sys2ft.report import figures

    drawn = [
        (
            "Accuracy",
            "Closed book: without the news in view. In context: with it. Lines are 95% intervals.",
            figures.accuracy_figure(summary),
        ),
        (
            "Accuracy by domain",
            "Closed book. The upright line is what the untouched model does with the news in context.",
            figures.domain_figure(summary),
        ),
        (
            "Accuracy and cost",
            "FLOP spent on generating replay elements and on training, against closed-book accuracy.",
            figures.cost_figure(summary),
        ),
        ("Yield", "What became of the samples drawn from the model.", figures.yield_figure(summary)),
        ("Training loss", "Median over the adapters, and their range.", figures.loss_figure(artifacts)),
    ]
    # matplotlib escapes the names it draws, which are all that a run contributes to the SVG.
    return [(title, said, trusted(svg) if svg else None) for title, said, svg in drawn]


def _news_digest(artifacts: Artifacts) -> tuple[str, str]:
    return "news SHA-256", digest_file(artifacts.folder / "news.jsonl")


def facts(run: dict[str, Any], inputs: Sequence[tuple[str, Any]]) -> list[tuple[str, str]]:
    """Provenance of a run, as name and value; `inputs` are what it was made of besides the model."""
    model = run.get("model", {})
    parameters = model.get("parameters")
    flat = {part: ", ".join(f"{k} {v}" for k, v in run.get(part, {}).items()) for part in ("hardware", "versions")}
    named = [
        ("run", run.get("name")),
        ("started", run.get("created")),
        ("model", model.get("name")),
        ("architecture", model.get("architecture")),
        ("parameters", f"{parameters:,}" if isinstance(parameters, int) else parameters),
        ("model SHA-256", model.get("sha256")),
        *inputs,
        ("dtype, device", f"{run.get('dtype')}, {run.get('device')}"),
        ("seed", run.get("seed")),
        ("hardware", flat["hardware"]),
        ("versions", flat["versions"]),
        ("git revision", run.get("git") or "none: an installed package"),
        ("run again", run.get("command") or _command(run)),
    ]
    return [(name, str(value)) for name, value in named if value is not None]


def _command(run: dict[str, Any]) -> str:
    parts = ["sys2ft", "run", "news.jsonl", "--model", str(run.get("model", {}).get("name"))]
    return shlex.join([*parts, "--seed", str(run.get("seed"))]) + "  (with the settings below)"
