"""Sets of items on which training should change nothing: problems with a number, instructions, ordinary text.

What a file holds is seen from the fields of its records, so that any set of one of these forms can be used:

- `numbers`: `question`, and `answer` that ends in a number, after `####` if it has more (GSM8K, arXiv 2110.14168);
- `instructions`: `prompt`, `instruction_id_list`, `kwargs` (IFEval, arXiv 2311.07911);
- `text`: `text`, or a file of plain text, whose paragraphs (divided by blank lines) are the documents.

Which items are taken does not depend on their order in the file: they are ordered by a digest of the seed and of their
content, and the first ones are taken. So a greater count keeps all items of a smaller one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from sys2ft.errors import SettingsError
from sys2ft.evaluation import graders
from sys2ft.evaluation.settings import CONTROLS
from sys2ft.files import FILE_NAME_RULE, digest, is_file_name, open_binary
from sys2ft.news import Question

Form = Literal["numbers", "instructions", "text"]

BUNDLED = "prose"
"""The set of ordinary text that is part of the package."""
SPELLING = "NAME=FILE or NAME=FILE:COUNT, such as gsm8k=gsm8k_test.jsonl:100, or `prose` alone for the bundled text"
FORMS = (
    "`question` and `answer` (a number, after `####` if there is more), `prompt`, `instruction_id_list` and `kwargs`, "
    "or `text`"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionItem:
    """One item; its id is its set and its content, so that it is the same in every run."""

    set: str
    text: str
    """The question, the prompt or the document."""
    expected: str = ""
    """Of `numbers`: the number."""
    instructions: tuple[str, ...] = ()
    """Of `instructions`: their ids."""
    arguments: tuple[Mapping[str, Any], ...] = ()
    """Of `instructions`: what each is about, such as a number of words."""

    @property
    def content(self) -> str:
        """The digest of all that is asked and expected."""
        return digest([self.text, self.expected, self.instructions, self.arguments])[:16]

    @property
    def id(self) -> str:
        """The name of the item in records."""
        return f"{self.set}-{self.content}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionSet:
    """The items of a set that were taken, in seeded order."""

    name: str
    form: Form
    items: tuple[RetentionItem, ...]
    found: int
    """Different items in the file."""


def read_sets(specs: Sequence[str], *, seed: int) -> list[RetentionSet]:
    """The sets of the settings. Raises SettingsError for a wrong spelling, a name given twice or a bad file."""
    sets = [read_set(spec, seed=seed) for spec in specs]
    names = [one.name for one in sets]
    if len(set(names)) < len(names):
        raise SettingsError(
            f"retention={list(specs)}", expected="a different name for each set", fix="correct --retention"
        )
    return sets


def read_set(spec: str, *, seed: int) -> RetentionSet:
    """The set that `spec` names: see `SPELLING`. Raises SettingsError for a wrong spelling or a bad file."""
    name, equals, rest = spec.partition("=")
    file, count = _counted(rest)
    if not is_file_name(name) or name in (*CONTROLS, "none") or bool(equals) != bool(file):
        raise SettingsError(
            f"the retention set {spec!r}",
            expected=f"{SPELLING}; a name has {FILE_NAME_RULE}, and is no name of a control",
            fix="correct --retention",
        )
    if not equals and name != BUNDLED:
        raise SettingsError(
            f"the retention set {spec!r}, which is not part of the package", expected=SPELLING, fix="name its file"
        )
    form, found = _read(Path(file), name) if file else ("text", _paragraphs(_bundled(), name))
    if not found:
        raise SettingsError(f"no item in {file}", expected=f"at least one item: {FORMS}", fix="correct the file")
    if count is not None and not 0 < count <= len(found):
        raise SettingsError(
            f"{count} items asked of {file}, which has {len(found):,} different ones",
            expected=f"a count from 1 to {len(found)}",
            fix=f"correct --retention: {name}={file} alone takes all of them",
        )
    order = sorted(found.values(), key=lambda item: digest([seed, item.content]))
    return RetentionSet(name=name, form=form, items=tuple(order[:count]), found=len(found))


def _counted(rest: str) -> tuple[str, int | None]:
    """File and count of what follows the `=`."""
    match = re.fullmatch(r"(.+):(\d+)", rest)
    return (match[1], int(match[2])) if match else (rest, None)


def _bundled() -> str:
    return (resources.files("sys2ft.retention") / "prose.txt").read_text(encoding="utf-8")


def _read(file: Path, name: str) -> tuple[Form, dict[str, RetentionItem]]:
    text = _text_of(file)
    if not text.lstrip().startswith("{"):
        return "text", _paragraphs(text, name)
    form, found = None, {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        own, item = _record(line, name, lambda found, number=number: _fault(file, number, found))  # type: ignore[misc]
        if form not in (None, own):
            raise _fault(file, number, f"an item of the form {own} after items of the form {form}")
        form = own
        found[item.id] = item
    return form or "text", found


def _text_of(file: Path) -> str:
    try:
        with open_binary(file) as stream:
            data = stream.read()
    except OSError as error:
        raise SettingsError(
            f"the retention set {file} cannot be read: {error.strerror or error}",
            expected=f"a file in UTF-8: JSON Lines with {FORMS}, or plain text",
            fix="correct --retention",
        ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _fault(file, data[: error.start].count(b"\n") + 1, "a byte that is not UTF-8") from error


def _fault(file: Path, line: int, found: str) -> SettingsError:
    return SettingsError(
        f"{file}, line {line}: {found}",
        expected=f"JSON Lines in UTF-8 with {FORMS}, the same in all lines; or plain text in UTF-8",
        fix="correct the line or remove it",
    )


Fault = Callable[[str], SettingsError]


def _record(line: str, name: str, fault: Fault) -> tuple[Form, RetentionItem]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise fault(f"no JSON: {error}") from error
    if not isinstance(row, dict):
        raise fault(f"no object: {line[:60]}")
    if "instruction_id_list" in row:
        return "instructions", _instructions(row, name, fault)
    if "question" in row and "answer" in row:
        return "numbers", _problem(row, name, fault)
    if isinstance(row.get("text"), str) and row["text"].strip():
        return "text", RetentionItem(set=name, text=row["text"].strip())
    raise fault(f"an object with {', '.join(row) or 'no field'}")


def _problem(row: Mapping[str, Any], name: str, fault: Fault) -> RetentionItem:
    question, answer = row["question"], row["answer"]
    answer = str(answer) if isinstance(answer, int | float) and not isinstance(answer, bool) else answer
    if not isinstance(question, str) or not question.strip() or not isinstance(answer, str):
        raise fault("`question` or `answer` is no text")
    number = answer.rpartition("####")[2].strip()
    try:
        verdict = graders.takes(Question(text=question.strip(), answer=number, grader="number"))
    except ValueError as error:
        raise fault(f"an answer without a number at its end: {answer[-60:]!r}") from error
    if verdict.correct is not True:
        raise fault(f"an answer that cannot be graded: {verdict.why}")
    return RetentionItem(set=name, text=question.strip(), expected=number)


def _instructions(row: Mapping[str, Any], name: str, fault: Fault) -> RetentionItem:
    from sys2ft.retention import verifiers  # of an extra

    prompt, ids, arguments = row.get("prompt"), row["instruction_id_list"], row.get("kwargs")
    if not isinstance(prompt, str) or not prompt.strip():
        raise fault("`prompt` is no text")
    if not isinstance(ids, list) or not isinstance(arguments, list) or not ids or len(ids) != len(arguments):
        raise fault("`instruction_id_list` and `kwargs` are not lists of the same length")
    if not all(isinstance(one, dict) for one in arguments):
        raise fault("`kwargs` has something that is no object")
    if why := verifiers.unusable(prompt, ids, arguments):
        raise fault(why)
    return RetentionItem(set=name, text=prompt, instructions=tuple(ids), arguments=tuple(arguments))


def _paragraphs(text: str, name: str) -> dict[str, RetentionItem]:
    parts = (part.strip() for part in re.split(r"\n\s*\n", text.replace("\r\n", "\n")))
    return {item.id: item for item in (RetentionItem(set=name, text=part) for part in parts if part)}
