"""The objects of a news file and their validation.

A file calls the text of a news item `news`, that of a question `question` and that of a cloze `statement`; the objects
call all of them `text`. `records.py` translates between the two.
"""

from __future__ import annotations

import re
from collections import Counter
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from sys2ft.files import FILE_NAME_RULE, is_file_name
from sys2ft.plugins import GRADERS as GRADER_GROUP, plugin_names
from sys2ft.text import SENTENCE_ENDS

Kind = Literal["recall", "application", "implication", "two_hop", "reverse"]
KINDS: tuple[Kind, ...] = get_args(Kind)
GRADERS = ("exact", "alias", "number")
"""The bundled graders; other packages add theirs as entry points of the group 'sys2ft.graders'."""

_NUMBER = re.compile(r"[-+−]?((\d{1,3}(,\d{3})+|\d+)(\.\d+)?|\.\d+)([eE][-+]?\d+)?")


def fault(found: str, *, expected: str, fix: str, field: str | None = None) -> PydanticCustomError:
    """A validation error in this package's three parts; `field` is set if it is not the field being validated."""
    parts: dict[str, Any] = {"found": found, "expected": expected, "fix": fix, "field": field}
    return PydanticCustomError("news_fault", "found {found}; expected {expected}; fix: {fix}", parts)


def is_number(text: str) -> bool:
    """Whether the text is a number and nothing else: '28', '-3.5', '1,024', '2e3'."""
    return _NUMBER.fullmatch(text) is not None


def _only_a_list(value: object) -> object:
    # pydantic also accepts sets and generators, which have no order or can be read only a single time.
    if not isinstance(value, list | tuple):
        raise PydanticCustomError("tuple_type", "Input should be a valid list")
    return tuple(value)


def _valid_id(value: str) -> str:
    # An id becomes part of file names (adapters, replay elements).
    if not is_file_name(value):
        mended = re.sub(r"[^A-Za-z0-9._-]+", "-", value).strip("-._")[:64].strip("-._")
        raise fault(
            repr(value if len(value) <= 80 else value[:77] + "..."),
            expected=FILE_NAME_RULE,
            fix=f"rename it, for example {mended if is_file_name(mended) else f'news-{mended[:58] or 1}'!r}",
        )
    return value


@lru_cache(maxsize=1)
def grader_names() -> tuple[str, ...]:
    """Names of all installed graders, the bundled ones first."""
    return (*GRADERS, *(name for name in plugin_names(GRADER_GROUP) if name not in GRADERS))


def _known_grader(value: Any) -> Any:
    # Entry points are read only for names that are not bundled: it takes a search of all installed packages.
    if value not in GRADERS and value not in grader_names():
        raise PydanticCustomError("literal_error", "not an installed grader")
    return value


Grader = Annotated[str, BeforeValidator(_known_grader)]


def _default_grader(validated: dict[str, Any]) -> str:
    return "number" if is_number(validated.get("answer", "")) else "alias"


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_only_a_list)]


