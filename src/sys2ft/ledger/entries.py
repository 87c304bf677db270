"""The entries of a ledger: what each update brought, what it cost the earlier ones, and which adapter it left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sys2ft.errors import SettingsError
from sys2ft.files import digest, digest_file, read_json, read_jsonl, write_json
from sys2ft.ledger.settings import By
from sys2ft.news import News, news_from_dict
from sys2ft.replay import ReplayElement
from sys2ft.statistics import Outcomes, Score, paired_difference

FILE = "entry.json"
SUBJECT = "adapter"
"""Name in the predictions of who answers after the update; `base` is the model without an adapter."""
EARLIER, EARLIER_NEIGHBOURS = "earlier", "earlier/neighbours"
"""Folders of the answers to questions of earlier updates."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewsScore:
    """What is known of one news item after an update: right answers, closed book, under the headline scoring."""

    news_id: str
    update: int
    """Number of the entry that brought the news item."""
    asked: int
    """Questions."""
    base: int
    """Right answers of the model without an adapter."""
    right: int
    neighbours: int
    """Questions about the field that the news item does not change."""
    neighbours_base: int
    neighbours_right: int

    @property
    def accuracy(self) -> float | None:
        """Share of the questions that are answered right; None: there are none."""
        return self.right / self.asked if self.asked else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Accuracy on some questions before and after an update, and the difference, paired by question."""

    of: str
    before: float
    after: float
    difference: Score

    @classmethod
    def between(cls, of: str, before: Outcomes, after: Outcomes, seed: int = 0) -> Change | None:
        """None if nothing was asked. Raises UserError if the questions differ."""
        if not before and not after:
            return None
        difference = paired_difference(after, before, seed=abs(seed))
        return cls(of=of, before=_share(before), after=_share(after), difference=difference)


def _share(outcomes: Outcomes) -> float:
    return sum(bool(right) for right in outcomes.values()) / len(outcomes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One update of a ledger."""

    number: int
    """1 is the first."""
    date: str
    """When the update was finished, in UTC."""
    by: By
    news: tuple[str, ...]
    """Ids of the news items that it brought."""
    replaced: Mapping[str, int]
    """Of these, the ids that an earlier entry had, with its number: its text, elements and questions are retired."""
    kept: int
    """New elements that it was trained on."""
    rejected: Mapping[str, int]
    """New elements that were not, by reason."""
    rehearsed: Mapping[str, int]
    """Number of elements of earlier entries that were trained on again, by the number of the entry."""
    adapter: str
    """The adapter after the update, a folder in PEFT's format inside the entry's folder."""
    files: Mapping[str, str]
    """SHA-256 of each file of the adapter."""
    scores: tuple[NewsScore, ...]
    """Every news item so far, in the order in which they came."""
    changes: tuple[Change, ...]
    """What the update changed, in the lines of the table that `sys2ft ledger add` prints."""
    remarks: tuple[str, ...]
    """What was left out, and what could not be asked."""

    @property
    def tag(self) -> str:
        """The first letters of a digest of the adapter's files."""
        return digest(dict(self.files))[:12]

    def accuracy(self, update: int) -> float | None:
        """Accuracy, after this update, on the news items that entry `update` brought; None: nothing can be asked."""
        own = [score for score in self.scores if score.update == update]
        asked = sum(score.asked for score in own)
        return sum(score.right for score in own) / asked if asked else None

    def write(self, folder: Path) -> None:
        """Write `entry.json`; its presence means that the entry is complete."""
        write_json(folder / FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Entry:
        """The entry in a folder. Raises SettingsError if it cannot be read."""
        try:
            row = read_json(folder / FILE)
            scores = tuple(NewsScore(**one) for one in row.pop("scores"))
            changes = tuple(Change(**{**one, "difference": Score(**one["difference"])}) for one in row.pop("changes"))
            row |= {"scores": scores, "changes": changes, "news": tuple(row["news"]), "remarks": tuple(row["remarks"])}
            return cls(**row)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"{folder / FILE} cannot be read as an entry of a ledger: {type(error).__name__}: {error}",
                expected="the file as this version of sys2ft wrote it",
                fix="restore the folder from a copy, or use the version that wrote it",
            ) from error


