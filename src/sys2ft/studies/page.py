"""study.html, study.md and results.json: pure functions of a study and its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from sys2ft.files import read_json, write_json, write_text
from sys2ft.pages import facts, render, trusted
from sys2ft.report import number as shown
from sys2ft.report.words import ABSENT, count, power_line, seconds, tera
from sys2ft.studies.drawn import AGE, PROBABILITY
from sys2ft.studies.figures import figure_of
from sys2ft.studies.labels import BASE, said
from sys2ft.studies.results import ALL, Curve, Results, Row
from sys2ft.studies.store import Store
from sys2ft.studies.words import (
    caption,
    compared_note,
    grouped,
    intervals_by,
    measure_cell,
    measure_title,
    place_title,
    remarks,
    sentences,
    size_of,
)

_HERE = Path(__file__).resolve().parent
_WITH_INTERVAL = 2  # measures that a terminal shows with their intervals


def write_results(store: Store, found: Results, cells: int) -> Path:
    """Write results.json, figure.svg, study.md and study.html; returns the path of the page."""
    write_json(store.path / "results.json", {**found.to_dict(), "sentences": sentences(found)})
    figure = figure_of(found)
    if figure is not None:
        write_text(store.path / "figure.svg", bare_svg(figure))
    write_text(store.path / "study.md", markdown(found))
    path = store.path / "study.html"
    record = read_json(store.path / "study.json")
    write_text(path, _page(store, found, cells, figure, record))
    return path


def markdown(found: Results) -> str:
    """The sentences and the table without the probabilities, as Markdown."""
    names = shown_measures(found)
    lines = [f"**{found.study.asks}**", "", *(f"- {sentence}" for sentence in sentences(found)), ""]
    lines += [f"| {' | '.join(['', *map(measure_title, names)])} |", f"|---{'|---:' * len(names)}|"]
    for at in places_of(found):
        cells = [measure_cell(found.row(at, name)) for name in names]
        lines.append(f"| {' | '.join([place_title(found.study, at), *cells])} |")
    return "\n".join([*lines, "", " ".join([caption(found), *remarks(found)]), ""])


def bare_svg(figure: str) -> str:
    """The SVG element alone, as a file of its own."""
    start, end = figure.index("<svg"), figure.rindex("</svg>") + len("</svg>")
    return figure[start:end]


def shown_measures(found: Results, *, probabilities: bool = False) -> list[str]:
    """The study's measures that have numbers, in its order, each followed by its probability if that is wanted."""
    every = [name for own in found.study.measures for name in (own, *([PROBABILITY + own] if probabilities else []))]
    have = {row.measure for row in found.rows if row.part == ALL}
    return [name for name in every if name in have]


