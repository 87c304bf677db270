"""Log-probabilities of continuations, prompts and shared beginnings computed once.

Shapes: U supervised nodes, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sys2ft.engine.bank import AdapterBank, adapter_rows
from sys2ft.engine.forward import head, hidden_states
from sys2ft.engine.tree import Example, group_rows, pack, row_size

_HEAD_ROWS = 256  # rows of logits held at once


@dataclass(frozen=True, slots=True)
class LogLikelihood:
    """Sum of the log-probabilities (nats) of a continuation's tokens, and how many there are."""

    total: float
    tokens: int

    @property
    def mean(self) -> float:
        """Nats a token."""
        return self.total / self.tokens


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """One LogLikelihood an example, in order, and what it cost."""

    likelihoods: list[LogLikelihood]
    tokens_computed: int
    predictions: int


def score(
    model: torch.nn.Module,
    examples: Sequence[Example],
    bank: AdapterBank | None = None,
    *,
    tokens_at_once: int = 4096,
    row_nodes: int = 512,
) -> ScoreResult:
    """Log-likelihood of each example's supervised tokens, under its slot's adapter.

    Examples that share a prefix should stand together: they then share its computation. Equals a full forward pass
    for each example up to rounding. `tokens_at_once` bounds memory, `row_nodes` the length of a packed row.
    """
    device = next(model.parameters()).device
    rows = group_rows(examples, row_nodes)
    sizes = [row_size(examples, row) for row in rows]
    # Rows of like length together (little padding); rows of a slot together (one product a slot).
    order = sorted(range(len(rows)), key=lambda r: (-sizes[r], examples[rows[r][0]].slot, r))
    totals = [0.0] * len(examples)
    computed = predictions = 0
    while order:
        count = max(1, tokens_at_once // sizes[order[0]])
        batch, order = order[:count], order[count:]
        packed = pack(examples, [rows[r] for r in batch], device)
        with torch.inference_mode(), adapter_rows(bank, packed.row_slots):
            hidden = hidden_states(model, packed.tokens_RT, packed.positions_RT, packed.mask_RTT)
        hidden_UD = hidden.flatten(0, 1)[packed.unique_nodes_U]
        for start in range(0, len(hidden_UD), _HEAD_ROWS):
            here = ((packed.unique_N >= start) & (packed.unique_N < start + _HEAD_ROWS)).nonzero().squeeze(1)
            with torch.inference_mode():
                log_UV = head(model, hidden_UD[start : start + _HEAD_ROWS]).log_softmax(-1)
                got = log_UV[packed.unique_N[here] - start, packed.target_N[here]].double().tolist()
            for example, value in zip(packed.example_N[here].tolist(), got, strict=True):
                totals[example] += value
        computed += packed.tokens_computed
        predictions += len(hidden_UD)
    lengths = [sum(example.loss_mask) for example in examples]
    likelihoods = [LogLikelihood(total, length) for total, length in zip(totals, lengths, strict=True)]
    return ScoreResult(likelihoods, computed, predictions)