def folder_of(ledger: Path, number: int) -> Path:
    """The folder of an entry."""
    return ledger / "entries" / f"{number:04d}"


def read_entries(ledger: Path) -> tuple[Entry, ...]:
    """The entries of a ledger, oldest first. Raises SettingsError if one cannot be read or is missing."""
    names = sorted(path.name for path in (ledger / "entries").glob("*") if path.is_dir())
    folders = [folder_of(ledger, number + 1) for number in range(len(names))]
    if names != [folder.name for folder in folders]:
        raise SettingsError(
            f"{ledger / 'entries'} has the entries {', '.join(names)}",
            expected="entries numbered from 0001 without a gap",
            fix="put back those that are missing, or move the later ones elsewhere",
        )
    return tuple(map(Entry.read, folders))


def active(entries: Iterable[Entry]) -> dict[str, int]:
    """Id of each news item that counts -> number of the entry that brought it, or last replaced it."""
    return {news_id: entry.number for entry in entries for news_id in entry.news}


def news_of_entries(ledger: Path, entries: Sequence[Entry]) -> dict[int, list[News]]:
    """The news items that count, by the number of their entry."""
    current = active(entries)
    return {
        entry.number: [
            item
            for item in map(news_from_dict, read_jsonl(folder_of(ledger, entry.number) / "news.jsonl"))
            if current[item.id] == entry.number
        ]
        for entry in entries
    }


def elements_of_entries(
    ledger: Path, entries: Sequence[Entry], retired: Iterable[str] = ()
) -> list[list[ReplayElement]]:
    """The kept elements of each entry, without those of news items that have been replaced or are `retired` now."""
    current, gone = active(entries), set(retired)
    found = []
    for entry in entries:
        folder = folder_of(ledger, entry.number)
        (protocol,) = read_json(folder / "run.json")["settings"]["generate"]["protocols"]
        rows = map(ReplayElement.from_dict, read_jsonl(folder / "replay" / f"{protocol}.jsonl"))
        found.append(
            [
                element
                for element in rows
                if element.status == "kept" and current[element.news_id] == entry.number and element.news_id not in gone
            ]
        )
    return found


def outcomes(folder: Path, where: str, subject: str, headline: str, condition: str = "closed_book") -> Outcomes:
    """The graded answers of a subject in one of an entry's folders of predictions."""
    file = folder / where / f"{subject}.jsonl"
    rows = read_jsonl(file) if file.is_file() else []
    return {
        (row["news_id"], row["question"]): row["correct"]
        for row in rows
        if row["scoring"] == headline and row["condition"] == condition
    }


def files_in(adapter: Path) -> dict[str, str]:
    """SHA-256 of each file of an adapter's folder."""
    return (
        {file.name: digest_file(file) for file in sorted(adapter.iterdir()) if file.is_file()}
        if (adapter.is_dir())
        else {}
    )


def adapter_of(ledger: Path, entry: Entry) -> Path:
    """The adapter that an entry left. Raises SettingsError if its files are not those that were written."""
    folder = folder_of(ledger, entry.number) / entry.adapter
    if (found := files_in(folder)) != dict(entry.files):
        changed = sorted(name for name in {*found, *entry.files} if found.get(name) != entry.files.get(name))
        raise SettingsError(
            f"the adapter of entry {entry.number} in {folder} is not the one that was written: {', '.join(changed)}",
            expected="files with the SHA-256 recorded in the entry",
            fix=f"restore them from a copy, or go back to an earlier entry: "
            f"sys2ft ledger rollback {entry.number - 1} --ledger {ledger}",
        )
    return folder
