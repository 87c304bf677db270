"""Load a model by name: frozen, with its tokenizer and its chat format."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sys2ft import machine
from sys2ft.errors import ModelError
from sys2ft.models.allocator import keep_freed_memory
from sys2ft.models.cache import Progress
from sys2ft.models.chat import ChatFormat
from sys2ft.models.convert import quiet_bars, read_model
from sys2ft.models.registry import Source, resolve

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A frozen causal language model, in evaluation mode and without gradients, with its tokenizer and chat format."""

    model: Any  # a transformers causal language model
    tokenizer: Any
    chat: ChatFormat
    source: Source
    fingerprint: str
    device: torch.device
    dtype: torch.dtype

    def described(self) -> dict[str, Any]:
        """What identifies the model in a run's record; `date` only if its chat template writes one."""
        return {
            "sha256": self.fingerprint,
            "architecture": type(self.model).__name__,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            **({"date": self.chat.date} if self.chat.date else {}),
        }


def load_model(
    name: str, *, dtype: str = "auto", device: str = "auto", progress: Progress | None = None
) -> LoadedModel:
    """Resolve `name` and load it.

    dtype: 'auto' (what the hardware computes natively: see `pick_dtype`), 'float32', 'bfloat16' or 'float16'.
    device: 'auto' (CUDA if there is one), or a torch device such as 'cpu' or 'cuda:1'.
    Raises ModelError if the model cannot be found, read or used, StorageError if a conversion cannot be written.
    On a CPU the process then keeps the memory that it frees (see `models.allocator`).
    """
    place = pick_device(device)
    if place.type == "cpu":
        keep_freed_memory()  # before loading, whose threads would each get an arena
    number = pick_dtype(dtype, place)
    source = resolve(name)
    folder = source.folder(progress)
    model, tokenizer = _load_folder(folder, number, place)
    chat = ChatFormat.of(tokenizer, eos_ids=_eos_ids(model.generation_config))
    return LoadedModel(model, tokenizer, chat, source, source.fingerprint(), place, number)


def load_tokenizer(name: str, *, progress: Progress | None = None) -> tuple[Any, ChatFormat]:
    """A model's tokenizer and chat format without its weights."""
    import transformers

    folder = resolve(name).folder(progress)
    with reading(folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        with contextlib.suppress(OSError):  # not every model has generation settings
            settings = transformers.GenerationConfig.from_pretrained(folder)
            return tokenizer, ChatFormat.of(tokenizer, eos_ids=_eos_ids(settings))
    return tokenizer, ChatFormat.of(tokenizer)


def pick_device(device: str = "auto") -> torch.device:
    """The torch device of that name; 'auto' is the first CUDA device, else the CPU."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ModelError(
            f"device {device!r}", expected="'auto', 'cpu', 'cuda' or 'cuda:N'", fix="use 'auto'"
        ) from error
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"device {device!r}, but torch sees {torch.cuda.device_count()} CUDA devices",
            expected="an existing device",
            fix="use 'auto' or 'cpu', or install a torch build for this GPU",
        )
    return place


def pick_dtype(dtype: str = "auto", device: torch.device | None = None) -> torch.dtype:
    """'auto' is bfloat16 on CUDA and on a CPU that multiplies bfloat16 natively, else float32."""
    import torch

    if dtype == "auto":
        on_gpu = device is not None and device.type == "cuda"
        return torch.bfloat16 if on_gpu or cpu_has_bfloat16() else torch.float32
    if dtype not in DTYPES:
        raise ModelError(f"dtype {dtype!r}", expected=f"'auto' or one of {', '.join(DTYPES)}", fix="use 'auto'")
    number: torch.dtype = getattr(torch, dtype)
    return number


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware (AVX512-BF16, AMX, or Arm's BF16).

    Without that, bfloat16 is emulated and slower than float32.
    """
    import torch

    # Private names, which a later torch may not have: Linux knows the same flags.
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        if getattr(torch.cpu, probe, lambda: False)():
            return True
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(machine.processor_flags())


def _load_folder(folder: Path, number: torch.dtype, place: torch.device) -> tuple[Any, Any]:
    import transformers

    with reading(folder), quiet_bars():
        config = transformers.AutoConfig.from_pretrained(folder)
        if getattr(config, "quantization_config", None):
            raise ModelError(
                f"{folder} holds quantised weights",
                expected="weights in float32, float16 or bfloat16, which adapters can be added to",
                fix="use the model's unquantised release, or its GGUF file, which is converted when it is loaded",
            )
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        # The dtype is set here, since a later `model.to(bfloat16)` would cast the rotary frequencies too.
        model = read_model(folder, dtype=number)
        require_finite(model, folder)
    return model.to(place).eval().requires_grad_(False), tokenizer


def require_finite(model: Any, folder: Path) -> None:
    """Raise ModelError if a weight is NaN or infinite: nothing computed with it would be a number."""
    found = []
    for name, parameter in model.named_parameters():
        # The extremes first: they need no copy of the weights, and NaN is one of them if there is any.
        if parameter.numel() and not all(end.isfinite() for end in parameter.aminmax()):
            nan, infinite = int(parameter.isnan().sum()), int(parameter.isinf().sum())
            found.append(f"{name} ({nan} NaN and {infinite} infinite of {parameter.numel()})")
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
        raise ModelError(
            f"the model in {folder} has weights that are not finite, as {dtype}, in {len(found)} tensors: "
            f"{', '.join(found[:3])}{more}",
            expected="weights that are finite numbers",
            fix="download the weights again or use an earlier checkpoint; instead of --dtype float16 use float32",
        )


def _eos_ids(settings: Any) -> list[int]:
    """The end-of-text ids of generation settings: none, one or several."""
    ids = getattr(settings, "eos_token_id", None)
    return [] if ids is None else list(ids) if isinstance(ids, (list, tuple)) else [ids]


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Translate the errors of transformers on an unusable folder into ModelError."""
    try:
        yield
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # bad JSON, truncated weights, unknown architecture: many types, the same fix
        raise ModelError(
            f"the model in {folder} could not be loaded: {type(error).__name__}: {error}",
            expected="a causal language model that transformers can read without custom code",
            fix="download or save the model again, or use another one",
        ) from error
