"""`sys2ft ledger add | list | show | rollback`: one update after another into one adapter."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from rich import box
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional, arg

from sys2ft.cli.common import ModelOptions, console
from sys2ft.evaluation import EvaluateSettings
from sys2ft.ledger import DEFAULTS, UpdateSettings
from sys2ft.models import DEFAULT_MODEL
from sys2ft.news import load_news
from sys2ft.replay import GenerateSettings, RehearsalSettings
from sys2ft.runs import display
from sys2ft.terminal import print
from sys2ft.training import TrainSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sys2ft.ledger import Entry, Ledger
    from sys2ft.runs import Display

FOLDER = Path("sys2ft-ledger")
UPDATE = UpdateSettings()
Settings = TypeVar("Settings", GenerateSettings, TrainSettings, EvaluateSettings, RehearsalSettings)


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerAdd(ModelOptions):
    """Put news items into the ledger's adapter, ask everything so far again, and print what was learnt and lost.

    The first update begins the ledger. It decides the model, the rank and form of the adapter, the strength and how is
    asked; what later updates leave out is as in the update before. An update that was stopped resumes with the same
    command.
    """

    news: Positional[Path]
    """News file (JSON Lines or YAML), or a bundled set: `new-news` or `demo`."""
    ledger: Path = FOLDER
    """Folder of the ledger. `adapter/` in it is always the current adapter."""
    model: str | None = None
    """Name of an embedded model, local folder, GGUF file or hub id; None: that of the ledger, and of a new one the
    default model."""
    seed: int | None = None
    """Random seed; None: that of the ledger, and of a new one 0."""
    replace: bool = False
    """News items whose id the ledger has take the place of the earlier ones, whose texts, elements and questions are
    retired."""
    how: UpdateSettings = UPDATE
    rehearsal: RehearsalSettings = DEFAULTS.rehearsal
    generate: GenerateSettings = DEFAULTS.generate
    train: TrainSettings = DEFAULTS.train
    evaluate: EvaluateSettings = DEFAULTS.evaluate

    def run(self) -> None:
        from sys2ft.job import require_protocols

        news = load_news(self.news)
        replace(DEFAULTS, generate=self.generate, train=self.train).formed()  # before a model is loaded
        require_protocols(self.generate)
        with display(self.quiet) as show:
            ledger = self._opened(show)
            held = ledger.settings
            entry = ledger.add(
                news,
                generate=_given(self.generate, DEFAULTS.generate, held.generate),
                train=_given(self.train, DEFAULTS.train, held.train),
                evaluate=_given(self.evaluate, DEFAULTS.evaluate, held.evaluate),
                rehearsal=_given(self.rehearsal, DEFAULTS.rehearsal, held.rehearsal),
                how=self.how,
                replace_news=self.replace,
                show=show,
            )
        _print_added(ledger, entry)

    def _opened(self, show: Display) -> Ledger:
        from sys2ft.ledger import Ledger

        options: ModelOptions = self
        name = self.model
        if (self.ledger / "run.json").is_file():
            held = Ledger.open(self.ledger).record
            name = name or held["model"]["name"]
            options = replace(
                self,
                dtype=held["dtype"] if self.dtype == "auto" else self.dtype,
                device=held["device"] if self.device == "auto" else self.device,
            )
        command = shlex.join(["sys2ft", *sys.argv[1:]])
        loaded = options.load(name or DEFAULT_MODEL, show)
        return Ledger.open(self.ledger, model=loaded, seed=self.seed, command=command)


def _given(chosen: Settings, default: Settings, held: Settings) -> Settings:
    """The settings of the latest update, `held`, but for those that the command line gives."""
    named = {word.partition("=")[0].lstrip("-").replace("-", "_") for word in sys.argv if word.startswith("--")}
    changes = {
        field.name: getattr(chosen, field.name)
        for field in fields(chosen)
        if getattr(chosen, field.name) != getattr(default, field.name) or {field.name, f"no_{field.name}"} & named
    }
    return replace(held, **changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerList:
    """List the entries: what each update brought, and the accuracy on its news items then and now."""

    ledger: Path = FOLDER
    """Folder of the ledger."""
    undone: bool = False
    """List what was rolled back instead."""

    def run(self) -> None:
        from sys2ft.ledger import Ledger

        ledger = Ledger.open(self.ledger)
        if self.undone:
            _print_undone(ledger)
        else:
            _print_entries(ledger)


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerShow:
    """Show an entry: its news items and elements, and the accuracy on every news item after it."""

    number: Annotated[Positional[int], arg(metavar="ENTRY")]
    """Number of the entry."""
    ledger: Path = FOLDER
    """Folder of the ledger."""

    def run(self) -> None:
        from sys2ft.ledger import Ledger

        _print_entry(Ledger.open(self.ledger), self.number)


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerRollback:
    """Make the ledger, and the bytes of its adapter, what they were after an entry.

    Later entries are kept in `undone/`, and so is an update that is not finished.
    """

    number: Annotated[Positional[int], arg(metavar="ENTRY")]
    """Number of the last entry to keep; 0: the base model without an adapter."""
    ledger: Path = FOLDER
    """Folder of the ledger."""

    def run(self) -> None:
        from sys2ft.ledger import Ledger

        ledger = Ledger.open(self.ledger)
        for folder in ledger.rollback(self.number):
            print(f"undone    {folder}")
        print(f"adapter   {ledger.adapter or 'none: the base model'}")


# Printing -------------------------------------------------------------------------------------------------------------


def _grid(*columns: str, left: int = 1) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
    for place, name in enumerate(columns):
        grid.add_column(Text(name), justify="left" if place < left else "right", overflow="fold")
    return grid


def _print_added(ledger: Ledger, entry: Entry) -> None:
    from sys2ft.report.words import number

    if entry.changes:
        grid = _grid("closed book", "n", "before", "after", "change")
        for one in entry.changes:
            cells = (one.of, str(one.difference.n_items), f"{one.before:.2f}", f"{one.after:.2f}")
            grid.add_row(*map(Text, (*cells, number(one.difference, signed=True))))
        console().print(grid)
        earlier = f"of the others after entry {entry.number - 1}" if entry.number > 1 else "of all the same"
        console().print(
            Text(f"Before: of new questions the base model, {earlier}; 95% intervals, paired.", style="dim")
        )
    for remark in entry.remarks:
        print(remark)
    print(_described(entry))
    print(f"entry     {entry.number} ({entry.tag})")
    print(f"adapter   {ledger.adapter} (PEFT format)")


def _described(entry: Entry) -> str:
    rejected = ", ".join(f"{reason} {count}" for reason, count in entry.rejected.items())
    again = ", ".join(f"{count} of entry {number}" for number, count in entry.rehearsed.items())
    said = f"elements  {entry.kept} kept" + (f", rejected: {rejected}" if rejected else "")
    return said + (f"; rehearsed: {again}" if again else "") + ("; merged" if entry.by == "merging" else "")


def _print_entries(ledger: Ledger) -> None:
    entries = ledger.entries
    grid = _grid("entry", "date", "by", "news items", "elements", "rehearsed", "then", "now", "adapter", left=3)
    for entry in entries:
        grid.add_row(*map(Text, _line(entry, entries[-1])))
    if entries:
        console().print(grid)
        caption = "then, now: closed-book accuracy on the entry's news items after it, and after the last entry."
        console().print(Text(caption, style="dim"))
    if (ledger.path / "unfinished").is_dir():
        print("unfinished: an update was stopped; the same command finishes it, and a rollback puts it aside")
    if count := len(ledger.undone):
        print(f"undone: {count} (sys2ft ledger list --undone --ledger {ledger.path})")
    print(f"adapter   {ledger.adapter or 'none: the base model'}")


def _line(entry: Entry, last: Entry) -> tuple[str, ...]:
    again = sum(entry.rehearsed.values())
    return (
        str(entry.number), entry.date[:16].replace("T", " "), entry.by, str(len(entry.news)), f"{entry.kept:,}",
        f"{again:,}", _share(entry.accuracy(entry.number)), _share(last.accuracy(entry.number)), entry.tag,
    )  # fmt: skip


def _share(accuracy: float | None) -> str:
    from sys2ft.report.words import ABSENT

    return ABSENT if accuracy is None else f"{accuracy:.2f}"


def _print_undone(ledger: Ledger) -> None:
    grid = _grid("folder", "date", "news items", "adapter")
    for folder, entry in ledger.undone.items():
        cells = (
            (entry.date[:16].replace("T", " "), str(len(entry.news)), entry.tag) if entry else ("unfinished", "", "")
        )
        grid.add_row(*map(Text, (str(folder), *cells)))
    if grid.row_count:
        console().print(grid)
    else:
        print("nothing was rolled back")


def _print_entry(ledger: Ledger, number: int) -> None:
    from sys2ft.errors import SettingsError

    entries = ledger.entries
    if not 1 <= number <= len(entries):
        raise SettingsError(
            f"no entry {number} in {ledger.path}",
            expected=f"a number from 1 to {len(entries)}" if entries else "a ledger with an entry",
            fix=f"see the entries: sys2ft ledger list --ledger {ledger.path}",
        )
    entry = entries[number - 1]
    grid = _grid("news item", "entry", "questions", "base", "then", "after this entry", "neighbours: base", "after")
    for score in entry.scores:
        then = next(one for one in entries[score.update - 1].scores if one.news_id == score.news_id)
        cells = [score.news_id, str(score.update), str(score.asked)]
        cells += [_of(score.base, score.asked), _of(then.right, score.asked), _of(score.right, score.asked)]
        cells += [_of(score.neighbours_base, score.neighbours), _of(score.neighbours_right, score.neighbours)]
        grid.add_row(*map(Text, cells))
    console().print(grid)
    for remark in entry.remarks:
        print(remark)
    print(f"date      {entry.date}, by {entry.by}")
    print(f"news      {_listed(entry.news)}")
    print(_described(entry))
    print(f"adapter   {ledger.path / 'entries' / f'{number:04d}' / entry.adapter} ({entry.tag})")


def _of(right: int, asked: int) -> str:
    return _share(right / asked if asked else None)


def _listed(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
