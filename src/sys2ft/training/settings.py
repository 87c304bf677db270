"""Training settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sys2ft.errors import SettingsError

if TYPE_CHECKING:
    from torch import nn

JOINT = "joint"
AUTO, FORWARD, REVERSE = "auto", "forward", "reverse"
HELD_OUT, IN_CONTEXT = "held_out", "in_context"

# These change no result beyond rounding, so a training may resume with other values.
FREE = ("tokens_at_once", "max_adapters_at_once", "offload_moments", "checkpoint_seconds")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSettings:
    """How adapters are trained."""

    adapters: str = JOINT
    """'joint': one adapter for all news items. 'per-news': one adapter per news item, for studies of single ones."""
    objective: str = "cross_entropy"
    """Loss on the completions. 'cross_entropy': that of their tokens. 'distil': the divergence from a teacher that
    reads the news item before the prompt. 'on_policy': likewise, on completions that the adapter samples itself. Other
    packages can provide more; an unknown name lists the installed ones."""
    teacher: str = ""
    """Model that teaches, with the same tokenizer; empty: the base model itself."""
    kl: str = AUTO
    """Direction of the divergence from the teacher: 'forward' covers what the teacher says, 'reverse' avoids what it
    does not say. 'auto': forward for distil, reverse for on_policy."""
    distil_top: int = 64
    """Most likely tokens of the teacher that are compared one by one; all others are compared as one."""
    distil_weight: float = 1.0
    """Share of the divergence from the teacher in the loss; the rest is cross-entropy on the elements."""
    refresh: float = 1.0
    """How often in an epoch on_policy samples completions anew."""
    sample_tokens: int = 64
    """Maximum number of tokens of a completion that on_policy samples."""
    anchor: str = ""
    """What the model should go on saying: a file of texts or prompts (plain lines, or JSON Lines with `text`, `prompt`
    or `messages`), or 'own': the base's answers to bundled general questions. Empty: nothing."""
    anchor_share: float = 0.25
    """Share of each step's examples, and of its loss, that is the divergence from the base on the anchor."""
    learner: str = "lora"
    """Kind of adapter to train. Other packages can provide more; an unknown name lists the installed ones."""
    rank: int = 0
    """LoRA rank. 0: by the number of news items in an adapter, from 16 for up to 4 of them to 64 for 50 and more."""
    alpha: float = 0.0
    """LoRA alpha; the update is scaled by alpha / rank. 0: twice the rank."""
    target_modules: tuple[str, ...] = ()
    """Linear layers that get adapters, by the last part of their name; empty: all except the head."""
    learning_rate: float = 0.0
    """Peak learning rate. 0: by the size of the model and the number of an adapter's steps, at most 3.5e-3."""
    epochs: float = 2.0
    """Passes over an adapter's elements."""
    batch_size: int = 8
    """Elements per step of an adapter."""
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises; it then falls linearly to 0."""
    strength: float = 0.5
    """Share of the trained update that is kept. Between the base (0) and what training ended with (1) are weights that
    know most of the news and have lost less of the rest (weight interpolation, arXiv 2109.01903)."""
    max_grad_norm: float = 1.0
    """Maximum norm of each adapter's gradient; larger ones are clipped."""
    weight_decay: float = 0.0
    """AdamW's weight decay."""
    dropout: float = 0.0
    """LoRA dropout: share of the inputs of A that are dropped in each step."""
    held_out: float = 0.0
    """Share of each adapter's elements held out of training; their loss is measured after every epoch."""
    patience: int = 0
    """Epochs without a better held-out result after which an adapter stops and its best weights are restored."""
    stop_on: str = HELD_OUT
    """What is better. 'held_out': a lower loss of the held-out elements. 'in_context': every epoch after which the
    held-out elements, with the news item in context, are about as likely as to the base."""
    tolerance: float = 0.05
    """Nats per token by which the loss in context may exceed the base's, for 'in_context'."""
    tokens_at_once: int = 0
    """Maximum number of tokens in concurrent forward and backward passes. Limits memory; changes no result beyond
    rounding. 0: on a CPU 1,024, or 2,048 for a model in half precision, which needs the same memory; on a GPU 16,384,
    or 4,096 for a model of more than 3 billion parameters."""
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
        if self.tokens_at_once:
            return self.tokens_at_once
        weight = next(model.parameters())
        if weight.is_cuda:
            # Launching the kernels of a pass takes as long for few tokens as for many.
            return 4096 if sum(one.numel() for one in model.parameters()) > 3e9 else 16384
        return 2048 if weight.element_size() < 4 else 1024

    def __post_init__(self) -> None:
        object.__setattr__(self, "target_modules", tuple(self.target_modules))  # a list, as JSON has it, is no key
        if self.adapters not in ("per-news", JOINT):
            raise SettingsError(f"adapters={self.adapters!r}", expected="per-news or joint", fix="correct --adapters")
        if self.stop_on not in (HELD_OUT, IN_CONTEXT):
            raise SettingsError(
                f"stop_on={self.stop_on!r}", expected=f"{HELD_OUT} or {IN_CONTEXT}", fix="correct --stop-on"
            )
        if self.kl not in (AUTO, FORWARD, REVERSE):
            raise SettingsError(f"kl={self.kl!r}", expected="auto, forward or reverse", fix="correct --kl")
        numbers = {
            "epochs": self.epochs, "batch_size": self.batch_size,
            "max_grad_norm": self.max_grad_norm, "distil_top": self.distil_top, "refresh": self.refresh,
            "sample_tokens": self.sample_tokens, "anchor_share": self.anchor_share,
        }  # fmt: skip
        wrong = [f"{name}={value}" for name, value in numbers.items() if not value > 0]
        shares = {
            "warmup": self.warmup,
            "dropout": self.dropout,
            "held_out": self.held_out,
            "anchor_share": self.anchor_share,
        }
        wrong += [f"{name}={value}" for name, value in shares.items() if not 0 <= value < 1]
        parts = {"distil_weight": self.distil_weight, "strength": self.strength}
        wrong += [f"{name}={value}" for name, value in parts.items() if not 0 < value <= 1]
        counts = {
            "rank": self.rank, "alpha": self.alpha, "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay, "patience": self.patience, "tolerance": self.tolerance,
            "tokens_at_once": self.tokens_at_once, "max_adapters_at_once": self.max_adapters_at_once,
        }  # fmt: skip
        wrong += [f"{name}={value}" for name, value in counts.items() if not value >= 0]
        if wrong:
            raise SettingsError(
                ", ".join(wrong),
                expected=f"numbers above 0; {', '.join(shares)} at least 0 and below 1; {', '.join(counts)} at least 0"
                f"; {', '.join(parts)} above 0 and at most 1",
                fix="change the setting that is out of range",
            )
        if bool(self.held_out) != bool(self.patience):
            raise SettingsError(
                f"held_out={self.held_out}, patience={self.patience}",
                expected="both above 0 (to stop early by held-out elements) or both 0",
                fix="set --held-out 0.1 --patience 2, or leave both out",
            )
        if self.stop_on == IN_CONTEXT and not self.held_out:
            raise SettingsError(
                f"stop_on={self.stop_on!r} without held-out elements",
                expected="held-out elements to measure",
                fix="add --held-out 0.1 --patience 1",
            )
