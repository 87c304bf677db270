"""`sys2ft init`: asks five questions and writes a `sys2ft.yaml` that `sys2ft run` reads."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from sys2ft.cli.config import DEFAULT_FILE
from sys2ft.errors import SettingsError, Sys2ftError
from sys2ft.files import write_text
from sys2ft.models import DEFAULT_MODEL
from sys2ft.runs import TRACKERS
from sys2ft.terminal import print

EXAMPLE = f"""\
sources: [handbook.pdf, wiki/]   # a news file, or documents, folders, tables and web addresses
model: {DEFAULT_MODEL}
out: sys2ft-runs/handbook
samples-per-news: 64             # replay elements for each news item and protocol
log-to: tensorboard              # or trackio or wandb; leave it out for none
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Init:
    """Ask five questions on the terminal and write a `sys2ft.yaml`, with which `sys2ft run` needs no arguments.

    Every flag of `sys2ft run` can be in that file.
    """

    out: Path = DEFAULT_FILE
    """The file to write."""

    def run(self) -> None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise SettingsError(
                "no terminal to ask questions on",
                expected="a terminal; or write the file yourself, such as:\n"
                + "".join(f"    {line}\n" for line in EXAMPLE.splitlines()).rstrip(),
                fix=f"write {self.out}, then: sys2ft run",
            )
        if self.out.exists() and _asked(f"{self.out} exists. Overwrite it? (yes or no)", "no", _yes_or_no) == "no":
            print(f"{self.out} is left as it is")
            return
        print("Five questions; an empty answer takes the value in brackets.")
        question = "1. What should the model learn? Files, folders or web addresses (in quotes if they have spaces)"
        sources = shlex.split(_asked(question, "", _sources))
        from sys2ft.job import out_of

        model = _asked("2. Which model? A name, folder, GGUF file or hub id", DEFAULT_MODEL, _model)
        out = _asked("3. Where should the results go?", str(out_of(sources)), _place)
        samples = _asked("4. How many replay elements for each news item? More take longer", "64", _count)
        log_to = _asked(f"5. Log curves to {', '.join(TRACKERS)} or none?", "none", _tracker)
        values = {"sources": sources, "model": model, "out": out, "samples-per-news": int(samples)}
        if log_to != "none":
            values["log-to"] = log_to
        head = "# Flags of `sys2ft run`, which reads this file when it is called without arguments.\n"
        write_text(self.out, head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
        print(f"written: {self.out}")
        print("next: sys2ft run --dry-run" if self.out == DEFAULT_FILE else f"next: sys2ft run --config {self.out}")


def _asked(question: str, default: str, check: Callable[[str], None]) -> str:
    """The answer to a question, asked again until it can be used."""
    while True:
        print(f"{question}{f' [{default}]' if default else ''}: ", end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            raise SettingsError("no answer: the input has ended", expected="an answer", fix="start again")
        answer = line.strip() or default
        try:
            check(answer)
        except Sys2ftError as error:
            print(f"   {error.found}" + (f"; {error.fix}" if error.fix else ""))
        else:
            return answer


def _yes_or_no(answer: str) -> None:
    if answer not in ("yes", "no"):
        raise SettingsError(f"{answer!r}", fix="answer yes or no")


def _sources(answer: str) -> None:
    from sys2ft.job import require_sources

    try:
        named = shlex.split(answer)
    except ValueError as error:
        raise SettingsError(f"{answer!r}: {error}", fix="close the quotation marks") from error
    require_sources(named)


def _model(answer: str) -> None:
    from sys2ft.models import resolve

    resolve(answer)


def _place(answer: str) -> None:
    from sys2ft.runs import Run

    Run.begun(answer)


def _count(answer: str) -> None:
    if not answer.isdigit() or int(answer) < 1:
        raise SettingsError(f"{answer!r}", fix="give a number from 1")


def _tracker(answer: str) -> None:
    from sys2ft.runs import require_tracker

    require_tracker("" if answer == "none" else answer)
