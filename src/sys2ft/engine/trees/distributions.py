"""A teacher's distributions over the next token, kept as its most likely tokens and one probability of all others.

Shapes: P predictions, K most likely tokens, R = K + 1 parts of a distribution, u rows of logits, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sys2ft.engine.decoding.sampling import most_likely

_LEAST = -1e4  # a log-probability that float16 holds and whose probability is 0


@dataclass(frozen=True, slots=True, eq=False)
class Distributions:
    """P distributions: the ids of the K most likely tokens, and the log-probabilities of the R parts (nats).

    A part is one of these tokens, in their order, and the last is all other tokens together. `top_PK` is int32 and
    `log_PR` float16: 6 bytes for a token.
    """

    top_PK: Tensor
    log_PR: Tensor

    def __len__(self) -> int:
        return len(self.top_PK)

    def __getitem__(self, which: Tensor | slice) -> Distributions:
        return Distributions(self.top_PK[which], self.log_PR[which])

    @classmethod
    def of(cls, logits_uV: Tensor, top: int) -> Distributions:
        """Of float32 logits, which are overwritten. `top` is K; at least one token is left for the last part."""
        all_u = logits_uV.logsumexp(-1, keepdim=True)
        top_uK, ids_uK = most_likely(logits_uV, min(top, logits_uV.shape[-1] - 1))
        # Not 1 minus the sum, which rounding makes 0 where the model is certain.
        rest_u = logits_uV.scatter_(1, ids_uK, -torch.inf).logsumexp(-1, keepdim=True)
        log_uR = (torch.cat([top_uK, rest_u], dim=1) - all_u).clamp_min(_LEAST)
        return cls(ids_uK.int(), log_uR.half())

    @classmethod
    def none(cls, count: int, top: int) -> Distributions:
        """Rows for predictions that have no teacher."""
        return cls(torch.zeros(count, top, dtype=torch.int32), torch.zeros(count, top + 1, dtype=torch.float16))

    @classmethod
    def cat(cls, parts: Sequence[Distributions]) -> Distributions:
        return cls(torch.cat([part.top_PK for part in parts]), torch.cat([part.log_PR for part in parts]))

    def to(self, device: torch.device | str) -> Distributions:
        return Distributions(self.top_PK.to(device), self.log_PR.to(device))

    @property
    def normal_PR(self) -> Tensor:
        """Log-probabilities in float32 whose probabilities sum to 1, as float16's do not quite."""
        return self.log_PR.float().log_softmax(-1)

    @staticmethod
    def bytes_a_prediction(top: int) -> int:
        """Memory of one distribution of `top` tokens."""
        return 4 * top + 2 * (top + 1)
