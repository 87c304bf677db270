"""Training settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sys2ft.errors import SettingsError

if TYPE_CHECKING:
    from torch import nn

JOINT = "joint"

# These change no result beyond rounding, so a training may resume with other values.
FREE = ("tokens_at_once", "max_adapters_at_once", "offload_moments", "checkpoint_seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings:
    """How adapters are trained."""

    adapters: str = JOINT
    """'joint': one adapter for all news items. 'per-news': one adapter per news item, for studies of single ones."""
    objective: str = "cross_entropy"
    """Loss on the completions. Other packages can provide more; an unknown name lists the installed ones."""
    learner: str = "lora"
    """Kind of adapter to train. Other packages can provide more; an unknown name lists the installed ones."""
    rank: int = 0
    """LoRA rank. 0: by the number of news items in an adapter, from 16 for up to 4 of them to 64 for 50 and more."""
    alpha: float = 32.0
    """LoRA alpha; the update is scaled by alpha / rank."""
    target_modules: tuple[str, ...] = ()
    """Linear layers that get adapters, by the last part of their name; empty: all except the head."""
    learning_rate: float = 0.0
    """Peak learning rate. 0: by the number of an adapter's steps, 5e-4 for up to 100 of them and lower for more."""
    epochs: float = 3.0
    """Passes over an adapter's elements."""
    batch_size: int = 8
    """Elements per step of an adapter."""
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises; it then falls linearly to 0."""
    max_grad_norm: float = 1.0
    """Maximum norm of each adapter's gradient; larger ones are clipped."""
    weight_decay: float = 0.0
    """AdamW's weight decay."""
    dropout: float = 0.0
    """LoRA dropout: share of the inputs of A that are dropped in each step."""
    held_out: float = 0.0
    """Share of each adapter's elements held out of training; their loss is measured after every epoch."""
    patience: int = 0
    """Epochs without a lower held-out loss after which an adapter stops and its best weights are restored."""
    tokens_at_once: int = 0
    """Maximum number of tokens in concurrent forward and backward passes. Limits memory; changes no result beyond
    rounding. 0: 1,024, or 2,048 for a model in half precision, which needs the same memory."""
    max_adapters_at_once: int = 0
    """Maximum number of adapters that train concurrently; 0: as many as are estimated to fit in memory. Changes no
    result beyond rounding."""
    offload_moments: bool = False
    """Keep AdamW's moments, two thirds of the memory of an adapter in training, off the device between updates: in host
    memory, or in a file when training on the CPU. Slower; changes no result."""
    checkpoint_seconds: float = 60.0
    """Seconds between checkpoints, from which training can resume; longer if writing one is slow."""

    def tokens_a_pass(self, model: nn.Module) -> int:
        """`tokens_at_once`, or the default for `model` if it is 0."""
        half = next(model.parameters()).element_size() < 4
        return self.tokens_at_once or (2048 if half else 1024)

    def __post_init__(self) -> None:
        object.__setattr__(self, "target_modules", tuple(self.target_modules))  # a list, as JSON has it, is no key
        if self.adapters not in ("per-news", JOINT):
            raise SettingsError(f"adapters={self.adapters!r}", expected="per-news or joint", fix="correct --adapters")
        numbers = {
            "alpha": self.alpha, "epochs": self.epochs, "batch_size": self.batch_size,
            "max_grad_norm": self.max_grad_norm,
        }  # fmt: skip
        wrong = [f"{name}={value}" for name, value in numbers.items() if not value > 0]
        shares = {"warmup": self.warmup, "dropout": self.dropout, "held_out": self.held_out}
        wrong += [f"{name}={value}" for name, value in shares.items() if not 0 <= value < 1]
        counts = {
            "rank": self.rank, "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay, "patience": self.patience,
            "tokens_at_once": self.tokens_at_once, "max_adapters_at_once": self.max_adapters_at_once,
        }  # fmt: skip
        wrong += [f"{name}={value}" for name, value in counts.items() if not value >= 0]
        if wrong:
            raise SettingsError(
                ", ".join(wrong),
                expected=f"numbers above 0; {', '.join(shares)} at least 0 and below 1; {', '.join(counts)} at least 0",
                fix="change the setting that is out of range",
            )
        if bool(self.held_out) != bool(self.patience):
            raise SettingsError(
                f"held_out={self.held_out}, patience={self.patience}",
                expected="both above 0 (to stop early by the loss of held-out elements) or both 0",
                fix="set --held-out 0.1 --patience 2, or leave both out",
            )
