"""Convert records of common data sets, recognised by their fields, into texts with questions.

SQuAD and CMRC (articles, passages, or rows of one question), contexts with a flat list of questions, Fictional
Knowledge, the edits of `edits`, and news items of this package. Prompts to be completed become questions that say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError

from sys2ft.news.importers.asked import Record, Words, completed, entry_of, question_of, titles_of
from sys2ft.news.importers.edits import CounterFact, FlatEdit, Mquake, Ripple, WikiBio, Zsre
from sys2ft.news.importers.pieces import Bad, Entry, Piece, Remark, Source, excerpt
from sys2ft.news.importers.texts import clean
from sys2ft.news.problems import describe, news_error
from sys2ft.news.records import parse
from sys2ft.news.schema import Kind, Question


class _Answer(Record):
    text: str
    answer_start: int | None = None


def _as_answers(value: object) -> object:
    """Answers as a list of mappings: CMRC has texts, rows of SQuAD a mapping of lists."""
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        starts = value.get("answer_start") or [None] * len(value["text"])
        return [{"text": text, "answer_start": at} for text, at in zip(value["text"], starts, strict=False)]
    return [{"text": one} if isinstance(one, str) else one for one in value] if isinstance(value, list) else value


class _Qa(Record):
    question: str = Field(validation_alias=AliasChoices("question", "query_text"))
    answers: Annotated[tuple[_Answer, ...], BeforeValidator(_as_answers)] = ()


class _Paragraph(Record):
    title: str = ""
    context: str = Field(validation_alias=AliasChoices("context", "context_text"))
    qas: tuple[_Qa, ...] = ()

    def pieces(self, place: str) -> Iterator[Piece]:
        """A passage with questions and answers within it."""
        context = clean(self.context)
        asked: list[Question] = []
        positions: list[int | None] = []
        for one in self.qas:
            made = question_of(one.question, [a.text for a in one.answers], place)
            if isinstance(made, Remark):
                yield made
                continue
            at = _nearest(context, made.answer, one.answers[0].answer_start)
            asked.append(made)
            positions.append(None if at is None else at - (len(context) - len(context.lstrip())))
        text, titles = context.strip(), titles_of(self.title)
        yield Entry(text=text, titles=titles, place=place, questions=tuple(asked), answer_at=tuple(positions))


def _nearest(context: str, answer: str, given: int | None) -> int | None:
    """The offset of the answer nearest to the given one, which may count otherwise; None if it is not in the text."""
    if given is None:
        return None
    after, before = context.find(answer, max(given, 0)), context.rfind(answer, 0, max(given, 0) + len(answer))
    return min((at for at in (after, before) if at >= 0), key=lambda at: abs(at - given), default=None)


class _Article(Record):
    title: str = ""
    paragraphs: list[_Paragraph]

    def pieces(self, place: str) -> Iterator[Piece]:
        """An article of SQuAD: passages under one title."""
        for number, paragraph in enumerate(self.paragraphs, start=1):
            titled = paragraph.model_copy(update={"title": paragraph.title or self.title})
            yield from titled.pieces(f"{place}, paragraph {number}")


class _SquadRow(Record):
    title: str = ""
    context: str
    question: str
    answers: Words

    def pieces(self, place: str) -> Iterator[Piece]:
        """A row of SQuAD as a table: one question, with its context."""
        yield from entry_of(self.context, [question_of(self.question, self.answers, place)], place, self.title)


class _FlatQuestion(Record):
    question: str
    answer: Words


class _Flat(Record):
    title: str = ""
    context: str
    questions: list[_FlatQuestion]

    def pieces(self, place: str) -> Iterator[Piece]:
        """A context with a flat list of questions."""
        asked = [question_of(one.question, one.answer, place) for one in self.questions]
        yield from entry_of(self.context, asked, place, self.title)


class _Fictional(Record):
    train_context: str
    mem_input: tuple[str, ...]
    mem_target: tuple[str, ...]
    gen_input: tuple[str, ...] = ()
    gen_target: tuple[str, ...] = ()
    hard_gen_input: tuple[str, ...] = ()
    hard_gen_target: tuple[str, ...] = ()

    def pieces(self, place: str) -> Iterator[Piece]:
        """Fictional Knowledge: a passage, and probes of memory, of paraphrases and of inference."""
        probes: tuple[tuple[str, Sequence[str], Sequence[str], Kind], ...] = (
            ("mem", self.mem_input, self.mem_target, "recall"),
            ("gen", self.gen_input, self.gen_target, "recall"),
            ("hard_gen", self.hard_gen_input, self.hard_gen_target, "implication"),
        )
        asked: list[Question | Remark] = []
        for name, inputs, targets, kind in probes:
            if len(inputs) != len(targets):
                shown = f"{len(inputs)} and {len(targets)}"
                yield Remark(what=f"{name}_input and {name}_target of different lengths", place=place, shown=shown)
                continue
            pairs = zip(inputs, targets, strict=True)
            asked += [question_of(completed(given), [wanted], place, kind=kind) for given, wanted in pairs]
        yield from entry_of(self.train_context, asked, place)


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of record: its name, the fields that identify it, and its reader."""

    name: str
    fields: tuple[str, ...]
    read: Callable[[Source, Mapping[str, Any], str], Iterator[Piece]]


