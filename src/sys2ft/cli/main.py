"""The command line: parses, calls, prints. Every setting of the library's settings classes is a flag."""

from __future__ import annotations

from typing import Annotated, Any, Union

import tyro

from sys2ft.cli.commands import (
    ModelsInfo,
    ModelsList,
    ModelsPull,
    NewsCheck,
)

_INTERRUPTED = 130


def _command(kind: type, name: str) -> Any:
    return Annotated[kind, tyro.conf.subcommand(name, prefix_name=False)]


Models = Union[_command(ModelsList, "list"), _command(ModelsPull, "pull"), _command(ModelsInfo, "info")]
NewsGroup = Union[_command(NewsCheck, "check")]
