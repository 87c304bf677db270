"""Find, convert and load language models, and render chat for them.

registry  resolve a name to a source: folder or GGUF file, embedded model, hub id
cache     the user's cache folder; stored digests
convert   convert a GGUF file into a cached folder of safetensors
origin    where a model comes from, and its licence
load      load a source as a frozen model with its tokenizer and its chat format
positions how many tokens a model can read
allocator keep freed memory for reuse
chat      render a conversation as (ids, loss mask), the same for training and evaluation
catalog   list models and describe one, for `sys2ft models`
"""

from __future__ import annotations

from sys2ft.models.cache import cache_dir
from sys2ft.models.catalog import ModelEntry, ModelInfo, info, list_models, pull
from sys2ft.models.chat import ChatFormat, Message, Rendered
from sys2ft.models.load import LoadedModel, cpu_has_bfloat16, load_model, load_tokenizer, pick_device, pick_dtype
from sys2ft.models.origin import Origin, origin_of
from sys2ft.models.positions import Reader, position_limit
from sys2ft.models.registry import DEFAULT_MODEL, EMBEDDED, Source, resolve

__all__ = [
    "DEFAULT_MODEL",
    "EMBEDDED",
    "ChatFormat",
    "LoadedModel",
    "Message",
    "ModelEntry",
    "ModelInfo",
    "Origin",
    "Reader",
    "Rendered",
    "Source",
    "cache_dir",
    "cpu_has_bfloat16",
    "info",
    "list_models",
    "load_model",
    "load_tokenizer",
    "origin_of",
    "pick_device",
    "pick_dtype",
    "position_limit",
    "pull",
    "resolve",
]
