"""Opening a generator by name: a server's model, vLLM's, one of another package, or a model that the engine computes.

Another package's is found among the entry points of the group 'sys2ft.generators', by the word before the colon.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sys2ft.errors import SettingsError, Sys2ftError
from sys2ft.generators.server_settings import Address, ServerSettings
from sys2ft.plugins import GENERATORS, broken_plugin, load_plugin, plugin_names
from sys2ft.runs import Display

if TYPE_CHECKING:
    from sys2ft.generators.types import Generator

_KIND = re.compile(r"([a-z][a-z0-9_-]*):(.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """What a generator is opened with, besides its name."""

    replies: Path | None = None
    """Folder in which a generator may keep its replies; None: nothing is kept."""
    server: ServerSettings = field(default_factory=ServerSettings)
    dtype: str = "auto"
    device: str = "auto"
    rows_at_once: int = 512
    show: Display = field(default_factory=Display)


def _server(rest: str, opening: Opening) -> Generator:
    from sys2ft.generators.server_generator import ServerGenerator

    return ServerGenerator(Address.parse(rest), opening.server, replies=opening.replies, show=opening.show)


def _vllm(rest: str, opening: Opening) -> Generator:
    from sys2ft.generators.vllm_generator import VllmGenerator

    return VllmGenerator(rest)


BUNDLED: dict[str, Callable[[str, Opening], Generator]] = {"openai": _server, "vllm": _vllm}


def is_local(name: str) -> bool:
    """Whether a generator's name is that of a model for this package's engine."""
    return kind_of(name) is None


def kind_of(name: str) -> tuple[str, str] | None:
    """The word before the colon and what follows it; None for the name of a model."""
    found = _KIND.fullmatch(name)
    return (found[1], found[2]) if found and not Path(name).expanduser().exists() else None


def require_generator(name: str) -> None:
    """Raise SettingsError for the name of a generator that cannot be opened, as far as the name says it."""
    kind = kind_of(name)
    if kind and kind[0] == "openai":
        Address.parse(kind[1])
    elif kind and kind[0] not in BUNDLED:
        load_plugin(GENERATORS, kind[0], flag="--generator", known=_known())


def open_generator(name: str, opening: Opening | None = None) -> Generator:
    """The generator called `name`: 'openai:MODEL@URL', 'vllm:MODEL', 'KIND:...' of another package, or a model.

    Raises SettingsError for an unknown kind and a wrong name, and ModelError for a model or server that cannot be used.
    """
    from sys2ft.generators.types import Generator  # late, since a name can be checked without torch

    opening = opening or Opening()
    kind = kind_of(name)
    if kind is None:
        from sys2ft.generators.engine_generator import EngineGenerator
        from sys2ft.models import load_model

        model = load_model(name, dtype=opening.dtype, device=opening.device, progress=opening.show.note)
        return EngineGenerator(model, rows_at_once=opening.rows_at_once)
    if kind[0] in BUNDLED:
        return BUNDLED[kind[0]](kind[1], opening)
    make: Any = load_plugin(GENERATORS, kind[0], flag="--generator", known=_known())
    try:
        made = make(kind[1], opening)
    except Sys2ftError:
        raise
    except Exception as error:  # another package's code may raise anything
        raise broken_plugin(GENERATORS, kind[0], "its function cannot be called", error) from error
    if not isinstance(made, Generator):
        raise SettingsError(
            f"the generator {kind[0]!r}: its function returned {made!r}",
            expected="an object with `identity`, `generate` and `loglik`",
            fix="correct the package that provides it",
        )
    return made


def _known() -> list[str]:
    kinds = [*BUNDLED, *(name for name in plugin_names(GENERATORS) if name not in BUNDLED)]
    return ["the name of a model", *(f"{kind}:..." for kind in kinds)]
