"""Convert records of common data sets, recognised by their fields, into texts with questions.

SQuAD (articles, or rows of one question), contexts with a flat list of questions, Fictional Knowledge, CounterFact and
ZsRE edits, and news items of this package. Prompts to be completed become questions that say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sys2ft.news.importers.pieces import Bad, Entry, Piece, Remark, Source, excerpt
from sys2ft.news.importers.texts import clean
from sys2ft.news.problems import describe, news_error
from sys2ft.news.records import parse
from sys2ft.news.schema import Kind, Question

COMPLETE = "Complete this statement: "
"""Prefix of a prompt that was written to be continued, used as a question."""

_UNANSWERABLE = "question without an answer (unanswerable by the text)"
_UNUSABLE = "question that cannot be used: no text or no answer"
_NEIGHBOURS = "prompts on neighbours, whose answers must not change: a news file has no place for them"


def _listed(value: object) -> object:
    return [] if value is None else value if isinstance(value, list) else [value]


Words = Annotated[list[str], BeforeValidator(_listed)]
"""One text or several."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)


class _Answer(_Record):
    text: str
    answer_start: int | None = None


class _Qa(_Record):
    question: str
    answers: list[_Answer] = []


class _Paragraph(_Record):
    context: str
    qas: list[_Qa] = []


class _Article(_Record):
    title: str = ""
    paragraphs: list[_Paragraph]

    def pieces(self, place: str) -> Iterator[Piece]:
        """An article of SQuAD: paragraphs with questions and answers within them."""
        for number, paragraph in enumerate(self.paragraphs, start=1):
            here, context = f"{place}, paragraph {number}", clean(paragraph.context)
            asked: list[Question] = []
            positions: list[int | None] = []
            for one in paragraph.qas:
                made = question_of(one.question, [a.text for a in one.answers], here)
                if isinstance(made, Remark):
                    yield made
                    continue
                # Offsets refer to the original text. The text is stripped later; if cleaning removed characters, the
                # answer is searched instead.
                at = one.answers[0].answer_start if context == paragraph.context else None
                asked.append(made)
                positions.append(None if at is None else at - (len(context) - len(context.lstrip())))
            text, titles = context.strip(), _titles(self.title)
            yield Entry(text=text, titles=titles, place=here, questions=tuple(asked), answer_at=tuple(positions))


class _Answers(_Record):
    text: list[str]


class _SquadRow(_Record):
    title: str = ""
    context: str
    question: str
    answers: _Answers

    def pieces(self, place: str) -> Iterator[Piece]:
        """A row of SQuAD as a table: one question, with its context."""
        yield from _entry(self.context, [question_of(self.question, self.answers.text, place)], place, self.title)


class _FlatQuestion(_Record):
    question: str
    answer: Words


class _Flat(_Record):
    title: str = ""
    context: str
    questions: list[_FlatQuestion]

    def pieces(self, place: str) -> Iterator[Piece]:
        """A context with a flat list of questions."""
        asked = [question_of(one.question, one.answer, place) for one in self.questions]
        yield from _entry(self.context, asked, place, self.title)


