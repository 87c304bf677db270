"""The ledger: a folder with one entry per update, the current adapter, and what was undone."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sys2ft.engine import AdapterBank
from sys2ft.errors import SettingsError
from sys2ft.evaluation import EvaluateSettings
from sys2ft.files import atomic_folder, make_folder, storage_errors
from sys2ft.job import open_run, require_fit, require_layers, require_protocols
from sys2ft.job.stages import identity_of
from sys2ft.ledger.entries import (
    FILE,
    Entry,
    active,
    adapter_of,
    files_in,
    folder_of,
    news_of_entries,
    read_entries,
)
from sys2ft.ledger.settings import DEFAULTS, MAY_DIFFER, NAMES, LedgerSettings, UpdateSettings
from sys2ft.ledger.updating import Update
from sys2ft.models import LoadedModel, Reader, load_model
from sys2ft.news import News, load_news, news_to_dict
from sys2ft.replay import GenerateSettings, RehearsalSettings
from sys2ft.runs import Display, Run, digest
from sys2ft.training import TrainSettings, learner_of

ADAPTER, UNFINISHED, UNDONE = "adapter", "unfinished", "undone"


class Ledger:
    """News that arrive one update after another, in one adapter; opened by `Ledger.open`.

    `path / "adapter"` is always the adapter after the last entry, in PEFT's format; there is none without an entry.
    """

    def __init__(self, run: Run, model: LoadedModel | None = None, command: str = "") -> None:
        self._run, self._model, self._command = run, model, command

    @classmethod
    def open(
        cls, path: str | Path, *, model: str | LoadedModel | None = None, seed: int | None = None, command: str = "",
        show: Display | None = None,
    ) -> Ledger:  # fmt: skip
        """Open the ledger in the folder `path`; with a model, create it if it is not there.

        The first update decides model, number format, seed (None: that of the ledger, or 0), the form of the adapter
        and how is asked. Raises SettingsError if the folder is no ledger, or has another model, number format or seed.
        """
        folder = Path(path)
        with _ours(folder):
            if model is None:
                return cls(_existing(folder), command=command)
            held = _existing(folder).record if (folder / "run.json").is_file() else None
            loaded = _load(model, held or {}, show or Display()) if isinstance(model, str) else model
            seed = seed if seed is not None else held["seed"] if held else 0
            identity = _identity(loaded, seed)
            about = {
                "model": {"name": loaded.source.name, **identity["model"]}, "dtype": identity["dtype"],
                "device": identity["device"], "seed": seed, "command": command,
            }  # fmt: skip
            return cls(Run.open(folder, identity, about), loaded, command)

    @property
    def path(self) -> Path:
        return self._run.path

    @property
    def record(self) -> dict[str, Any]:
        """What `run.json` holds: model, number format, seed, and the settings of the latest update."""
        return self._run.record

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries, oldest first."""
        return read_entries(self.path)

    @property
    def undone(self) -> dict[Path, Entry | None]:
        """Folders of updates that were rolled back, with their entries; None: an update that was not finished."""
        folders = sorted(path for path in (self.path / UNDONE).glob("*") if path.is_dir())
        return {path: Entry.read(path) if (path / FILE).is_file() else None for path in folders}

    @property
    def adapter(self) -> Path | None:
        """The current adapter's folder; None: the ledger is empty, so the base model is current."""
        return self.path / ADAPTER if self.entries else None

    @property
    def news(self) -> list[News]:
        """The news items that count, in the order in which they came."""
        return [item for own in news_of_entries(self.path, self.entries).values() for item in own]

    def matrix(self) -> dict[tuple[str, int], dict[int, float | None]]:
        """Accuracy on a news item (its id and the number of the entry that brought it) after each later entry."""
        table: dict[tuple[str, int], dict[int, float | None]] = {}
        for entry in self.entries:
            for score in entry.scores:
                table.setdefault((score.news_id, score.update), {})[entry.number] = score.accuracy
        return table

    @property
    def settings(self) -> LedgerSettings:
        """The settings of the latest update; before the first one the defaults."""
        if not set(NAMES) <= self.record["settings"].keys():
            return DEFAULTS
        return LedgerSettings(
            generate=self._run.settings("generate", GenerateSettings),
            train=self._run.settings("train", TrainSettings),
            evaluate=self._run.settings("evaluate", EvaluateSettings),
            rehearsal=self._run.settings("rehearsal", RehearsalSettings),
        )

    def add(
        self,
        news: str | Path | Sequence[News],
        *,
        generate: GenerateSettings | None = None,
        train: TrainSettings | None = None,
        evaluate: EvaluateSettings | None = None,
        rehearsal: RehearsalSettings | None = None,
        how: UpdateSettings | None = None,
        replace_news: bool = False,
        show: Display | None = None,
    ) -> Entry:
        """Put news items into the adapter, ask everything so far again, and return the new entry.

        Settings that are None are those of the latest update. With `replace_news`, a news item whose id the ledger has
        takes the place of the earlier one, whose text, elements and questions are retired. An unfinished update resumes
        if it has the same news items. Raises SettingsError for settings that the ledger cannot change, for ids that it
        has, and if another process works in the folder; the ledger is then as it was.
        """
        items = load_news(news) if isinstance(news, str | Path) else list(news)
        show, how = show or Display(), how or UpdateSettings()
        with _ours(self.path), self._run.lock():
            self._settle()
            entries = self.entries
            held = self.settings
            settings = LedgerSettings(
                generate=generate or held.generate,
                train=train or held.train,
                evaluate=evaluate or held.evaluate,
                rehearsal=rehearsal or held.rehearsal,
            )
            form = held.train if entries else DEFAULTS.train
            settings = settings.formed(rank=form.rank, alpha=form.alpha)
            replaced = _replaced(items, entries, news_of_entries(self.path, entries), replace_news, self.path)
            self._require_same_news(items, entries)
            model = self._loaded(show)
            _check(model, items, settings, how)
            if entries:
                self._check_settings(settings)
            run = self._unfinished(model, items, entries, replaced, settings, how)
            self._record(settings)
            update = Update(
                ledger=self.path, entries=entries, run=run, news=items, replaced=replaced, settings=settings, how=how,
                model=model, show=show,
            )  # fmt: skip
            entry = update.make()
            with storage_errors(self.path):
                make_folder(self.path / "entries")
                run.path.rename(folder_of(self.path, entry.number))
            self._settle()
        return entry

    def rollback(self, number: int) -> list[Path]:
        """Make the ledger what it was after entry `number` (0: the base); return the folders of what was undone.

        Nothing is deleted: entries, and an unfinished update, are moved to `undone/`. Raises SettingsError if there is
        no such entry, or if another process works in the folder.
        """
        with _ours(self.path), self._run.lock():
            entries = self.entries
            if not 0 <= number <= len(entries):
                raise SettingsError(
                    f"no entry {number} in {self.path}",
                    expected=f"a number from 0 (the base) to {len(entries)}",
                    fix=f"see the entries: sys2ft ledger list --ledger {self.path}",
                )
            if number:
                adapter_of(self.path, entries[number - 1])  # before anything is moved
            moved = []
            if (self.path / UNFINISHED).is_dir():
                moved.append(self._put_aside(self.path / UNFINISHED, f"{len(entries) + 1:04d}-unfinished"))
            for entry in reversed(entries[number:]):
                moved.append(self._put_aside(folder_of(self.path, entry.number), f"{entry.number:04d}"))
            self._settle()
        return moved

    # Inside ----------------------------------------------------------------------------------------------------------

    def _loaded(self, show: Display) -> LoadedModel:
        if self._model is None:
            self._model = _load(self.record["model"]["name"], self.record, show)
            Run.open(self.path, _identity(self._model, self.record["seed"]))  # refuses other files of the same name
        return self._model

    def _check_settings(self, settings: LedgerSettings) -> None:
        self._run.check("train", asdict(settings.train), free=MAY_DIFFER)
        self._run.check("evaluate", asdict(settings.evaluate))

    def _record(self, settings: LedgerSettings) -> None:
        """Record the settings as those of the latest update; `_check_settings` has refused what must not change."""
        for name, one in asdict(settings).items():
            self._run.stage(name, one, free=tuple(one))

    def _require_same_news(self, items: Sequence[News], entries: Sequence[Entry]) -> None:
        file = self.path / UNFINISHED / "run.json"
        if not file.is_file():
            return
        held = Run.open(file.parent).record
        if held["identity"]["news"] != digest([news_to_dict(item) for item in items]):
            raise SettingsError(
                f"{self.path} has an unfinished update with other news items",
                expected="the same news items, to finish it",
                fix=f"give its command again: {held['command'] or 'with its news items'}; or put it aside: "
                f"sys2ft ledger rollback {len(entries)} --ledger {self.path}",
            )

    def _unfinished(
        self, model: LoadedModel, items: Sequence[News], entries: Sequence[Entry], replaced: dict[str, int],
        settings: LedgerSettings, how: UpdateSettings,
    ) -> Run:  # fmt: skip
        """The run folder of the update, new or that of an unfinished one."""
        folder = self.path / UNFINISHED
        try:
            run = open_run(folder, model, items, seed=self.record["seed"], command=self._command)
            after = dict(entries[-1].files) if entries else {}
            run.stage("update", {"after": after, "replaced": replaced, **asdict(how)})
            run.stage("rehearsal", asdict(settings.rehearsal))
            run.check("generate", asdict(settings.generate))
            run.stage("evaluate", asdict(settings.evaluate))
            run.stage("train", asdict(settings.train), free=MAY_DIFFER)
        except SettingsError as error:
            raise SettingsError(
                error.found,
                expected="the settings of the unfinished update, to finish it",
                fix="use those settings, or put the update aside: "
                f"sys2ft ledger rollback {len(entries)} --ledger {self.path}",
            ) from error
        return run

    def _settle(self) -> None:
        """Make `adapter/` that of the last entry; a process may have been killed before it was."""
        folder, entries = self.path / ADAPTER, self.entries
        if not entries:
            if folder.is_dir():
                with storage_errors(folder):
                    shutil.rmtree(folder)
            return
        own = adapter_of(self.path, entries[-1])
        if files_in(folder) != dict(entries[-1].files):
            with atomic_folder(folder) as temporary:
                for name in entries[-1].files:
                    shutil.copy2(own / name, temporary / name)

    def _put_aside(self, folder: Path, name: str) -> Path:
        make_folder(self.path / UNDONE)
        count, target = 1, self.path / UNDONE / name
        while target.exists():
            count += 1
            target = self.path / UNDONE / f"{name}-{count}"
        with storage_errors(target):
            folder.rename(target)
        return target


