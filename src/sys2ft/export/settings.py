"""Settings of an export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sys2ft.errors import SettingsError

Kind = Literal["peft", "merged", "gguf", "gguf-lora", "ollama", "sft"]
KINDS: tuple[Kind, ...] = get_args(Kind)
GGUF_KINDS: tuple[Kind, ...] = ("gguf", "gguf-lora", "ollama")
DTYPES = ("auto", "float32", "float16", "bfloat16")
DRIFT, EIGHT_BIT_DRIFT, FEW_BIT_DRIFT = 0.5, 1.0, 2.0
"""Defaults of `max_drift` for types of 16 bits or more, of 8, and of fewer: above what docs/export.md has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportSettings:
    """What is written, in which precision, and how much its answers may differ from the run's."""

    to: Kind
    """peft: the adapter with a model card. merged: the whole model as safetensors. gguf: the whole model as one file
    for llama.cpp. gguf-lora: the adapter and its base as two GGUF files. ollama: a GGUF file and a Modelfile. sft: the
    training samples for other trainers."""
    adapter: str | None = None
    """Which adapter: a protocol, or PROTOCOL/NAME of an adapter per news item. Default: the best protocol's."""
    dtype: str = "auto"
    """Precision of `merged`: float32, bfloat16 or float16. auto: that of the base's files. Sums are made in float32."""
    quantise: str = "auto"
    """Type of the weights in a GGUF file: f32, f16, bf16, q8_0, or one that llama.cpp's `llama-quantize` makes, such as
    q4_k_m. auto: that of the base's files."""
    base_gguf: Path | None = None
    """For gguf-lora: the GGUF file of the base that will be served. Default: one is made from the base."""
    llama_cpp: Path | None = None
    """A llama.cpp folder with its converters, and `llama-quantize` if a quantisation needs it. Default: the converters
    of the extra `export`, and `llama-quantize` as found in PATH."""
    max_drift: float | None = None
    """Largest change of a choice's log-probability against the run's record, in nats per token. Beyond it the export
    fails, and its folder keeps the ending `.unproven`. Default: 0.5; 1 for q8_0; 2 for types of fewer bits."""
    questions: int | None = None
    """Ask at most this many of the run's questions, evenly spread. Default: all."""
    news_licence: str | None = None
    """Licence of the news texts, for the model card. Default: that of the bundled set, or 'that of their sources'."""

    def __post_init__(self) -> None:
        if self.to not in KINDS:
            raise SettingsError(f"to={self.to!r}", expected=f"one of {', '.join(KINDS)}", fix="correct --to")
        if self.dtype not in DTYPES:
            raise SettingsError(f"dtype={self.dtype!r}", expected=f"one of {', '.join(DTYPES)}", fix="correct --dtype")
        misplaced = {
            "dtype": self.dtype != "auto" and self.to != "merged",
            "quantise": self.quantise != "auto" and self.to not in GGUF_KINDS,
            "base_gguf": self.base_gguf is not None and self.to != "gguf-lora",
        }
        if wrong := [name for name, found in misplaced.items() if found]:
            raise SettingsError(
                f"{', '.join(wrong)} with --to {self.to}",
                expected="dtype with merged; quantise with gguf, gguf-lora or ollama; base_gguf with gguf-lora",
                fix="leave it out, or choose another --to",
            )
        if self.base_gguf is not None and self.quantise != "auto":
            raise SettingsError(
                "base_gguf, and quantise for a base that is not written",
                expected="one of the two",
                fix="leave out --quantise: the base is served as it is",
            )
        if self.base_gguf is not None and not self.base_gguf.is_file():
            raise SettingsError(
                f"base_gguf={self.base_gguf}, which is not a file", expected="a GGUF file", fix="correct --base-gguf"
            )
        if self.max_drift is not None and not self.max_drift >= 0:
            raise SettingsError(f"max_drift={self.max_drift}", expected="0 or more nats", fix="correct --max-drift")
        if self.questions is not None and self.questions < 1:
            raise SettingsError(f"questions={self.questions}", expected="at least 1", fix="correct --questions")

    @property
    def limit(self) -> float:
        """The largest change of a log-probability that passes, in nats per token."""
        if self.max_drift is not None:
            return self.max_drift
        kind = self.quantise.lower()
        if kind.startswith("q8"):
            return EIGHT_BIT_DRIFT
        return FEW_BIT_DRIFT if kind.startswith(("q", "iq")) else DRIFT

    @property
    def suffix(self) -> str:
        """End of the folder's name, by which exports of one adapter differ."""
        precision = {"merged": self.dtype}.get(self.to, self.quantise)
        return self.to if precision == "auto" else f"{self.to}-{precision.lower()}"