class _Asked(BaseModel):
    """Common fields of a question and a cloze; `choices`, if any, contain the answer exactly one time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Text
    answer: Text
    choices: Texts = ()
    aliases: Texts = ()

    @field_validator("choices")
    @classmethod
    def _answer_is_one_choice(cls, choices: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not choices:
            return choices
        shown = ", ".join(map(repr, choices))
        if len(choices) < 2:
            raise fault(
                f"one choice only ({shown})",
                expected="at least 2 choices, or none at all",
                fix="add wrong choices, or omit the field to ask the question as free text only",
            )
        twice = [choice for choice, n in Counter(choices).items() if n > 1]
        if twice:
            raise fault(
                f"the choice {twice[0]!r} more than once in {shown}",
                expected="choices that differ from each other",
                fix="replace the repeated choice by another one",
            )
        answer = info.data.get("answer")  # absent when the answer itself is not valid
        if answer is not None and answer not in choices:
            near = get_close_matches(answer.casefold(), [choice.casefold() for choice in choices], n=1)
            like = [choice for choice in choices if near and choice.casefold() == near[0]]
            raise fault(
                f"the answer {answer!r}, which is not among the choices {shown}",
                expected="the answer as one of the choices, character for character",
                fix=f"write the answer as {like[0]!r}, or correct the choices" if like else "add it to the choices",
                field="answer",
            )
        return choices

    @field_validator("aliases")
    @classmethod
    def _no_alias_is_a_wrong_choice(cls, aliases: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        # With such an alias a wrong choice would be graded as right.
        for alias in aliases:
            if alias in info.data.get("choices", ()) and alias != info.data.get("answer", alias):
                raise fault(
                    f"the alias {alias!r}, which is also a wrong choice",
                    expected="other wordings of the answer only",
                    fix="remove it from the aliases or from the choices",
                )
        return aliases


class Selection(BaseModel):
    """Which answers of a model decided that a question was kept; 'any' if its answers made no difference.

    `by` is the name of the model, `sha256` the fingerprint of its weights and tokenizer, if known. On its own selection
    a model's accuracy is high or low by construction (regression to the mean), and so is every difference from it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Text
    sha256: Text | None = None
    closed_book: Literal["any", "wrong"] = "any"
    in_context: Literal["any", "right"] = "any"

    @property
    def decided(self) -> bool:
        """Whether any answer decided that the question was kept."""
        return (self.closed_book, self.in_context) != ("any", "any")

    def concerns(self, name: str, sha256: str | None) -> bool:
        """Whether the model of this name and fingerprint is the one that selected."""
        if self.sha256 is not None and sha256 is not None:
            return self.sha256 == sha256
        return _last_part(self.by) == _last_part(name)


def selection_of(made_by: str | None, selected: Selection | None) -> Selection | None:
    """How a question was selected: as recorded, or None.

    If only the model that wrote it is recorded, the strictest is presumed: that it kept what it fails closed book and
    answers in context. Without this a missing record would turn a selection into a gain.
    """
    if selected is None and made_by is not None:
        return Selection(by=made_by, closed_book="wrong", in_context="right")
    return selected


def _last_part(name: str) -> str:
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1].casefold()


class Question(_Asked):
    """One question about one news item.

    A question without choices is asked as free text only. `aliases` are other correct wordings of the answer. The
    default grader of free text is 'number' if the answer is a bare number, else 'alias'. `kind` is None if the author
    did not specify it. `rephrased` is the same question in other words, if any. `made_by` names the model that wrote
    the question; None if a person wrote it. `selected` is how a model's answers selected the question; None if they did
    not, or if it is not known.
    """

    kind: Kind | None = None
    grader: Grader = Field(default_factory=_default_grader)
    rephrased: Text | None = None
    made_by: Text | None = None
    selected: Selection | None = None

    @field_validator("grader")
    @classmethod
    def _number_grader_has_a_number(cls, grader: str, info: ValidationInfo) -> str:
        answer = info.data.get("answer")
        if grader == "number" and answer is not None and not any(c.isdigit() for c in answer):
            raise fault(
                f"the grader 'number' for the answer {answer!r}",
                expected="an answer with digits when the grader is 'number'",
                fix="write the answer in digits (its words can be an alias), or omit the grader",
            )
        return grader


class Cloze(_Asked):
    """A statement without its end, such as 'The tamber frog glows blue when it is'; the answer completes it."""

    @field_validator("text")
    @classmethod
    def _is_left_open(cls, text: str) -> str:
        if text.endswith(tuple(SENTENCE_ENDS)):
            raise fault(
                f"a complete statement ({text!r})",
                expected="a statement that the answer completes",
                fix="end the statement before the answer",
            )
        return text


Questions = Annotated[tuple[Question, ...], BeforeValidator(_only_a_list)]


class News(BaseModel):
    """One news item: its text, and the questions that show whether a model has learnt it.

    `questions` and `cloze`, a statement to complete, are about the news item. `neighbours` are questions from the same
    field whose answers it does not change. `source` is the origin of the text, for people: a file and a place in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # The id is not stripped: its author must be able to find it as written.
    id: Annotated[str, AfterValidator(_valid_id)]
    domain: Text = "general"
    text: Text
    questions: Questions = ()
    cloze: Cloze | None = None
    neighbours: Questions = ()
    source: Text | None = None
