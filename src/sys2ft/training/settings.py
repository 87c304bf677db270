"""Settings of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sys2ft.errors import SettingsError

if TYPE_CHECKING:
    from torch import nn

JOINT = "joint"

# Change no result beyond rounding: a training that was begun may resume with others.
FREE = ("tokens_at_once", "max_adapters_at_once", "offload_moments", "checkpoint_seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings:
    """How adapters are trained."""

    adapters: str = "per-news"
    """'per-news': one adapter for each news item. 'joint': one for all of them."""
    objective: str = "cross_entropy"
    """Loss of the completions; other packages can add some."""
    learner: str = "lora"
    """What of an adapter is trained; other packages can add some."""
    rank: int = 16
    """LoRA rank."""
    alpha: float = 32.0
    """LoRA alpha; the update is scaled by alpha / rank."""
    target_modules: tuple[str, ...] = ()
    """Linear layers that get adapters, by their last name; none named: all but the head."""
    learning_rate: float = 5e-4
    """Peak learning rate."""
    epochs: float = 3.0
    """Passes over an adapter's elements."""
    batch_size: int = 8
    """Elements an adapter takes in one step."""
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises; it then falls linearly to 0."""
    max_grad_norm: float = 1.0
    """Each adapter's gradient is clipped to this norm."""
    weight_decay: float = 0.0
    """AdamW's weight decay."""
    dropout: float = 0.0
    """LoRA dropout: share of the inputs of A that a step leaves out."""
    held_out: float = 0.0
    """Share of each adapter's elements that it is not trained on; their loss is measured after every epoch."""
    patience: int = 0
    """Epochs without a lower held-out loss after which an adapter stops; it goes back to its best weights."""
    tokens_at_once: int = 0
    """Tokens in forward and backward passes at the same time; bounds memory, changes no result beyond rounding. 0:
    1,024, and 2,048 where the model is in half precision, which take as much."""
    max_adapters_at_once: int = 0
    """Adapters that train together; 0: as many as memory is estimated to hold. Changes no result beyond rounding."""
    offload_moments: bool = False
    """Between updates keep AdamW's moments, two thirds of what an adapter in training takes, off the device: in the
    host's memory, and for a training on the CPU in a file. Takes some time, changes no result."""
    checkpoint_seconds: float = 60.0
    """Training can be resumed from checkpoints made this often, or more seldom where writing one takes long."""

    def tokens_a_pass(self, model: nn.Module) -> int:
        """`tokens_at_once`, or its default for `model`."""
        half = next(model.parameters()).element_size() < 4
        return self.tokens_at_once or (2048 if half else 1024)

    def __post_init__(self) -> None:
        if self.adapters not in ("per-news", JOINT):
            raise SettingsError(f"adapters={self.adapters!r}", expected="per-news or joint", fix="correct --adapters")
        numbers = {
            "rank": self.rank, "alpha": self.alpha, "learning_rate": self.learning_rate, "epochs": self.epochs,
            "batch_size": self.batch_size, "max_grad_norm": self.max_grad_norm,
        }  # fmt: skip
        wrong = [f"{name}={value}" for name, value in numbers.items() if not value > 0]
        shares = {"warmup": self.warmup, "dropout": self.dropout, "held_out": self.held_out}
        wrong += [f"{name}={value}" for name, value in shares.items() if not 0 <= value < 1]
        counts = {
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
                expected="both above 0, to stop an adapter early by elements it is not trained on, or neither",
                fix="set --held-out 0.1 --patience 2, or leave both out",
            )