def _load(model: str, held: dict[str, Any], show: Display) -> LoadedModel:
    """A model in the number format and on the kind of device that are held in a record."""
    how = {name: held.get(name, "auto") for name in ("dtype", "device")}
    return load_model(model, progress=show.note, **how)


def _identity(model: LoadedModel, seed: int) -> dict[str, Any]:
    return {**{k: v for k, v in identity_of(model, [], seed).items() if k != "news"}, "ledger": 1}


def _existing(folder: Path) -> Run:
    """The ledger's folder as a run. Raises SettingsError if it is none."""
    if not (folder / "run.json").is_file() or "ledger" not in (run := Run.open(folder)).record["identity"]:
        raise SettingsError(
            f"{folder} is not the folder of a ledger",
            expected="a folder that `sys2ft ledger add` has written",
            fix="check the path, or begin a ledger: sys2ft ledger add NEWS --ledger FOLDER",
        )
    return run


@contextlib.contextmanager
def _ours(folder: Path) -> Iterator[None]:
    """Errors of a run folder, with the flag that names a ledger's."""
    try:
        yield
    except SettingsError as error:
        if "--out" not in (error.fix or ""):
            raise
        fix = (error.fix or "").replace("--out", "--ledger")
        raise SettingsError(error.found, expected=error.expected, fix=fix) from error


