"""Split documents into passages of whole sentences under their title path, each within a token budget.

Nothing is cut off. Only a sentence longer than the whole budget is split, between words if it has any. A title path
longer than a quarter of the budget loses its outer titles. Both are reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sys2ft.news.importers.joints import joint as joint_of, parts_of
from sys2ft.news.importers.pieces import Bad, Block, Entry, Remark, excerpt
from sys2ft.news.importers.sentences import sentences
from sys2ft.news.schema import Cloze, Question

Count = Callable[[str], int]
BYTES_A_TOKEN = 3
"""The estimate without a tokenizer. English prose has 4 to 5 bytes of UTF-8 per token, so the estimate is high there;
text of digits, which some tokenizers encode singly, may have fewer."""
_TITLES_SHARE = 4
_CHARACTERS = 16  # upper bound of a token, except for long runs of one character


def estimate_tokens(text: str) -> int:
    """Tokens of a text, estimated from its bytes."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_A_TOKEN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """The text of one news item, title path included, with its place and record."""

    text: str
    place: str
    entry: Entry | None = None
    """The source record with the questions of this passage; None for a part of a document."""


@dataclass(frozen=True, slots=True)
class _Unit:
    """An indivisible part: a sentence or a line, and the white space that joins it to the previous one."""

    text: str
    joint: str
    place: str


class Packer:
    """Fills passages with the blocks of a document in order."""

    def __init__(self, max_tokens: int, count: Count, language: str) -> None:
        self.max_tokens, self.count, self.language = max_tokens, count, language
        self._titles: tuple[str, ...] = ()
        self._head = ""
        self._units: list[_Unit] = []
        self._size = 0

    def pack(self, pieces: Iterable[Block | Entry | Remark | Bad]) -> Iterator[Passage | Remark | Bad]:
        """Passages of all pieces in order; remarks and bad records pass through."""
        for piece in pieces:
            if isinstance(piece, Block):
                yield from self._add(piece)
                continue
            if isinstance(piece, Entry):
                yield from self._flush()
                yield from self._entry(piece)
            else:
                yield piece
        yield from self._flush()

    def _add(self, block: Block) -> Iterator[Passage | Remark]:
        if not re.search(r"\w", block.text):
            if block.text.strip():
                yield Remark(what="no words in it", place=block.place, shown=excerpt(block.text))
            return
        if block.titles != self._titles or not self._units:
            yield from self._flush()
            self._titles = block.titles
            self._head, remarks = self._heading(block.titles, block.place)
            yield from remarks
        budget = self.max_tokens - self.count(self._head)
        units, remarks = self._divide(block, budget)
        yield from remarks
        sizes = [self.count(unit.text) + 1 for unit in units]
        # A block that no longer fits but would fit into a new passage starts one instead of being split.
        if self._units and self._size + sum(sizes) > budget >= sum(sizes) and 2 * self._size > budget:
            yield from self._flush(keep_head=True)
        for unit, size in zip(units, sizes, strict=True):
            if self._units and self._size + size > budget:
                yield from self._flush(keep_head=True)
            self._units.append(unit)
            self._size += size

    def _heading(self, titles: Sequence[str], place: str) -> tuple[str, list[Remark]]:
        """The title path as the passage's first line; outer titles are dropped if it is too long."""
        for start in range(len(titles)):
            line = " > ".join(titles[start:]) + "\n"
            if self.count(line) * _TITLES_SHARE <= self.max_tokens:
                break
        else:
            start, line = len(titles), ""
        if not start:
            return line, []
        gone = excerpt(" > ".join(titles[:start]))
        return line, [Remark(what="title path shortened to a quarter of the budget", place=place, shown=gone)]

    def _divide(self, block: Block, budget: int) -> tuple[list[_Unit], list[Remark]]:
        units: list[_Unit] = []
        remarks = []
        if block.by_line:
            parts = [line.rstrip() for line in block.text.split("\n")]
        else:
            parts = [" ".join(part.split()) for part in sentences(block.text, self.language)]
        for part in parts:
            if not part.strip():
                continue
            smaller = fit(part, budget - 1, self.count)
            if len(smaller) > 1:
                what = "longer than the budget without a sentence boundary: split between words"
                remarks.append(Remark(what=what, place=block.place, shown=excerpt(part), left_out=False))
            for number, text in enumerate(smaller):
                before = units[-1].text if units else ""
                joint = "\n" if block.by_line and number == 0 else joint_of(before.rstrip(), text)
                units.append(_Unit(text, joint, block.place))
        if units:
            units[0] = replace(units[0], joint="\n")
        return units, remarks

    def _flush(self, keep_head: bool = False) -> Iterator[Passage]:
        while self._units:
            taken = len(self._units)
            # The sizes of parts do not bound the whole: a tokenizer may encode the joints differently.
            while taken > 1 and self.count(self._text(taken)) > self.max_tokens:
                taken -= 1
            yield Passage(text=self._text(taken), place=self._units[0].place)
            del self._units[:taken]
        self._size = 0
        if not keep_head:
            self._titles, self._head = (), ""

    def _text(self, taken: int) -> str:
        first, *rest = self._units[:taken]
        return self._head + first.text + "".join(unit.joint + unit.text for unit in rest)

    def _entry(self, entry: Entry) -> Iterator[Passage | Remark]:
        """A record: one passage if it fits, else several, each with the questions whose answer it contains."""
        if not re.search(r"\w", entry.text):
            yield Remark(what="no words in it", place=entry.place, shown=excerpt(entry.text))
            return
        head, remarks = self._heading(entry.titles, entry.place)
        yield from remarks
        if self.count(head + entry.text) <= self.max_tokens:
            yield Passage(text=head + entry.text, place=entry.place, entry=entry)
            return
        spans, remarks = self._spans(entry, self.max_tokens - self.count(head) - 1)
        yield from remarks
        texts = [entry.text[start:end] for start, end in spans]
        mine: list[list[Question]] = [[] for _ in spans]
        at = entry.answer_at or (None,) * len(entry.questions)
        lost = "question about a text that was split, whose answer is in no part"
        for question, position in zip(entry.questions, at, strict=True):
            number = _where(question, position, spans, texts)
            if number is None:
                yield Remark(what=lost, place=entry.place, shown=excerpt(question.text))
            else:
                mine[number].append(question)
        open_end = _where(entry.cloze, None, spans, texts) if entry.cloze else None
        if entry.cloze and open_end is None:
            yield Remark(what=lost, place=entry.place, shown=excerpt(entry.cloze.text))
        what = "longer than the budget: split at sentence boundaries"
        yield Remark(what=what, place=entry.place, shown=f"{len(spans)} passages", left_out=False)
        for number, (text, own) in enumerate(zip(texts, mine, strict=True), start=1):
            part = replace(
                entry,
                text=text,
                questions=tuple(own),
                answer_at=(),
                neighbours=entry.neighbours if number == 1 else (),
                cloze=entry.cloze if number - 1 == open_end else None,
            )
            place = f"{entry.place}, part {number}" if entry.place else f"part {number}"
            yield Passage(text=head + text.strip(), place=place, entry=part)

    def _spans(self, entry: Entry, budget: int) -> tuple[list[tuple[int, int]], list[Remark]]:
        """Start and end of the parts of a long text, which cover it."""
        pieces: list[str] = []
        remarks = []
        for sentence in sentences(entry.text, self.language):
            smaller = fit(sentence, budget, self.count)
            if len(smaller) > 1:
                what = "longer than the budget without a sentence boundary: split between words"
                remarks.append(Remark(what=what, place=entry.place, shown=excerpt(sentence), left_out=False))
            pieces += smaller
        spans, start, end = [], 0, 0
        for piece in pieces:
            if end > start and self.count(entry.text[start : end + len(piece)].strip()) > budget:
                spans.append((start, end))
                start = end
            end += len(piece)
        spans.append((start, end))
        return spans, remarks


