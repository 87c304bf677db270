"""News items in portions: what a stage holds in memory is that of one portion, however many news items a run has.

Adapters of single news items are trained and asked portion by portion. A joint adapter has all samples in memory while
it is trained; its elements are written, and its questions are asked, by portions too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from sys2ft.job.cell import Cell
from sys2ft.news import News
from sys2ft.replay import ReplayElement
from sys2ft.runs import Run, digest, iterate_jsonl
from sys2ft.training import JOINT, AdapterJob

PORTION = 256
"""Most news items that a stage has in memory with their elements or answers. A constant, since a resumed run must
divide the news items as before."""
T = TypeVar("T")


def portions(items: Sequence[T]) -> list[Sequence[T]]:
    """The items in their order, divided into parts of almost equal size."""
    count = -(-len(items) // PORTION) or 1
    return [items[len(items) * part // count : len(items) * (part + 1) // count] for part in range(count)]


def to_train(cell: Cell, news: Sequence[News]) -> list[Sequence[News]]:
    """The portions in which the adapters of a cell are trained: a joint adapter has one."""
    return [news] if cell.train.adapters == JOINT else portions(news)


def elements_of(run: Run, protocol_name: str) -> Iterator[ReplayElement]:
    """The elements of one of the run's protocols, kept and rejected, one at a time."""
    rows = iterate_jsonl(run.path / "replay" / f"{protocol_name}.jsonl")
    return (ReplayElement.from_dict(row) for row in rows)


def elements_by_portion(
    run: Run, protocol_name: str, divided: Sequence[Sequence[News]]
) -> Iterator[Iterable[ReplayElement]]:
    """The elements of each portion, in order; they are in the file in the order of the news items."""
    if len(divided) == 1:
        yield elements_of(run, protocol_name)
        return
    every, following = elements_of(run, protocol_name), list[ReplayElement]()
    for own in divided:
        ids = {item.id for item in own}
        found, following = following, []
        if found and found[0].news_id not in ids:
            found, following = [], found
        else:
            for element in every:
                if element.news_id not in ids:
                    following = [element]
                    break
                found.append(element)
        yield found


def jobs_by_portion(run: Run, cell: Cell, news: Sequence[News]) -> Iterator[list[AdapterJob]]:
    """The adapter jobs of each portion of a cell's news items."""
    divided = to_train(cell, news)
    for own, elements in zip(divided, elements_by_portion(run, cell.protocol, divided), strict=True):
        yield cell.jobs(elements, own)


def version_of(versions: Sequence[str]) -> str:
    """The version of a training from those of its portions."""
    return versions[0] if len(versions) == 1 else digest(list(versions))


def training_version(run: Run, cell: Cell, news: Sequence[News]) -> str:
    """A digest of everything that decides the adapters of a cell, from the elements in the folder."""
    return version_of([cell.version(jobs) for jobs in jobs_by_portion(run, cell, news)])