def _check(model: LoadedModel, items: Sequence[News], settings: LedgerSettings, how: UpdateSettings) -> None:
    """Raise an error for what would fail only after hours of work."""
    require_protocols(settings.generate)
    require_layers(model, settings.train)
    require_fit(Reader.of(model), items, generate=settings.generate, evaluate=settings.evaluate)
    if how.by == "merging":
        bank = learner_of(settings.train).bank(model.model, 1)
        bank.close()
        if not isinstance(bank, AdapterBank):
            raise SettingsError(
                f"by='merging' with the learner {settings.train.learner!r}",
                expected="adapters that are LoRA, which are sums of low-rank updates",
                fix="use --by training, or a ledger with --learner lora",
            )


def _replaced(
    items: Sequence[News], entries: Sequence[Entry], known: dict[int, list[News]], wanted: bool, ledger: Path
) -> dict[str, int]:
    """The ids that the ledger has already, with the entries that brought them.

    Raises SettingsError for such ids unless they are to be replaced, and for ids that differ in case only.
    """
    names = [item.id.casefold() for item in items]
    if not names or len(set(names)) < len(names):
        raise SettingsError(
            f"news items with the ids {', '.join(item.id for item in items)}" if names else "no news items",
            expected="at least one, with ids that differ in more than case",
            fix="rename or leave out those that repeat" if names else "give a list of news items",
        )
    current = active(entries)
    by_name = {news_id.casefold(): news_id for news_id in current}
    again = [item for item in items if item.id.casefold() in by_name]
    if odd := [item.id for item in again if item.id not in current]:
        raise SettingsError(
            ", ".join(f"{name}: the ledger has {by_name[name.casefold()]}" for name in odd),
            expected="ids that differ in more than case",
            fix="rename them, or write them as the ledger has them, with --replace",
        )
    if again and not wanted:
        texts = {item.id: item.text for own in known.values() for item in own}
        said = [
            f"{item.id} (entry {current[item.id]}, {'the same' if texts[item.id] == item.text else 'another'} text)"
            for item in again
        ]
        raise SettingsError(
            f"{ledger} has these news items already: {', '.join(said)}",
            expected="ids that are new to the ledger",
            fix="leave them out or rename them; if these are new versions of the same facts, give --replace, which "
            "retires the earlier texts, elements and questions",
        )
    return {item.id: current[item.id] for item in again}