def fit(text: str, budget: int, count: Count) -> list[str]:
    """`text` in parts of at most `budget` tokens, split before a word if possible; joined, they equal the text."""
    parts, start = [], 0
    # Only a window is tokenised, so that the time per part does not grow with the text.
    while len(text) - start > (window := _CHARACTERS * budget) or count(text[start:]) > budget:
        low, high = 1, min(window, len(text) - start)
        while low < high:  # bisection over the length: tokens grow with it
            middle = (low + high + 1) // 2
            low, high = (middle, high) if count(text[start : start + middle]) <= budget else (low, middle - 1)
        border = max((m.end() for m in re.finditer(r"\s+", text[start : start + low])), default=0)
        end = start + (border if border > low // 2 else low)
        parts.append(text[start:end])
        start = end
    return [*parts, text[start:]] if start < len(text) or not parts else parts


def _where(
    question: Question | Cloze, position: int | None, spans: Sequence[tuple[int, int]], texts: Sequence[str]
) -> int | None:
    """The part with a question's answer: by offset if known, else the part most similar to the question."""
    if position is not None:
        return next((n for n, (start, end) in enumerate(spans) if start <= position < end), None)
    sought = [answer.casefold() for answer in (question.answer, *question.aliases)]
    holding = [n for n, text in enumerate(texts) if any(answer in text.casefold() for answer in sought)]
    asked = parts_of(question.text)
    return max(holding, key=lambda n: len(asked & parts_of(texts[n])), default=None)
