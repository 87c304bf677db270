"""The tables of a run, for a terminal (rich) and for a document (Markdown)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sys2ft.replay.elements import Yield, shown
from sys2ft.report import leaks
from sys2ft.report.artifacts import BASE
from sys2ft.report.controls import OTHER, ControlBlock
from sys2ft.report.summary import Block, Summary
from sys2ft.report.verdict import headline
from sys2ft.report.words import (
    ABSENT,
    VARIETY,
    VARIETY_NOTE,
    budget_notes,
    caption,
    controls_note,
    cost_cells,
    count,
    drop_lines,
    estimate,
    named,
    notes,
    number,
    score_cells,
    unleaked_cells,
    variety_cells,
)
from sys2ft.statistics import Score

SCORES = ("closed book", "in context", "gap to ICL", "share of gap")
_STAR = "*: the 95% interval excludes zero."
CONTROLS = "Controls, closed book (change from base)"
UNLEAKED = "Without the questions that replay elements come close to"
UNLEAKED_SCORES = ("closed book", "in context", "share of gap", "closed book vs naive")
VARIED = "Variety of the replay elements"
COSTS = ("kept", "of budget", "facts", "tokens trained", "TFLOP gen.", "TFLOP train", "seconds")


def terminal_table(summary: Summary) -> Group:
    """The run's tables for a width of 100 columns, coloured on a terminal and plain elsewhere."""
    block = summary.block()
    verdict, _ = headline(summary)
    parts: list[RenderableType] = [Text(verdict, style="bold"), Text()]
    main = [(named(summary, row.subject), *score_cells(row)) for row in block.rows]
    parts += [
        _grid("", SCORES, main, mark=summary.best),
        _small([caption(summary, block), *summary.remarks, *notes(block)]),
    ]
    if summary.controls:
        names = [named(summary, subject) for subject in (BASE, *summary.protocols)]
        parts += [
            Text(),
            _title(CONTROLS),
            _grid("", ("n", *names), _controls(summary)),
            _small([f"{controls_note(summary)} {_STAR}", *drop_lines(summary)]),
        ]
    for one in summary.slices("unleaked"):
        rows = [(named(summary, row.subject), *unleaked_cells(row)) for row in one.rows]
        parts += [Text(), _title(UNLEAKED), _grid("", UNLEAKED_SCORES, rows, mark=summary.best)]
        parts.append(_small([f"{caption(summary, one)} {leaks.NOTE}"]))
    costs = [(named(summary, c.protocol), count(c.asked), *cost_cells(c)) for c in summary.costs]
    parts += [Text(), _title("Cost"), _grid("", ("asked", *COSTS), costs, mark=summary.best)]
    parts += [_small(budget_notes(summary))]
    if summary.diversity:
        varied = [(name, *variety_cells(found)[:5]) for name, found in summary.diversity.items()]
        parts += [Text(), _title(VARIED), _grid("", VARIETY[:5], varied), _small([VARIETY_NOTE])]
    for title, first, blocks in _sections(summary):
        names = [named(summary, row.subject) for row in blocks[0].rows]
        parts += [Text(), _title(title), _grid(first, ("n", *names), [_pairs(b, first) for b in blocks])]
    if summary.ended:
        parts += [Text(), _title("Adapters that ended early"), _small(_some(summary.ended))]
    if summary.missing:
        parts += [Text(), _title("Missing"), _small(summary.missing)]
    return Group(*parts)


def markdown_table(summary: Summary) -> str:
    """The run's tables as Markdown."""
    block = summary.block()
    verdict, sentences = headline(summary)
    costs = {cost.protocol: cost_cells(cost) for cost in summary.costs}
    none = ("–",) * len(COSTS)
    main = [(named(summary, r.subject), *score_cells(r), *costs.get(r.subject, none)) for r in block.rows]
    changes = [
        (
            named(summary, r.subject),
            *(number(m, signed=True) for m in (r.versus_base, r.versus_naive, r.in_context_change)),
        )
        for r in block.rows[1:]
    ]
    said = [f"**{_escape(verdict)}.** {_escape(' '.join(sentences))}", _markdown("model", (*SCORES, *COSTS), main)]
    lines = [caption(summary, block), *summary.remarks, *notes(block), *budget_notes(summary)]
    said.append("\n".join(map(_escape, lines)))
    said.append(_markdown("change", ("closed book vs base", "closed book vs naive", "in context vs base"), changes))
    if summary.controls:
        names = [named(summary, subject) for subject in (BASE, *summary.protocols)]
        said += [
            f"{CONTROLS}:",
            _markdown("control", ("n", *names), _controls(summary)),
            f"{controls_note(summary)} {_escape(_STAR)}",
            *map(_escape, drop_lines(summary)),
        ]
    for one in summary.slices("unleaked"):
        without = [(named(summary, row.subject), *unleaked_cells(row)) for row in one.rows]
        said += [f"{UNLEAKED}:", _markdown("model", UNLEAKED_SCORES, without)]
        said.append(_escape(f"{caption(summary, one)} {leaks.NOTE}"))
    if summary.diversity:
        varied = [(name, *variety_cells(found)) for name, found in summary.diversity.items()]
        said += [f"{VARIED}:", _markdown("protocol", VARIETY, varied), VARIETY_NOTE]
    for title, first, blocks in _sections(summary):
        names = [named(summary, row.subject) for row in blocks[0].rows]
        said += [f"{title}:", _markdown(first, ("n", *names), [_pairs(b, first) for b in blocks])]
    if summary.ended:
        said.append("Adapters that ended early:\n\n" + "\n".join(f"- {_escape(part)}" for part in _some(summary.ended)))
    if summary.missing:
        said.append("Missing:\n\n" + "\n".join(f"- {_escape(part)}" for part in summary.missing))
    return "\n\n".join(said) + "\n"


