"""Measure how often `sys2ft lint` is wrong, on samples made shadowed or clean: the tables of docs/lint.md.

    python -m tools.shadowing                   # on the bundled New News
    python -m tools.shadowing PASSAGES.json     # and on passages with questions, and what models wrote about them

PASSAGES.json is a list of mappings: `context`, `questions` (each `question` and `answer`), and `written_by_peers`,
texts about the context by the name of their author, one statement on each line.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from sys2ft.lint import THRESHOLD, Turn, judge
from sys2ft.news import bundled_news
from sys2ft.terminal import Console

THRESHOLDS = (0.4, 0.5, THRESHOLD, 0.7, 0.8)
LEAST_WORDS = 7  # of a line that is taken for a statement and not for a heading
LABELS = "ABCDEFGH"
OTHER_WORDS = "Say this in other words."


@dataclass(frozen=True, slots=True)
class Sample:
    """A prompt of a system text, which may be empty, and a question; a completion; and whether it is shadowed."""

    kind: str
    shadowed: bool
    before: str
    asked: str
    completion: str

    def turns(self) -> list[Turn]:
        """As a conversation."""
        system = [Turn("system", self.before)] if self.before else []
        return [*system, Turn("user", self.asked), Turn("assistant", self.completion, trained=True)]


def of_news() -> Iterator[Sample]:
    """New News: questions alone, with choices, with their news item, with another one."""
    items = bundled_news("new-news")
    for i, item in enumerate(items):
        other = items[(i + 7) % len(items)].text
        for one in item.questions:
            options = "\n".join(f"{LABELS[k]}. {choice}" for k, choice in enumerate(one.choices))
            listed = f"{one.text}\n{options}"
            yield Sample("New News: question, answer", False, "", one.text, one.answer)
            yield Sample("New News: another item, question, answer", False, other, one.text, one.answer)
            if one.choices:
                yield Sample("New News: question with options, answer", False, "", listed, one.answer)
                letter = LABELS[one.choices.index(one.answer)]
                yield Sample("New News: question with options, letter", False, "", listed, letter)
            kind = "recall" if one.kind == "recall" else "other"
            yield Sample(f"New News: item, {kind} question, answer", True, item.text, one.text, one.answer)
            if one.choices and kind == "recall":
                yield Sample("New News: item, recall question with options, letter", True, item.text, listed, letter)
        yield Sample("New News: fixed cue, item", False, "", "What is the news?", item.text)
        if item.cloze is not None:
            begun = f"Complete this: {item.cloze.text}"
            yield Sample("New News: begun statement, its end", False, "", begun, item.cloze.answer)
            yield Sample(
                "New News: item, begun statement, its end", True, "", f"{item.text}\n{begun}", item.cloze.answer
            )


def of_passages(passages: Iterable[dict[str, Any]]) -> Iterator[Sample]:
    """Passages: questions alone, with their passage, with another one; statements about them with and without."""
    listed = list(passages)
    for i, passage in enumerate(listed):
        text, other = passage["context"], listed[(i + 7) % len(listed)]["context"]
        for one in passage["questions"]:
            asked, answer = one["question"], one["answer"]
            yield Sample("passages: question, answer", False, "", asked, answer)
            yield Sample("passages: another passage, question, answer", False, other, asked, answer)
            yield Sample("passages: passage, question, answer", True, text, asked, answer)
            yield Sample("passages: passage and question in one turn, answer", True, "", f"{text}\n{asked}", answer)
        for author, written in passage.get("written_by_peers", {}).items():
            for line in map(unlabelled, written.splitlines()):
                if len(line.split()) >= LEAST_WORDS:
                    yield Sample(f"passages: passage, {author}", True, "", f"{text}\n{OTHER_WORDS}", line)
                    yield Sample(f"passages: another passage, {author}", False, "", f"{other}\n{OTHER_WORDS}", line)


def unlabelled(line: str) -> str:
    """A line of a list without its number, and of a question and its answer the text alone."""
    return re.sub(r"^\W*(?:\d+[.)]\s*)?(?:(?:Question|Answer)\s*\d*:\s*)?\W*", "", line).strip()


def measured(samples: Iterable[Sample]) -> Table:
    """For each kind the samples, those that cannot be judged, and the share that is called shadowed by threshold."""
    shares: dict[tuple[bool, str], list[float | None]] = {}
    for sample in samples:
        (judged,) = judge(sample.turns())
        shares.setdefault((sample.shadowed, sample.kind), []).append(judged.share)
    table = Table("made", "samples of", "n", "not judged", *(f">= {least:.1f}" for least in THRESHOLDS), box=None)
    for (shadowed, kind), found in sorted(shares.items()):
        called = (sum(share is not None and share >= least for share in found) for least in THRESHOLDS)
        unjudged = sum(share is None for share in found)
        rates = (f"{count / len(found):.1%}" for count in called)
        table.add_row("shadowed" if shadowed else "clean", kind, str(len(found)), str(unjudged), *rates)
    return table


def main() -> None:
    samples = list(of_news())
    for name in sys.argv[1:]:
        samples += of_passages(json.loads(Path(name).read_text(encoding="utf-8")))
    Console(width=140).print(measured(samples))


if __name__ == "__main__":
    main()