class _Fictional(_Record):
    train_context: str
    mem_input: list[str]
    mem_target: list[str]
    gen_input: list[str] = []
    gen_target: list[str] = []
    hard_gen_input: list[str] = []
    hard_gen_target: list[str] = []

    def pieces(self, place: str) -> Iterator[Piece]:
        """Fictional Knowledge: a passage, and probes of memory, of paraphrases and of inference."""
        probes: tuple[tuple[str, list[str], list[str], Kind], ...] = (
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
            asked += [question_of(_completed(given), [wanted], place, kind=kind) for given, wanted in pairs]
        yield from _entry(self.train_context, asked, place)


class _Target(_Record):
    name: str = Field(alias="str")


class _Rewrite(_Record):
    prompt: str
    subject: str
    target_new: _Target
    target_true: _Target | None = None


class _CounterFact(_Record):
    requested_rewrite: _Rewrite
    paraphrase_prompts: list[str] = []
    neighborhood_prompts: list[Any] = []

    def pieces(self, place: str) -> Iterator[Piece]:
        """The new statement is the text; the old object is the wrong choice."""
        edit = self.requested_rewrite
        old = [edit.target_true.name] if edit.target_true else []
        prompt = edit.prompt.replace("{}", edit.subject)
        yield from _edit(prompt, edit.target_new.name, old, self.paraphrase_prompts, self.neighborhood_prompts, place)


class _FlatEdit(_Record):
    prompt: str
    target_new: str
    ground_truth: Words = []
    rephrase_prompt: Words = []
    locality_prompt: Words = []

    def pieces(self, place: str) -> Iterator[Piece]:
        """An edit with flat prompt and target, as editing libraries store CounterFact and ZsRE."""
        old, others = self.ground_truth, self.rephrase_prompt
        yield from _edit(self.prompt, self.target_new, old, others, self.locality_prompt, place)


class _Zsre(_Record):
    src: str
    alt: str
    answers: Words = []
    pred: Words = []
    rephrase: Words = []
    loc: Words = []

    def pieces(self, place: str) -> Iterator[Piece]:
        """A question with its new answer is the text; the old answers are wrong choices."""
        yield from _edit(self.src, self.alt, [*self.answers, *self.pred], self.rephrase, self.loc, place)


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
        yield Entry(text=news.text, place=place, questions=news.questions, made=news)


SHAPES = (
    _by("SQuAD articles", _Article, "paragraphs"),
    _by("SQuAD rows", _SquadRow, "context", "question", "answers.text"),
    _by("contexts with questions", _Flat, "context", "questions"),
    _by("Fictional Knowledge", _Fictional, "train_context", "mem_input", "mem_target"),
    _by("CounterFact", _CounterFact, "requested_rewrite"),
    _by("ZsRE edits", _Zsre, "src", "alt"),
    _by("edits", _FlatEdit, "prompt", "target_new"),
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


def question_of(
    text: str, answers: Sequence[str], place: str, *, wrong: Sequence[str] = (), kind: Kind | None = None
) -> Question | Remark:
    """A question with the first of `answers`, the others as aliases; or a remark that it is not usable."""
    said = list(dict.fromkeys(one for one in (clean(answer).strip() for answer in answers) if one))
    if not said or not clean(text).strip():
        return Remark(what=_UNUSABLE if answers else _UNANSWERABLE, place=place, shown=excerpt(text))
    right = {one.casefold() for one in said}
    others = {one.casefold(): one for one in (clean(answer).strip() for answer in wrong) if one}
    distinct = [one for form, one in others.items() if form not in right]
    try:
        return Question(
            text=clean(text),
            answer=said[0],
            aliases=tuple(said[1:]),
            choices=(said[0], *distinct) if distinct else (),
            kind=kind,
        )
    except ValidationError:  # half of a surrogate pair
        return Remark(what=_UNUSABLE, place=place, shown=excerpt(text))


def _entry(text: str, asked: Sequence[Question | Remark], place: str, title: str = "") -> Iterator[Piece]:
    """A record's text with its usable questions, and remarks on the others."""
    yield from (one for one in asked if isinstance(one, Remark))
    questions = tuple(one for one in asked if isinstance(one, Question))
    yield Entry(text=clean(text).strip(), titles=_titles(title), place=place, questions=questions)


def _edit(
    prompt: str, new: str, old: Sequence[str], rephrased: Sequence[str], neighbours: Sequence[object], place: str
) -> Iterator[Piece]:
    """An edit: prompt and new object are the text, and each wording of the prompt is a question with two choices."""
    is_question = prompt.rstrip().endswith("?")
    text = f"{prompt.strip()} {new.strip()}" + ("" if is_question or new.rstrip().endswith(".") else ".")
    wordings = dict.fromkeys((prompt, *rephrased))
    asked = [question_of(_completed(one), [new], place, wrong=old, kind="recall") for one in wordings if one.strip()]
    yield from _entry(text, asked, place)
    if neighbours:
        yield Remark(what=_NEIGHBOURS, place=place, shown=f"{len(neighbours)}, such as {excerpt(str(neighbours[0]))!r}")


def _completed(prompt: str) -> str:
    """A prompt as a question; a statement to be continued gets a prefix that says so."""
    return prompt if prompt.rstrip().endswith("?") else COMPLETE + prompt.strip()


def _titles(title: str) -> tuple[str, ...]:
    words = " ".join(clean(title).replace("_", " ").split())
    return (words,) if words else ()
