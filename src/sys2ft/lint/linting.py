"""Read training files, judge every sample, and collect what was found; memory does not grow with the files."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from sys2ft.errors import SettingsError
from sys2ft.lint.reading import Source, rows
from sys2ft.lint.records import FORMS, Record, UnknownRow, record_of
from sys2ft.lint.report import Example, LintReport, Tally, excerpt, total_of
from sys2ft.lint.shadow import THRESHOLD, Judged, judge
from sys2ft.lint.shared import Leading, Shared

SHARED_SHOWN = 3


def lint(
    files: Sequence[Path],
    *,
    threshold: float = THRESHOLD,
    examples: int = 5,
    advance: Callable[[int], None] = lambda size: None,
) -> LintReport:
    """Judge all samples of the files. `examples` is the number of the worst to keep.

    `advance` is called with the number of bytes read since its last call (of a compressed file, of its content).

    Raises:
        SettingsError: there is no file, or the threshold is not above 0 and at most 1.
        UserError: a file cannot be read, is empty, or has a record of an unknown form.
    """
    if not files:
        raise SettingsError("no file", expected="one or more files of training data", fix="sys2ft lint data.jsonl")
    if not 0 < threshold <= 1:
        raise SettingsError(
            f"threshold={threshold:g}", expected="above 0, at most 1", fix="the default is a good start"
        )
    found = _Found(threshold, examples)
    tallies = [found.read(Source(file, advance)) for file in files]
    worst = [example for _, _, example in sorted(found.worst, key=lambda entry: (-entry[0], -entry[1]))]
    return LintReport(
        threshold=threshold,
        files=tallies,
        total=total_of(tallies),
        examples=worst,
        shared=found.leading.most(SHARED_SHOWN),
    )


class _Found:
    """What was found so far in all files."""

    def __init__(self, threshold: float, examples: int) -> None:
        self.threshold, self.examples = threshold, examples
        self.leading = Leading()
        self.worst: list[tuple[int, int, Example]] = []
        self._number = count(0, -1)  # of equally bad samples the first are kept

    def read(self, source: Source) -> Tally:
        """Judge the samples of one file."""
        tally = Tally(file=str(source.path))
        for line, row in rows(source):
            try:
                record = record_of(row)
            except UnknownRow as error:
                raise source.error(
                    str(error), line=line, expected="one of: " + "; ".join(FORMS), fix="rename the fields"
                ) from error
            tally.forms[record.form] += 1
            tally.not_text += record.not_text
            if record.rejected:
                tally.rejected += 1
            else:
                self._judge(record, line, tally)
        if not tally.forms:
            raise source.error("no records: it is empty", expected="training samples", fix="check the file, or omit it")
        if not tally.samples and not tally.forms["text"] and not tally.rejected:
            raise source.error(
                f"{tally.forms.total()} records, none of them with a completion",
                expected="an answer of the assistant, or a completion, in some record",
                fix="check that the file is training data, and not prompts alone",
            )
        return tally

    def _judge(self, record: Record, line: int, tally: Tally) -> None:
        trained = [i for i, turn in enumerate(record.turns) if turn.trained]
        leading = self.leading.add(record.turns[: trained[0]], f"{tally.file}:{line}") if trained else None
        for number, judged in enumerate(judge(record.turns), start=1):
            tally.samples += 1
            tally.words += judged.words
            tally.without_own_words += judged.share is None
            if judged.share is not None and judged.share >= self.threshold:
                self._shadowed(judged, line, number, tally, leading)
            else:
                tally.about += judged.about

    def _shadowed(self, judged: Judged, line: int, number: int, tally: Tally, leading: Shared | None) -> None:
        assert judged.share is not None and judged.place is not None
        place = judged.place
        tally.shadowed += 1
        tally.shadowed_words += judged.words
        tally.by_place[place.role] += 1
        if leading is not None and place.text in leading.text:
            leading.shadowed += 1
        entry = (judged.words, next(self._number))
        if len(self.worst) >= self.examples and (not self.worst or entry < self.worst[0][:2]):
            return
        example = Example(
            file=tally.file,
            line=line,
            turn=number,
            share=round(judged.share, 3),
            role=place.role,
            prompt=excerpt(place.text),
            completion=excerpt(judged.completion),
            words=judged.words,
        )
        heapq.heappush(self.worst, (*entry, example))
        if len(self.worst) > self.examples:
            heapq.heappop(self.worst)