def table_of(found: Results) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The titles of the measures, and for each setting its numbers as text; the bases come first."""
    names = shown_measures(found, probabilities=True)
    rows = [
        (place_title(found.study, at), [measure_cell(found.row(at, name)) for name in names]) for at in places_of(found)
    ]
    return [measure_title(name) for name in names], rows


def study_table(found: Results) -> Table:
    """The table for a terminal: intervals of the first measures, estimates of the others; the page has all."""
    names = shown_measures(found)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
    table.add_column(found.study.name, overflow="fold")
    for name in names:
        table.add_column(measure_title(name), justify="right", overflow="fold")
    for at in places_of(found):
        rows = [found.row(at, name) for name in names]
        cells = [measure_cell(row, short=place >= _WITH_INTERVAL) for place, row in enumerate(rows)]
        table.add_row(Text(place_title(found.study, at)), *map(Text, cells))
    table.caption, table.caption_justify = caption(found), "left"
    return table


def places_of(found: Results) -> list[Mapping[str, str]]:
    """The places of the table, each once: the bases, then the settings."""
    places: list[Mapping[str, str]] = []
    for row in found.rows:
        if row.at not in places:
            places.append(row.at)
    return places


def _page(store: Store, found: Results, cells: int, figure: str | None, record: dict[str, Any]) -> str:
    titles, table = table_of(found)
    study = found.study
    inputs = [("models", ", ".join(study.models)), ("news", study.news), ("seeds", ", ".join(map(str, study.seeds)))]
    values = {
        "study": study,
        "sentences": sentences(found),
        "remarks": remarks(found),
        "missing": len(found.missing),
        "reasons": grouped(found.missing),
        "cells": cells,
        "figure": trusted(figure) if figure else None,
        "figure_note": _figure_note(found),
        "titles": titles,
        "table": table,
        "caption": caption(found),
        "power": power(store, found),
        "compared": compared_note(found),
        "contrasts": [contrast_cells(found, k) for k in range(len(found.contrasts))],
        "parts": _parts(found),
        "parts_note": intervals_by([row.score for row in found.rows if row.part != ALL]),
        "costs": [_cost_cells(found, k) for k in range(len(found.settings))],
        "facts": facts(record, inputs),
        "record": json.dumps(record, indent=2, ensure_ascii=False),
    }
    return render(_HERE, "study_page", values)


def power(store: Store, found: Results) -> str:
    """The smallest difference that the study could see."""
    if not found.settings:
        return "Nothing is finished yet"
    cell = found.settings[0].cells[0]
    seeds = max(len(one.cells) for one in found.settings)
    return power_line(store.question_counts(cell), protocols=found.study.compared, seeds=seeds, compared="comparisons")


def contrast_cells(found: Results, number: int) -> dict[str, Any]:
    """A comparison as the cells of a row."""
    one = found.contrasts[number]
    p = ABSENT if one.p is None else "< 0.001" if one.p < 0.001 else f"{one.p:.3f}"
    to = said(one.compare.axis, one.compare.to) if one.compare.to != BASE else BASE
    to = f"{to}, {measure_title(one.compare.of)}" if one.compare.of else to
    return {
        "beyond_noise": one.beyond_noise,
        "cells": (
            place_title(found.study, one.at), measure_title(one.compare.measure), to,
            f"{one.reference.estimate:.2f}", f"{one.level.estimate:.2f}", shown(one.difference, signed=True), p,
            size_of(one.difference),
        ),
    }  # fmt: skip


def _parts(found: Results) -> list[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """For each measure that is divided, and each way to divide it, the numbers of every setting by part."""
    divided = [row for row in found.rows if row.part != ALL and not row.measure.startswith(PROBABILITY)]
    tables = []
    for measure, by in dict.fromkeys((row.measure, row.part.partition(": ")[0]) for row in divided):
        parts = dict.fromkeys(row.part for row in divided if row.part.startswith(f"{by}: "))
        rows = [
            (place_title(found.study, at), {part: found.row(at, measure, part) for part in parts})
            for at in places_of(found)
        ]
        shown = [
            (title, {_part_title(part, row): measure_cell(row) for part, row in own.items()}) for title, own in rows
        ]
        tables.append((f"{measure_title(measure)}, by {by}", shown))
    return tables


def _part_title(part: str, row: Row | None) -> str:
    name = part.partition(": ")[2].replace("_", " ")
    return f"{name} (n = {row.score.n_items})" if row else name


def _cost_cells(found: Results, number: int) -> tuple[str, ...]:
    one = found.settings[number]
    cost = one.cost()
    return (
        place_title(found.study, one.at), str(len(one.cells)), count(cost["samples"]), count(cost["tokens"]),
        tera(cost["flop"]), seconds(cost["seconds"]), count(cost["left_out"]), count(cost["diverged"]),
    )  # fmt: skip


def _ages(curve: Curve) -> str:
    """What the ages of a curve are of."""
    (youngest, of_first), (oldest, of_last) = curve.points[0], curve.points[-1]
    _, own = min(curve.points, key=lambda point: abs(point[0]))
    return (
        f"The news items differ between ages: n = {own.n_news} at age 0, {of_last.n_news} at age {oldest:g}, which "
        f"only those of the first update reach, {of_first.n_news} at age {youngest:g}, at which only those of the last "
        "update were asked. A slope is therefore not of the same news items."
    )


def _figure_note(found: Results) -> str:
    study = found.study
    notes = []
    if study.figure.kind == "scaling":
        drawn = any(one.law is not None and not one.law.flat for one in found.efforts)
        notes.append(
            "Dashed: the fitted saturating power law." if drawn else "No power law is drawn: see the sentences."
        )
    if study.figure.kind in ("curve", "scaling"):
        if "closed_book" in study.drawn and "in_context" in study.measures:
            notes.append("Dotted: the base with the news item in context.")
        notes.append("Bands: 95% intervals.")
    if study.figure.x == AGE:
        notes += [_ages(curve) for curve in found.curves[:1]]
    return " ".join(notes)
