"""What is written to the terminal: text from files is shown, and never taken for markup or for an escape sequence.

Every module that prints takes `print` and `Console` from here. Both show control characters and marks that reverse the
order of characters as escapes such as `\\x1b`. Call `lenient_streams` first: a character that the terminal's encoding
lacks is then shown as `?`.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO

import rich.console
from rich.segment import Segment
from rich.text import Text

COLUMNS = 100
"""Width of a console that is not a terminal."""

# C0 except tab and line feed, DEL, C1, line and paragraph separators, bidirectional embeddings, overrides and isolates,
# and lone surrogates, which stand for bytes of a file name that are not UTF-8.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_NOT_ASCII = re.compile(r"[^\x00-\x7e]")


def printable(text: object) -> str:
    """The text with visible escapes in place of the characters that a terminal may obey."""
    return _UNSAFE.sub(_escape, str(text))


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def print(*values: object, sep: str = " ", end: str = "\n", file: TextIO | None = None, flush: bool = False) -> None:
    """The built-in `print` for printable text."""
    builtins.print(printable(sep.join(map(str, values))), end=end, file=file, flush=flush)


def print_json(line: str, file: TextIO | None = None) -> None:
    """Print a line of JSON for programs: the same values in every encoding of the stream.

    Characters that a terminal may obey, and all but ASCII where the encoding is not UTF-8, are written as JSON escapes.
    """
    file = file or sys.stdout
    unsafe = _UNSAFE if "utf" in (file.encoding or "").lower() else _NOT_ASCII
    builtins.print(unsafe.sub(_json_escape, line), file=file, flush=True)


def _json_escape(found: re.Match[str]) -> str:
    units = found.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def print_coloured(text: str, file: TextIO) -> None:
    """Print the text of a library that colours its output itself; only colours pass unescaped."""
    parts = _COLOUR.split(text) if sys.stdout.isatty() else [text]  # odd places hold colours
    builtins.print("".join(part if i % 2 else printable(part) for i, part in enumerate(parts)), end="", file=file)


class Console(rich.console.Console):
    """A console of `rich` that shows texts as they are, without markup, emoji codes and highlights.

    It is `COLUMNS` wide where it does not write to a terminal.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)
        if width is None and not self.is_terminal:
            self.width = COLUMNS

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(printable(text), **how)

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        if isinstance(renderable, Text) and _UNSAFE.search(renderable.plain):
            renderable = Text(printable(renderable.plain), style=renderable.style, justify=renderable.justify)
        return super().render(renderable, options)


def lenient_streams() -> None:
    """Let standard output and standard error show `?` for characters that their encoding lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller: `sys2ft ... >&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def report(*lines: str) -> None:
    """Print lines about an error on standard error; where nobody reads that, nothing."""
    try:
        print(*lines, sep="\n", file=sys.stderr, flush=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Send what is still to be written to a stream nowhere: its reader has ended, or its disk is full."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
