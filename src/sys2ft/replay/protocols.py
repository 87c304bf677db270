"""The bundled protocols and their parsers, and finding a protocol by name.

A protocol is found among the entry points of the group 'sys2ft.protocols', so other packages can add theirs. The three
of System-2 fine-tuning and the naive baseline are those of Park, Zhang and Tanaka (arXiv 2505.01812).
"""

from __future__ import annotations

import regex

from sys2ft.languages import union
from sys2ft.plugins import PROTOCOLS, load_plugin, made_plugin, plugin_names
from sys2ft.replay.filters import copied_line, copied_name, given_away, invention, missed, off_topic, refusal
from sys2ft.replay.prompts import cues, templates
from sys2ft.replay.stages import Protocol, Stage
from sys2ft.text import QUESTION_MARKS, unquoted

_ENDS = QUESTION_MARKS.replace("՞", "")  # the Armenian mark is within the word that is asked about
_QUESTION = regex.compile(rf".*?(?:[{_ENDS}]+|(?<=\p{{Greek}}\s?);|՞.*?(?:[։:]|$))")
_LABEL = r"^\**{}\**\s*[:：]\s*\**\s*"
_NUMBERED = regex.compile(r"(?:\p{Nd}+[.)、．]|[-*•])\s*")


def one_paragraph(text: str) -> str | None:
    """The first paragraph of a reply, on one line, without a label or quotes around it."""
    first = regex.split(r"\n\s*\n", text.strip(), maxsplit=1)[0]
    return unquoted(_without_label(" ".join(first.split()), "labels_paragraph")) or None


def one_question(text: str) -> str | None:
    """The first question in a reply; None if it asks none."""
    said = " ".join(text.split())
    bare = _without_label(said, "labels_question")
    if bare == said and (number := _NUMBERED.match(said)):
        bare = said[number.end() :]
    found = _QUESTION.match(bare)
    return unquoted(found.group()) or None if found else None


def short_answer(text: str) -> str | None:
    """The first line of a reply, without a label."""
    return unquoted(_without_label(text.strip().split("\n", 1)[0].strip(), "labels_answer")) or None


def _without_label(text: str, section: str) -> str:
    """The text without one of the labels of a section of the language files, and the colon after it."""
    return str(union(section, _LABEL).sub("", text))


def naive() -> Protocol:
    """Baseline: fine-tuning on the text of the news item itself."""
    return Protocol(name="naive", version=2, cues=cues("cues"))


def paraphrase() -> Protocol:
    """The model restates the news item."""
    restate = Stage(
        name="ask",
        template=templates("paraphrase"),
        parser=one_paragraph,
        filters=(refusal, copied_line, copied_name, off_topic, invention),
    )
    return Protocol(name="paraphrase", version=2, stages=(restate,), cues=cues("cues"))


def implication() -> Protocol:
    """The model reasons about what follows from the news item."""
    conclude = Stage(
        name="ask",
        template=templates("implication"),
        parser=one_paragraph,
        filters=(refusal, copied_line, copied_name, off_topic),
    )
    return Protocol(name="implication", version=2, stages=(conclude,), cues=cues("cues_implication"))


def self_qa() -> Protocol:
    """The model asks a question about the news item, then answers it in a fresh conversation with the news in context.

    A question may aim at a fact; its answer must then have it, in a conversation that does not know the aim. The answer
    has to be supported: likelier with the news in context than without.
    """
    ask = Stage(
        name="ask",
        template=templates("self_qa_question"),
        aimed=templates("self_qa_aimed"),
        parser=one_question,
        filters=(refusal, copied_line, copied_name, off_topic, given_away),
        stops=(*_ENDS, "\n"),
    )
    answer = Stage(
        name="answer",
        template=templates("self_qa_answer"),
        parser=short_answer,
        filters=(refusal, copied_name, missed),
        supported=True,
    )
    return Protocol(name="self_qa", version=3, stages=(ask, answer))


def protocol_names() -> list[str]:
    """Names of all installed protocols, the bundled ones first."""
    bundled = ["naive", "paraphrase", "implication", "self_qa"]
    return bundled + [name for name in plugin_names(PROTOCOLS) if name not in bundled]


def protocol(name: str) -> Protocol:
    """The protocol called `name`. Raises SettingsError that lists the installed ones, or says what is wrong with it."""
    make = load_plugin(PROTOCOLS, name, flag="--protocols", known=protocol_names())
    made: Protocol = made_plugin(PROTOCOLS, name, make, kind=Protocol)
    return made
