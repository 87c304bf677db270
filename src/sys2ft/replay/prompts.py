"""Prompt templates: text files that hold example turns, the last user turn, and the instructions that rotate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

from sys2ft.errors import SettingsError
from sys2ft.models.chat import Message, Role

_HEADING = re.compile(r"^## (user|assistant|system|instructions)\s*$")


@dataclass(frozen=True, slots=True)
class Template:
    """A conversation with {news}, {question} and {instruction} in its turns; item i takes instruction i, in turn."""

    turns: tuple[tuple[Role, str], ...]
    instructions: tuple[str, ...]

    def messages(self, index: int, *, news: str, question: str = "") -> list[Message]:
        """The conversation for item `index`."""
        values = {"news": news, "question": question, "instruction": self.instructions[index % len(self.instructions)]}
        return [Message(role, _fill(text, values)) for role, text in self.turns]


def _fill(text: str, values: dict[str, str]) -> str:
    # One pass over the template: braces inside the news itself are news, not places to fill.
    return re.sub(r"\{(news|question|instruction)\}", lambda found: values[found.group(1)], text)


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
            do="compare it with the templates that come with the package",
        )
    return Template(tuple(turns), instructions)


@lru_cache(maxsize=64)
def template(name: str) -> Template:
    """The bundled template `name`, or the one in the file that `name` is the path of."""
    return parse_template(_text(name), name)


@lru_cache(maxsize=64)
def lines(name: str) -> Sequence[str]:
    """The lines of a bundled list, comments left out."""
    return tuple(line.strip() for line in _text(name).splitlines() if line.strip() and not line.startswith("#"))


def _text(name: str) -> str:
    if name.endswith(".txt"):
        return Path(name).read_text(encoding="utf-8")
    return (resources.files("sys2ft.replay") / "prompts" / f"{name}.txt").read_text(encoding="utf-8")
