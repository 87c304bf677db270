"""Records of knowledge editing: CounterFact, ZsRE, KnowEdit, RippleEdits and MQuAKE.

The new statement is the text of a news item. Its prompt and paraphrases are questions with the old object as a wrong
choice, the prompt is its cloze, prompts of portability are questions of other kinds, and prompts whose answers must not
change (neighbourhood, locality) are its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError

from sys2ft.news.importers.asked import QUESTION_MARKS, Record, Words, completed, question_of
from sys2ft.news.importers.joints import joint
from sys2ft.news.importers.pieces import Entry, Piece, Remark, excerpt
from sys2ft.news.importers.texts import clean
from sys2ft.news.importers.values import MISSING, answers_of
from sys2ft.news.schema import Cloze, Kind, Question

_SUBJECT = frozenset(["", "0", "subject", "entity"])
_BRACES = re.compile(r"\{([^{}]*)\}")
_ENDS = (*QUESTION_MARKS, ".", "!", "。", "！", "।")
_KINDS: dict[str, Kind] = {
    "subject_aliasing": "recall",
    "reasoning": "two_hop",
    "compositionality_i": "two_hop",
    "compositionality_ii": "two_hop",
}
"""Kinds of the questions of portability; the others are implications."""
_UNCHANGED = ("relation_specificity", "forgetfulness")
"""Groups of RippleEdits whose answers the edit must not change."""
_NO_ANSWER = "prompts without an answer in the record: omitted"
_NO_FORM = "probe of an unknown form: omitted"


def _name(value: object) -> object:
    return value.get("str", value.get("name", value)) if isinstance(value, Mapping) else value


Names = Annotated[Words, BeforeValidator(_name)]
"""One object or several, perhaps as `{'str': ..., 'id': ...}`."""


@dataclass(slots=True)
class _Edit:
    """A statement that becomes true, what stood there before, and what is asked about it."""

    place: str
    prompt: str
    new: Sequence[str]
    subject: str = ""
    old: Sequence[str] = ()
    rephrased: Sequence[str] = ()
    further: list[Question | Remark] = field(default_factory=list)
    neighbours: list[Question | Remark] = field(default_factory=list)

    def pieces(self) -> Iterator[Piece]:
        """The entry, after remarks on what is omitted or changed."""
        new = [one for one in self.new if one not in MISSING]
        prompts = [filled(one, self.subject) for one in (self.prompt, *self.rephrased) if one.strip()]
        if not new or not prompts or (not self.subject.strip() and any("{}" in one for one in prompts)):
            missing = "a target" if not new else "a prompt" if not prompts else "the subject that its prompt refers to"
            yield Remark(what=f"edit without {missing}", place=self.place, shown=excerpt(self.prompt))
            return
        if any(_BRACES.search(one.replace("{}", "")) for one in (self.subject, self.prompt)):
            what = "braces around the subject: removed"
            yield Remark(what=what, place=self.place, shown=excerpt(self.subject or self.prompt), left_out=False)
        wordings = list(dict.fromkeys(completed(one) for one in prompts))
        asked: list[Question | Remark] = [
            question_of(
                one,
                new,
                self.place,
                wrong=self.old,
                kind="recall",
                rephrased=other[0] if other else None,
            )
            for one, *other in (wordings[at : at + 2] for at in range(0, len(wordings), 2))
        ]
        asked += self.further
        yield from (one for one in (*asked, *self.neighbours) if isinstance(one, Remark))
        yield Entry(
            text=statement(prompts[0], new[0]),
            place=self.place,
            questions=tuple(one for one in asked if isinstance(one, Question)),
            neighbours=tuple(one for one in self.neighbours if isinstance(one, Question)),
            cloze=_cloze(prompts[0], asked[0]),
        )


def filled(prompt: str, subject: str) -> str:
    """The prompt with the subject in place of `{}` or `{subject}`, and without braces around the subject's words."""
    subject = _BRACES.sub(lambda found: found[1], subject)

    def fill(found: re.Match[str]) -> str:
        inner = found[1].strip()
        if inner.casefold() in _SUBJECT:
            return subject or "{}"
        return inner if inner.casefold() in subject.casefold() else found[0]

    return clean(_BRACES.sub(fill, prompt)).strip()


