"""Where a model comes from and under which licence, as far as its own files say."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sys2ft.models.registry import DEFAULT_MODEL, Source

_EMBEDDED = {DEFAULT_MODEL: ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")}
_HUB = re.compile(r"https://huggingface\.co/([\w.-]+/[\w.-]+)")


@dataclass(frozen=True, slots=True)
class Origin:
    """The model's hub id and the name of its licence; None where nothing says it."""

    hub_id: str | None = None
    licence: str | None = None


def origin_of(source: Source) -> Origin:
    """The origin of a resolved model, without the network."""
    if source.name in _EMBEDDED:
        return Origin(*_EMBEDDED[source.name])
    if source.path.is_dir():
        return Origin(source.name if source.kind == "hub" else None, _card_licence(source.path / "README.md"))
    return _of_gguf(source.path)


def _card_licence(card: Path) -> str | None:
    from huggingface_hub import metadata_load

    if not card.is_file():
        return None
    with contextlib.suppress(Exception):  # YAML of another author
        found = (metadata_load(card) or {}).get("license")
        return str(found) if found else None
    return None


def _of_gguf(file: Path) -> Origin:
    import gguf

    reader: Any = gguf.GGUFReader(file)

    def text(key: str) -> str | None:
        field = reader.get_field(key)
        return None if field is None else str(field.contents())

    places = (text("general.base_model.0.repo_url"), text("general.source.url"), text("general.repo_url"))
    found = next((match for place in places if place and (match := _HUB.match(place))), None)
    return Origin(found[1] if found else None, text("general.license"))
