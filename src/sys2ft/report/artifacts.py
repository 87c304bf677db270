"""Reads a run folder into memory, and lists what an unfinished run lacks.

Every part except run.json and news.jsonl may be absent; `Artifacts.missing` lists absent parts. Files are written
atomically, so a file that cannot be parsed is damaged, which is an error.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sys2ft.errors import UserError
from sys2ft.evaluation.settings import CONTROLS
from sys2ft.statistics import Item

Record = dict[str, Any]

BASE = "base"
IN_MEMORY = 1 << 24
"""Size in bytes of a file up to which its records are kept in memory."""
CONDITIONS = ("closed_book", "in_context")


@dataclass(frozen=True)
class Records:
    """The records of a JSON Lines file, read again for each pass unless the file is small."""

    file: Path

    @cached_property
    def _kept(self) -> list[Record] | None:
        return list(read_records(self.file)) if self.file.stat().st_size <= IN_MEMORY else None

    def __iter__(self) -> Iterator[Record]:
        return iter(self._kept) if self._kept is not None else read_records(self.file)

    @cached_property
    def _places(self) -> dict[str, array[int]]:
        """News id -> where its records begin in the file."""
        places: dict[str, array[int]] = {}
        at = 0
        with self.file.open("rb") as lines:
            for line in lines:
                if line.strip():
                    places.setdefault(json.loads(line)["news_id"], array("Q")).append(at)
                at += len(line)
        return places

    def of(self, news_ids: Collection[str]) -> Iterator[Record]:
        """The records of some news items, in the order of the file for each of them."""
        if self._kept is not None:
            yield from (row for row in self._kept if row["news_id"] in news_ids)
            return
        with self.file.open("rb") as lines:
            for news_id in news_ids:
                for place in self._places.get(news_id, ()):
                    lines.seek(place)
                    yield json.loads(lines.readline())


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifacts:
    """The records of a run folder. Absent files are absent keys."""

    folder: Path
    run: Record
    news: list[Record]
    protocols: tuple[str, ...]
    """In the order of the settings, followed by protocols found only as files, sorted."""
    predictions: dict[str, Records]
    """By subject: 'base' or a protocol."""
    controls: dict[str, dict[str, Records]]
    """By control or retention set and by subject, their predictions."""
    yields: dict[str, Record]
    training: dict[str, Record]
    curves: dict[str, Records]
    withheld: Record
    """News items excluded from generation, by id, with the instruction-like text found in them."""
    missing: tuple[str, ...]
    """Descriptions of the parts that an unfinished run lacks."""
    leaks: Record = field(default_factory=dict)
    """By protocol, the replay elements that ask an evaluation question (`replay.Leak`)."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """The base model, then the protocols."""
        return (BASE, *self.protocols)

    def without_adapter(self, protocol: str) -> set[str]:
        """Ids of the news items whose questions the base model answers for `protocol`, as no adapter was left for them.

        Both records count: what training left, and who answered.
        """
        asked = {news["id"] for news in self.news if news["questions"]}
        trained = self.training.get(protocol, {})
        if trained.get("names") == []:
            return asked
        routes = trained.get("routes", {})
        answered = {row["news_id"] for row in self.predictions.get(protocol, ()) if row.get("adapter", "") is None}
        return asked & (answered | {news_id for news_id, adapter in routes.items() if adapter is None})

    def questions(self) -> Iterator[tuple[Item, Record, Record]]:
        """Every question as (key, record of its news item, record of the question)."""
        for news in self.news:
            for index, question in enumerate(news["questions"]):
                yield (news["id"], index), news, question


def read_artifacts(run_folder: Path) -> Artifacts:
    """Read a run folder. Raises UserError if it is not a run folder, or if a file in it is damaged."""
    folder = Path(run_folder)
    if not (folder / "run.json").is_file():
        raise UserError(
            f"{folder} is not a run folder: it contains no run.json",
            expected="a folder made by `sys2ft run`",
            fix="check the path",
        )
    run = read_record(folder / "run.json")
    news = [{"questions": [], **row} for row in read_records(folder / "news.jsonl")]  # the file omits empty fields
    planned = list(run["settings"].get("generate", {}).get("protocols", ()))
    found = {file.stem for part in ("predictions", "training") for file in (folder / part).glob("*.jsonl")} - {BASE}
    protocols = (*planned, *sorted(found - set(planned)))
    predictions = _present(folder, "predictions/{}.jsonl", (BASE, *protocols), many=True)
    _check_known(folder, news, predictions)
    yields = _present(folder, "replay/{}.yield.json", protocols, many=False)
    training = _present(folder, "training/{}.json", protocols, many=False)
    missing = [f"{p}: no record of what was generated" for p in protocols if p not in yields]
    missing += [f"{p}: not trained" for p in protocols if p not in training]
    missing += [f"{s}: no predictions" for s in (BASE, *protocols) if s not in predictions]
    return Artifacts(
        folder=folder,
        run=run,
        news=news,
        protocols=protocols,
        predictions=predictions,
        controls={
            control: _present(folder, f"controls/{control}/{{}}.jsonl", (BASE, *protocols), many=True)
            for control in (*CONTROLS, *_retention_sets(folder, run))
        },
        yields=yields,
        training=training,
        curves=_present(folder, "training/{}.jsonl", protocols, many=True),
        withheld=_present(folder, "replay/{}.json", ("withheld",), many=False).get("withheld", {}),
        missing=tuple(missing),
        leaks=_present(folder, "replay/{}.json", ("leaks",), many=False).get("leaks", {}),
    )


def _retention_sets(folder: Path, run: Record) -> list[str]:
    """The retention sets whose answers are in the folder, in the order of the settings."""
    asked = [spec.partition("=")[0] for spec in run["settings"].get("evaluate", {}).get("retention", ())]
    found = sorted({file.parent.name for file in (folder / "controls").glob("*/*.jsonl")} - set(CONTROLS))
    return sorted(found, key=lambda name: asked.index(name) if name in asked else len(asked))


def read_records(file: Path) -> Iterator[Record]:
    """The records of a JSON Lines file, one at a time."""
    number = 0
    try:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                number += 1
                if line.strip():
                    yield json.loads(line)
    except FileNotFoundError:
        raise UserError(f"{file} is missing", expected="every run folder contains it", fix="run again") from None
    except ValueError as error:
        raise UserError(
            f"{file}, line {number} is damaged: {error}",
            expected="one JSON object per line",
            fix="delete the file and resume the run",
        ) from error


def read_record(file: Path) -> Record:
    """The record of a JSON file."""
    try:
        record: Record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is damaged: {error}", fix="delete the file and resume the run") from error
    return record


def _present(folder: Path, pattern: str, names: tuple[str, ...], *, many: bool) -> dict[str, Any]:
    files = {name: folder / pattern.format(name) for name in names}
    return {name: Records(file) if many else read_record(file) for name, file in files.items() if file.is_file()}


def _check_known(folder: Path, news: list[Record], predictions: dict[str, Records]) -> None:
    """Check that each prediction answers a question of news.jsonl, and that no question is answered twice."""
    known = {(n["id"], index) for n in news for index in range(len(n["questions"]))}
    for subject, rows in predictions.items():
        seen = set()
        for row in rows:
            item = (row["news_id"], row["question"])
            asked = (item, row["condition"], row["scoring"])
            if item not in known or asked in seen:
                raise UserError(
                    f"{folder / 'predictions' / subject}.jsonl: prediction {row['id']!r} "
                    + ("answers a question asked before" if item in known else "answers no question of news.jsonl"),
                    expected="one prediction for each question, condition and scoring",
                    fix="delete the file and resume the run",
                )
            seen.add(asked)
