"""A language: its file, with everything that prompts and filters say or look for in it.

A file consists of sections. A section begins with a line '# name' and ends before the next one; lines that begin with
'//' are comments. A file without the prompts has only what filters look for; its news items are prompted in English.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import regex

ENGLISH = "en"
LANGUAGES = ("en", "zh", "es", "fr", "de", "ru", "ja", "ar")
"""Codes (ISO 639-1) of the languages that have prompts."""
FILTERED = ("el", "he", "hi", "ko", "th")
"""Codes of the languages that have no prompts, but words for the filters."""

PLACEHOLDER = regex.compile(r"\{([a-z][a-z0-9_]*)\}")
_HEADING = regex.compile(r"# (\w.*)")


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """What is said and looked for in one language. A language without a file has no sections."""

    code: str
    sections: Mapping[str, str]

    @property
    def prompted(self) -> bool:
        """Whether there are prompts in this language."""
        return self.code in LANGUAGES

    @property
    def prompts(self) -> Language:
        """The language in which its news items are prompted: itself, or English if it has no prompts."""
        return self if self.prompted else language(ENGLISH)

    def text(self, section: str) -> str:
        """A section, empty if the language does not have it."""
        return self.sections.get(section, "")

    def lines(self, section: str) -> tuple[str, ...]:
        """The lines of a section, without blank ones."""
        return tuple(line.strip() for line in self.text(section).splitlines() if line.strip())

    def filled(self, section: str, **values: str) -> str:
        """A section with its placeholders filled."""
        return fill(self.text(section), values)

    def has(self, trait: str) -> bool:
        """Whether the section 'traits' lists this one."""
        return trait in self.lines("traits")


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with {name} replaced by the value of that name, if there is one.

    In one pass: braces inside a value are text, not placeholders.
    """
    return str(PLACEHOLDER.sub(lambda found: values.get(found.group(1), found.group(0)), text))


@cache
def language(code: str) -> Language:
    """The language with this code (ISO 639-1)."""
    if code not in (*LANGUAGES, *FILTERED):
        return Language(code, {})
    file = resources.files("sys2ft.languages") / f"{code}.txt"
    return Language(code, parse_sections(file.read_text(encoding="utf-8")))


def parse_sections(text: str) -> dict[str, str]:
    """The sections of a language file by name, without comments and without blank lines around them."""
    sections: dict[str, list[str]] = {}
    body: list[str] = []
    for line in text.splitlines():
        if line.startswith("//"):
            continue
        if heading := _HEADING.fullmatch(line):
            body = sections.setdefault(heading.group(1).strip(), [])
        else:
            body.append(line)
    return {name: "\n".join(lines).strip("\n") for name, lines in sections.items()}


@cache
def union(section: str, form: str = "{}") -> regex.Pattern[str]:
    """One pattern for the lines of a section, regular expressions, in all languages: a model may answer in another.

    In `form`, a regular expression, '{}' is the place of the lines.
    """
    found = [line for code in (*LANGUAGES, *FILTERED) for line in language(code).lines(section)]
    return regex.compile(form.replace("{}", f"(?:{'|'.join(found)})"), regex.IGNORECASE)
