"""Protocols: how a piece of news becomes replay elements.

A protocol is a prompt template plus a parser. It is found by name among the entry points of the group
'sys2ft.protocols', so that another package can bring its own. The three of System-2 fine-tuning and the naive baseline
are those of Park, Zhang and Tanaka (arXiv 2505.01812).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata

from sys2ft.errors import SettingsError
from sys2ft.replay.prompts import Template, lines, template

Parser = Callable[[str], str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """How one kind of replay element is made.

    With `ask` the model is prompted with the news in context and `parse` reads what it says (None: not usable).
    Without it nothing is generated and the news itself is the completion. With `answer`, what was parsed is a
    question, answered in a fresh conversation with the news in context. In training the news is never shown: an
    element's prompt is its question, or one of `cues`. What `restates` the news may bring no new names or numbers.
    """

    name: str
    ask: Template | None = None
    parse: Parser = str.strip
    answer: Template | None = None
    parse_answer: Parser = str.strip
    cues: Sequence[str] = ()
    restates: bool = False

    def __post_init__(self) -> None:
        if bool(self.cues) == (self.answer is not None) or (self.ask is None and self.answer is not None):
            raise SettingsError(
                f"the protocol {self.name!r} has "
                f"{'a' if self.ask else 'no'} prompt, {'an' if self.answer else 'no'} answer stage "
                f"and {len(self.cues)} cues",
                expected="cues, or a prompt and an answer stage, whose questions then stand where cues would",
                do="correct the package that brings it",
            )


def one_paragraph(text: str) -> str | None:
    """The first paragraph of what the model says, on one line, without a label or quotes around it."""
    first = re.split(r"\n\s*\n", text.strip(), maxsplit=1)[0]
    said = " ".join(first.split())
    said = re.sub(r"^(?:news|answer|implication|paraphrase|example|headline)\s*:\s*", "", said, flags=re.IGNORECASE)
    return said.strip("\"'“” *") or None


def one_question(text: str) -> str | None:
    """The first question in what the model says; None when it asks none."""
    said = " ".join(text.split())
    said = re.sub(r"^(?:(?:the )?question(?: \d+)?\s*:|\d+[.)]|[-*])\s*", "", said, flags=re.IGNORECASE)
    found = re.match(r"[^?]*\?", said)
    return found.group(0).strip("\"'“” *") if found else None


def short_answer(text: str) -> str | None:
    """The first line of what the model says, without a label."""
    first = text.strip().split("\n", 1)[0]
    said = re.sub(r"^(?:the )?answer\s*(?:is\s*)?:\s*", "", first.strip(), flags=re.IGNORECASE)
    return said.strip("\"'“” *") or None


def naive() -> Protocol:
    """Baseline: fine-tuning on the text of the news itself."""
    return Protocol(name="naive", cues=lines("cues"))


def paraphrase() -> Protocol:
    """The model restates the news."""
    return Protocol(
        name="paraphrase", ask=template("paraphrase"), parse=one_paragraph, cues=lines("cues"), restates=True
    )


def implication() -> Protocol:
    """The model reasons about what follows from the news."""
    return Protocol(
        name="implication", ask=template("implication"), parse=one_paragraph, cues=lines("cues_implication")
    )


def self_qa() -> Protocol:
    """The model asks a question about the news, then answers it in a fresh conversation with the news in context."""
    return Protocol(
        name="self_qa",
        ask=template("self_qa_question"),
        parse=one_question,
        answer=template("self_qa_answer"),
        parse_answer=short_answer,
    )


def protocol_names() -> list[str]:
    """Names of all protocols installed, the bundled ones first."""
    bundled = ["naive", "paraphrase", "implication", "self_qa"]
    found = {entry.name for entry in metadata.entry_points(group="sys2ft.protocols")}
    return bundled + sorted(found - set(bundled))


def protocol(name: str) -> Protocol:
    """The protocol called `name`. Raises SettingsError with the names there are."""
    entries = {entry.name: entry for entry in metadata.entry_points(group="sys2ft.protocols")}
    if name not in entries:
        raise SettingsError(
            f"unknown protocol {name!r}",
            expected=f"one of {', '.join(protocol_names())}",
            do="correct --protocols, or install the package that brings it",
        )
    made: Protocol = entries[name].load()()
    return made
