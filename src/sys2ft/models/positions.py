"""How many tokens a model can read: the positions that it was made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sys2ft.models.cache import Progress
from sys2ft.models.chat import ChatFormat
from sys2ft.models.load import load_tokenizer, reading
from sys2ft.models.registry import resolve

if TYPE_CHECKING:
    from sys2ft.models.load import LoadedModel

_STRETCHED = ("linear", "dynamic", "yarn", "longrope", "su")
_FAR = ("full_attention", "chunked_attention", "hybrid")


def position_limit(config: Any) -> int | None:
    """The greatest number of tokens in one text for a model with this transformers configuration; None: no limit.

    Models without positional embeddings, and those whose layers all see a window of recent tokens only, have no limit.
    Rotary embeddings that are stretched by a factor reach as far as the factor says.
    """
    text = config.get_text_config()
    most: int | None = getattr(text, "max_position_embeddings", None)
    if most is None or getattr(text, "alibi", False) or _sees_a_window_only(text):
        return None
    return max(most, *(_stretched(rope, most) for rope in _ropes(text)), 0)


def _sees_a_window_only(config: Any) -> bool:
    layers = getattr(config, "layer_types", None)
    if layers:
        return not set(layers) & set(_FAR)
    return bool(getattr(config, "sliding_window", None)) and getattr(config, "use_sliding_window", True)


def _ropes(config: Any) -> list[dict[str, Any]]:
    """Settings of the rotary embeddings: one for all layers, or one for each type of layer."""
    rope = getattr(config, "rope_parameters", None) or {}
    return [rope] if "rope_type" in rope else [one for one in rope.values() if isinstance(one, dict)]


def _stretched(rope: dict[str, Any], most: int) -> int:
    if rope.get("rope_type") not in _STRETCHED or not rope.get("factor"):
        return 0
    return int(rope["factor"] * (rope.get("original_max_position_embeddings") or most))


@dataclass(frozen=True, slots=True)
class Reader:
    """What decides whether a text fits into a model: its chat format and its positions. It has no weights."""

    name: str
    chat: ChatFormat
    positions: int | None

    @classmethod
    def of(cls, model: LoadedModel) -> Reader:
        """The reader of a loaded model."""
        return cls(model.source.name, model.chat, position_limit(model.model.config))

    @classmethod
    def named(cls, name: str, *, progress: Progress | None = None) -> Reader:
        """The reader of the model called `name`. Raises ModelError if the model cannot be found or read."""
        import transformers

        folder = resolve(name).folder(progress)
        with reading(folder):
            config = transformers.AutoConfig.from_pretrained(folder)
        _, chat = load_tokenizer(name, progress=progress)
        return cls(name, chat, position_limit(config))
