"""Help texts that wrap at the width of the terminal, not where the lines of the source end."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def flowing_help() -> Iterator[None]:
    """While the block runs, the texts below fields are read as paragraphs.

    tyro keeps the line breaks of indented lines, which Python before 3.13 leaves indented in a docstring.
    """
    import docstring_parser

    parse = docstring_parser.parse_from_object

    def flowing(*given: Any, **how: Any) -> docstring_parser.Docstring:
        found = parse(*given, **how)
        for one in found.params:
            paragraphs = re.split(r"\n\s*\n", one.description or "")
            one.description = "\n\n".join(" ".join(text.split()) for text in paragraphs) or None
        return found

    docstring_parser.parse_from_object = flowing
    try:
        yield
    finally:
        docstring_parser.parse_from_object = parse
