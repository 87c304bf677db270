"""Settings of the measurement on passages, which are the options of its command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sys2ft.errors import SettingsError
from sys2ft.models import DEFAULT_MODEL


@dataclass(frozen=True, kw_only=True, slots=True)
class PassagesSettings:
    """How the learner is trained and asked. Rank, alpha, rate, batch size and prompt are SEAL's."""

    model: str = DEFAULT_MODEL
    """The learner, which also writes our own sets: model folder, GGUF file, embedded name or hub id."""
    sets: tuple[str, ...] = ()
    """Only these rows: base, in-context, passage, names of writers in the file, own-PROTOCOL. Empty: all."""
    own: tuple[str, ...] = ("mixed", "rewrite")
    """Protocols by which the learner writes a training set of its own (`own-PROTOCOL`), without seeing a question."""
    own_tokens: int = 450
    """Tokens of an epoch over our own elements, for each passage and protocol. The peers' texts have 186 to 593."""
    passages: int = 0
    """Only the first passages of the file; 0: all."""
    form: Literal["plain", "chat"] = "plain"
    """plain: SEAL's, without a chat template. chat: title and prompt are the user's turn of the model's chat template,
    training text and answer the assistant's."""
    epochs: float = 2.0
    """Passes over a set. SEAL: 10."""
    equal_tokens: int = 0
    """Tokens that each passage's adapter is trained on, in place of `epochs`, so that all sets have equally many."""
    rank: int = 32
    """LoRA rank."""
    alpha: float = 64.0
    """LoRA alpha."""
    target_modules: tuple[str, ...] = ()
    """Linear layers that get adapters; empty: all except the head. SEAL leaves it to PEFT, which takes q_proj and
    v_proj for most models."""
    learning_rate: float = 1e-3
    """Peak learning rate, which falls linearly to 0."""
    batch_size: int = 1
    """Sequences per step of an adapter."""
    max_new_tokens: int = 64
    """Token budget of an answer."""
    whole_answer: bool = False
    """Grade all that is said, as SEAL does; else an answer ends with its first line, and a model that begins with 'The
    answer is:' and a line break has none."""
    adapters_at_once: int = 12
    """Passages whose adapters are trained and asked together: a unit of work, which an interrupted run repeats."""
    dtype: str = "auto"
    """auto, float32, bfloat16 or float16. auto: what the hardware computes natively."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    seed: int = 0
    """Seed of initial adapters, data orders and our own texts."""
    out: Path | None = None
    """Folder of the answers and tables; by default sys2ft-runs/passages-MODEL. A later call computes what is
    missing."""
    plan: bool = False
    """Print tokens and FLOP of each set, and stop."""
    quiet: bool = False
    """Show no progress."""

    def __post_init__(self) -> None:
        least = {"rank": 1, "batch_size": 1, "adapters_at_once": 1, "own_tokens": 1, "max_new_tokens": 1}
        least |= {"passages": 0, "equal_tokens": 0}
        wrong = [f"{name}={getattr(self, name)}" for name, low in least.items() if getattr(self, name) < low]
        above = ("epochs", "alpha", "learning_rate")
        wrong += [f"{name}={getattr(self, name)}" for name in above if not 0 < getattr(self, name) < float("inf")]
        if wrong:
            raise SettingsError(
                ", ".join(wrong),
                expected="counts of at least 1 (passages and equal_tokens: 0 or more), other numbers above 0",
                fix="change the setting that is out of range",
            )
