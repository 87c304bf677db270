"""Prompt templates: texts with example turns, a last user turn, and instructions used in rotation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from sys2ft.errors import SettingsError
from sys2ft.languages import ENGLISH, LANGUAGES, PLACEHOLDER, fill, language
from sys2ft.models.chat import Message, Role

_HEADING = re.compile(r"^## (user|assistant|system|instructions)\s*$")


AIM = ("fact", "answer", "gap")
"""Placeholders for what a sample aims at: a sentence or statement, the span of it that is asked for, and the sentence
with a gap in place of the span."""


@dataclass(frozen=True, slots=True)
class Template:
    """A conversation with placeholders such as {news} in its turns.

    {instruction} is filled with one of the instructions: item i gets instruction i, starting over after the last. An
    instruction may have the placeholders AIM.
    """

    turns: tuple[tuple[Role, str], ...]
    instructions: tuple[str, ...]
    in_rotation: bool = False
    """The examples take turns with the instructions: item i is shown example i alone, starting over after the last."""

    @property
    def examples(self) -> str:
        """The turns before the last, as one text."""
        return "\n".join(turn for _, turn in self.turns[:-1])

    @property
    def placeholders(self) -> set[str]:
        """Names of the placeholders in the turns."""
        return {name for _, turn in self.turns for name in PLACEHOLDER.findall(turn)}

    @property
    def all_placeholders(self) -> set[str]:
        """Names of the placeholders in the turns and the instructions."""
        return self.placeholders | {name for line in self.instructions for name in PLACEHOLDER.findall(line)}

    def turn(self, index: int, *, answer: bool) -> int | None:
        """The first number from `index` on whose instruction is for a span that can be an `answer`; None: none is.

        Such an instruction has {answer} or {gap}; the others are for whole statements.
        """
        count = len(self.instructions)
        spans = [bool({"answer", "gap"} & {*PLACEHOLDER.findall(line)}) for line in self.instructions]
        return next((number for number in range(index, index + count) if spans[number % count] == answer), None)

    def messages(self, index: int, **values: str) -> list[Message]:
        """The conversation for item `index`. A placeholder without a value stays as it is."""
        instruction = self.instructions[index % len(self.instructions)]
        aim = {name: values[name] for name in AIM if name in values}
        values = {**values, "instruction": fill(instruction, aim)}
        return [Message(role, fill(text, values)) for role, text in self._shown(index)]

    def only(self, *chosen: int) -> Template:
        """The template with these instructions; examples in rotation follow them, other examples are all kept."""
        picked = tuple(self.instructions[place] for place in chosen)
        if not self.in_rotation:
            return replace(self, instructions=picked)
        pairs = self._pairs()
        turns = tuple(turn for place in chosen for turn in pairs[place % len(pairs)])
        return Template((*turns, self.turns[-1]), picked, in_rotation=True)

    def _shown(self, index: int) -> tuple[tuple[Role, str], ...]:
        """The turns that item `index` is shown."""
        pairs = self._pairs() if self.in_rotation else []
        return (*pairs[index % len(pairs)], self.turns[-1]) if pairs else self.turns

    def _pairs(self) -> list[tuple[tuple[Role, str], ...]]:
        """The examples: a user turn and the reply to it."""
        return [self.turns[place : place + 2] for place in range(0, len(self.turns) - 1, 2)]


def parse_template(text: str, source: str) -> Template:
    """Read a template file's text. Raises SettingsError naming `source`."""
    turns: list[tuple[Role, str]] = []
    instructions: tuple[str, ...] = ()
    heading, body = "", list[str]()

    def close() -> None:
        nonlocal instructions
        content = "\n".join(body).strip()
        if heading == "instructions":
            instructions = tuple(line.strip() for line in content.splitlines() if line.strip())
        elif heading:
            turns.append((heading, content))  # type: ignore[arg-type]

    for line in text.splitlines():
        found = _HEADING.match(line)
        if found:
            close()
            heading, body = found.group(1), []
        elif heading:
            body.append(line)
    close()
    if not turns or turns[-1][0] != "user" or "{news}" not in turns[-1][1] or not instructions:
        raise SettingsError(
            f"the prompt template {source} cannot be used",
            expected="'## user' and '## assistant' turns, a last user turn with {news}, and '## instructions'",
            fix="compare it with the templates that come with the package",
        )
    return Template(tuple(turns), instructions)


@lru_cache(maxsize=128)
def template(name: str, code: str = ENGLISH) -> Template:
    """The bundled template `name` in a language, or the one in the file `name` if that ends in .txt."""
    if name.endswith(".txt"):
        return parse_template(Path(name).read_text(encoding="utf-8"), name)
    return parse_template(language(code).text(name), f"{code}/{name}")


def templates(name: str, *, only: Sequence[int] = (), in_rotation: bool = False) -> Mapping[str, Template]:
    """The bundled template `name` in all languages that have prompts, by code.

    `only`: the places of the instructions to use, if not all. `in_rotation`: a sample is shown one example.
    """
    made = {code: replace(template(name, code), in_rotation=in_rotation) for code in LANGUAGES}
    return {code: one.only(*only) for code, one in made.items()} if only else made


def cues(name: str) -> Mapping[str, Sequence[str]]:
    """A bundled list of cues in all languages that have prompts, by code."""
    return {code: language(code).lines(name) for code in LANGUAGES}


def restating_cues() -> Mapping[str, Sequence[str]]:
    """Cues of texts that restate a news item: in turn one that names nothing and one that names its subject.

    A prompt that names the subject teaches what is said of it, but not the name itself (arXiv 2309.12288); one that
    names nothing teaches both, but many news items share it.
    """
    plain, named = cues("cues_plain"), cues("cues")
    return {
        code: [cue for place, own in enumerate(named[code]) for cue in (plain[code][place % len(plain[code])], own)]
        for code in named
    }


T = TypeVar("T")


def in_language(given: T | Mapping[str, T], code: str) -> T:
    """What is meant for a language, of something that may differ by language; English if it is not there."""
    if isinstance(given, Mapping):
        return given[code] if code in given else given[ENGLISH]
    return given