def statement(prompt: str, new: str) -> str:
    """Prompt and object as a sentence, or a question and its answer."""
    text = prompt + joint(prompt, new) + clean(new).strip()
    if prompt.endswith(QUESTION_MARKS) or text.endswith(_ENDS):
        return text
    return text + ("。" if joint(text, text) == "" else ".")


def _cloze(prompt: str, asked: Question | Remark) -> Cloze | None:
    """The prompt as a statement that the answer completes; None if it is none."""
    if isinstance(asked, Remark) or prompt.endswith(_ENDS):
        return None
    try:
        return Cloze(text=prompt, answer=asked.answer, choices=asked.choices, aliases=asked.aliases)
    except ValidationError:
        return None


def _asked(
    prompts: Iterable[object], answers: Sequence[object], place: str, **more: Any
) -> Iterator[Question | Remark]:
    """A question for each prompt with its answer; a remark on prompts without one."""
    rest = []
    for number, prompt in enumerate(prompts):
        answer = answers_of(answers[number]) if number < len(answers) else []
        if answer and isinstance(prompt, str):
            yield question_of(completed(clean(prompt)), answer, place, **more)
        else:
            rest.append(prompt)
    if rest:
        yield Remark(what=_NO_ANSWER, place=place, shown=f"{len(rest)}, such as {excerpt(str(rest[0]))!r}")


def _groups(groups: object) -> Iterator[tuple[str, object]]:
    """The name of the group and the probe, for every probe of portability or locality."""
    for name, probes in groups.items() if isinstance(groups, Mapping) else [("", groups)]:
        for probe in probes if isinstance(probes, list) else [] if probes is None else [probes]:
            yield str(name), probe


def _probes(groups: object, place: str, unchanged: bool, subject: str) -> Iterator[Question | Remark]:
    """The questions of portability or (`unchanged`) of locality."""
    for name, probe in _groups(groups):
        if not isinstance(probe, Mapping) or not isinstance(probe.get("prompt"), str | list):
            yield Remark(what=_NO_FORM, place=place, shown=excerpt(str(probe)))
            continue
        given: Any = next((probe[key] for key in ("ground_truth", "answers", "answer", "target") if key in probe), [])
        prompts = probe["prompt"]
        if isinstance(prompts, str):
            prompts, given = [prompts], [given]
        kind = None if unchanged else _KINDS.get(name.casefold().replace(" ", "_"), "implication")
        texts = [filled(one, subject) if isinstance(one, str) else one for one in prompts]
        yield from _asked(texts, given if isinstance(given, list) else [given], place, kind=kind)


class _Rewrite(Record):
    prompt: str
    subject: str = ""
    target_new: Names
    target_true: Names = ()
    question: str = ""


class CounterFact(Record):
    """CounterFact, as its authors store it."""

    requested_rewrite: _Rewrite
    paraphrase_prompts: Words = ()
    neighborhood_prompts: tuple[Any, ...] = ()
    attribute_prompts: Words = ()
    generation_prompts: Words = ()

    def pieces(self, place: str) -> Iterator[Piece]:
        """Neighbours share the old object, which stays theirs."""
        one = self.requested_rewrite
        near: list[Question | Remark] = []
        for prompt in self.neighborhood_prompts:
            if isinstance(prompt, Mapping):
                near += _probes([prompt], place, True, one.subject)
            else:
                near += _asked([prompt], [one.target_true], place, wrong=one.target_new)
        near += _asked([*self.attribute_prompts, *self.generation_prompts], [], place)
        edit = _Edit(place, one.prompt, one.target_new, one.subject, one.target_true, self.paraphrase_prompts)
        edit.neighbours = near
        yield from edit.pieces()


class FlatEdit(Record):
    """An edit with flat prompt and target, as EasyEdit stores CounterFact and ZsRE, and KnowEdit its sets."""

    prompt: str
    target_new: Names
    subject: str = ""
    ground_truth: Words = Field((), validation_alias=AliasChoices("ground_truth", "target_true", "target_old"))
    rephrase_prompt: Words = Field(
        (), validation_alias=AliasChoices("rephrase_prompt", "rephrase_prompts", "rephrase", "paraphrase_prompts")
    )
    locality_prompt: Words = ()
    locality_ground_truth: Words = ()
    portability_prompt: Words = ()
    portability_ground_truth: Words = ()
    locality: Any = None
    portability: Any = None

    def pieces(self, place: str) -> Iterator[Piece]:
        """Portability becomes questions, locality neighbours."""
        edit = _Edit(place, self.prompt, self.target_new, self.subject, self.ground_truth, self.rephrase_prompt)
        edit.further += _asked(self.portability_prompt, self.portability_ground_truth, place, kind="implication")
        edit.further += _probes(self.portability, place, False, self.subject)
        edit.neighbours += _asked(self.locality_prompt, self.locality_ground_truth, place)
        edit.neighbours += _probes(self.locality, place, True, self.subject)
        yield from edit.pieces()