def _by(name: str, model: Any, *fields: str) -> Shape:
    def read(source: Source, row: Mapping[str, Any], place: str) -> Iterator[Piece]:
        try:
            record = model.model_validate(row)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            found = "no such field" if first["type"] == "missing" else describe(first["input"])
            problem = source.error(
                f"{found} at {where}",
                expected=f"a record of the form {name!r}: {first['msg'].lower()}",
                fix="correct the record, or skip it with --skip-bad",
                place=place,
            )
            yield Bad(problem)
            return
        yield from record.pieces(place)

    return Shape(name, fields, read)


def _news(source: Source, row: Mapping[str, Any], place: str) -> Iterator[Piece]:
    """News items of this package, with id, domain and questions unchanged."""
    news, problems = parse(row)
    if news is None:
        yield Bad(news_error(f"{source.name}, {place}", problems))
    else:
        yield Entry(
            text=news.text,
            place=place,
            questions=news.questions,
            neighbours=news.neighbours,
            cloze=news.cloze,
            made=news,
        )


SHAPES = (
    _by("SQuAD articles", _Article, "paragraphs"),
    _by("SQuAD rows", _SquadRow, "context", "question", "answers.text"),
    _by("passages", _Paragraph, "context", "qas"),
    _by("CMRC passages", _Paragraph, "context_text", "qas"),
    _by("contexts with questions", _Flat, "context", "questions"),
    _by("Fictional Knowledge", _Fictional, "train_context", "mem_input", "mem_target"),
    _by("MQuAKE", Mquake, "requested_rewrite", "questions", "new_answer"),
    _by("CounterFact", CounterFact, "requested_rewrite"),
    _by("ZsRE edits", Zsre, "src", "alt"),
    _by("edits (KnowEdit, EasyEdit)", FlatEdit, "prompt", "target_new"),
    _by("KnowEdit's WikiBio", WikiBio, "text", "labels", "locality"),
    _by("RippleEdits", Ripple, "edit.prompt"),
    Shape("news", ("id", "news"), _news),
)


def recognise(row: object) -> Shape | None:
    """The shape whose fields a record has; None if it is unknown."""
    if not isinstance(row, Mapping):
        return None
    return next((shape for shape in SHAPES if all(_has(row, field) for field in shape.fields)), None)


def _has(row: Mapping[str, Any], path: str) -> bool:
    value: Any = row
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True


def known_shapes() -> str:
    """The known shapes, for errors."""
    return "; ".join(f"{shape.name} ({', '.join(shape.fields)})" for shape in SHAPES)


def of_another_shape(source: Source, row: object, place: str) -> Bad:
    """A record of an unknown shape."""
    shown = f"a record with the fields {', '.join(map(str, row))}" if isinstance(row, Mapping) else describe(row)
    problem = source.error(
        excerpt(shown, 200),
        expected=f"a field with the text, or a record of one of these forms: {known_shapes()}",
        fix="name the text field with --text-fields, or convert the records to one of these forms",
        place=place,
    )
    return Bad(problem)