def yield_table(counts: Sequence[Yield]) -> Group:
    """The fate of every sample, for a terminal: a row per protocol, and below it why its samples were rejected.

    What is wanted and missing is in units of the budget.
    """
    rows, lines = [], []
    for one in counts:
        name = one.budget.get("name", "samples_per_news")
        used = sum(one.used.values()) if one.used else one.kept
        amounts = (shown(name, amount) for amount in (one.wanted, used, sum(one.shortfall.values())))
        amounts = (said.removesuffix(" samples") for said in amounts)
        rows.append((one.protocol, *amounts, *map(str, (one.asked, one.parsed, one.kept))))
        if one.rejected:
            most = sorted(one.rejected.items(), key=lambda entry: -entry[1])
            lines.append(f"{one.protocol} rejected: {', '.join(f'{reason} {count}' for reason, count in most)}")
    table = _grid("protocol", ("wanted", "used", "short", "asked", "parsed", "kept"), rows)
    return Group(table, *([_small(lines)] if lines else []))


def _controls(summary: Summary) -> list[tuple[str, ...]]:
    """A row per control, and one for what the own adapter adds to another news item's."""
    subjects, rows = (BASE, *summary.protocols), []
    for block in summary.controls:
        n = str(block.n_questions)
        # The base has no adapter: its answers to the same questions are those of the main table.
        cells = [_control(block, subject) for subject in subjects]
        rows.append((block.title, n, *cells))
        if block.name == OTHER:
            known = [block.row(subject) for subject in subjects]
            rows.append(("own minus other adapter", n, *(_signed(row.knowledge) if row else ABSENT for row in known)))
    return rows


def _control(block: ControlBlock, subject: str) -> str:
    row = block.row(subject)
    if row is None:
        return ABSENT
    return f"{row.score.estimate:.2f} ({_signed(row.change)})" if row.change else f"{row.score.estimate:.2f}"


def _signed(score: Score | None) -> str:
    if score is None:
        return ABSENT
    return f"{score.estimate:+.2f}{'*' if score.excludes_zero else ''}"


def _sections(summary: Summary) -> list[tuple[str, str, Sequence[Block]]]:
    """The smaller tables: title, name of the first column, blocks as rows."""
    others = [summary.block(scoring) for scoring in summary.scorings if scoring != summary.headline]
    found: list[tuple[str, str, Sequence[Block]]] = [
        ("By domain, closed book / in context", "domain", summary.slices("domain")),
        ("By kind of question, closed book / in context", "kind", summary.slices("kind")),
        ("Questions chosen by the untouched model, closed book / in context", "chosen", summary.slices("selected")),
        ("Other scorings, closed book / in context", "scoring", others),
    ]
    return [section for section in found if section[2]]


def _pairs(block: Block, first: str) -> tuple[str, ...]:
    name = block.scoring if first == "scoring" else block.name
    pairs = (f"{estimate(row.closed_book)} / {estimate(row.in_context)}" for row in block.rows)
    return (name, str(block.n_questions), *pairs)


def _grid(first: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, mark: str | None = None) -> Table:
    # Cells are Text, never str: names come from files, and rich would interpret markup in them.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
    table.add_column(Text(first), overflow="fold")
    for column in columns:
        table.add_column(Text(column), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row), style="bold" if mark is not None and row[0] == mark else "")
    return table


def _some(lines: Sequence[str], most: int = 10) -> list[str]:
    more = len(lines) - most
    return [*lines[:most], *([f"and {more} more: see the report, or training/*.json"] if more > 0 else [])]


def _title(text: str) -> Text:
    return Text(text, style="bold")


def _small(lines: Iterable[str]) -> Padding:
    return Padding(Text("\n".join(lines), style="dim"), (0, 0, 0, 1))


def _markdown(first: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [(first, *columns), ("---", *("---:" for _ in columns)), *rows]
    return "\n".join("| " + " | ".join(_escape(cell) for cell in line) + " |" for line in lines)


def _escape(text: str) -> str:
    for mark in "\\|<>*`":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("\n", " ")