class WikiBio(Record):
    """KnowEdit's WikiBio: the beginning of a biography and its continuation."""

    text: str
    labels: str
    locality: Any = None

    def pieces(self, place: str) -> Iterator[Piece]:
        """Text and continuation are the text of the news item."""
        edit = _Edit(place, self.text, [self.labels])
        edit.neighbours += _probes(self.locality, place, True, "")
        yield from edit.pieces()


class Zsre(Record):
    """ZsRE, as the authors of MEND store it."""

    src: str
    alt: Words
    answers: Words = ()
    pred: Words = ()
    rephrase: Words = ()
    loc: Words = ()
    loc_ans: Words = ()

    def pieces(self, place: str) -> Iterator[Piece]:
        """A question with its new answer is the text; the old answers are wrong choices."""
        edit = _Edit(place, self.src, self.alt, old=[*self.answers, *self.pred], rephrased=self.rephrase)
        near = [re.sub(r"^nq question:\s*(.*?)\??$", r"\1?", one) for one in self.loc]
        edit.neighbours += _asked(near, [self.loc_ans] if len(near) == 1 else self.loc_ans, place)
        yield from edit.pieces()


class _Fact(Record):
    prompt: str


class _RippleEdit(Record):
    prompt: str
    original_fact: _Fact | None = None


class Ripple(Record):
    """RippleEdits: a new statement, and groups of queries about what follows from it and what does not."""

    model_config = Record.model_config | {"extra": "allow"}
    edit: _RippleEdit

    def pieces(self, place: str) -> Iterator[Piece]:
        """The queries of each group; those on what does not change are neighbours."""
        new = self.edit.prompt.strip().rstrip(".")
        old = self.edit.original_fact.prompt.strip().rstrip(".") if self.edit.original_fact else ""
        head = _common(new, old) if old else new.rpartition(" is ")[0] + " is"
        made = _Edit(place, head, [new[len(head) :].strip()], old=[old[len(head) :].strip()] if old else [])
        for name, group in (self.model_extra or {}).items():
            unchanged = name.casefold() in _UNCHANGED
            for one in group if isinstance(group, list) else []:
                queries = one.get("test_queries") if isinstance(one, Mapping) else None
                if queries:
                    found = _probes({name: queries}, place, unchanged, "")
                    (made.neighbours if unchanged else made.further).extend(found)
        yield from made.pieces()


def _common(new: str, old: str) -> str:
    """The words with which both begin."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(new.split(), old.split(), strict=False))
    return " ".join(word for word, _ in pairs)


class Mquake(Record):
    """MQuAKE: one or several edits, and questions over several hops whose answer they change."""

    requested_rewrite: list[_Rewrite]
    questions: Words
    answer: Words = ()
    answer_alias: Words = ()
    new_answer: Words
    new_answer_alias: Words = ()

    def pieces(self, place: str) -> Iterator[Piece]:
        """All new statements are one text; every statement and every chain has its questions."""
        asked: list[Question | Remark] = []
        texts = []
        for one in self.requested_rewrite:
            prompt = filled(one.prompt, one.subject)
            texts.append(statement(prompt, one.target_new[0] if one.target_new else ""))
            asked.append(
                question_of(
                    one.question or completed(prompt), one.target_new, place, wrong=one.target_true, kind="recall"
                )
            )
        right = [*self.new_answer, *self.new_answer_alias]
        for at in range(0, len(self.questions), 2):
            wording, *other = self.questions[at : at + 2]
            more = {"wrong": self.answer, "rephrased": other[0] if other else None}
            asked.append(question_of(wording, right, place, kind="two_hop", **more))  # type: ignore[arg-type]
        yield from (one for one in asked if isinstance(one, Remark))
        questions = tuple(one for one in asked if isinstance(one, Question))
        yield Entry(text=" ".join(texts), place=place, questions=questions)
