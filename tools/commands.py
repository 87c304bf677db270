"""The commands of sys2ft and their help texts, from the real parser."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args, get_type_hints
from unittest.mock import patch

from sys2ft.cli.main import Command, call


def names(union: Any = Command, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, such as ('news', 'check'). A command with commands has them in its field `action`."""
    for member in get_args(union):
        kind, configuration = get_args(member)[0], member.__metadata__[0]
        words = (*before, configuration.name)
        action = get_type_hints(kind, include_extras=True).get("action")
        if get_args(action):
            yield from names(action, words)
        else:
            yield words


@cache
def help_text(words: tuple[str, ...]) -> str:
    """What `sys2ft WORDS --help` prints, 96 columns wide."""
    said = io.StringIO()
    wide = patch.dict(os.environ, COLUMNS="96")
    with wide, contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        call([*words, "--help"])
    text = re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue())
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
