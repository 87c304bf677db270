"""Looking at adapters while they train, such as to ask them questions after some of their steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sys2ft.engine import Bank
from sys2ft.training.adapter import Adapter


@dataclass(frozen=True, slots=True)
class Watch:
    """Calls `look` with the bank and the adapters that have just taken a number of steps that is in `steps`.

    While it looks, an adapter has the share of its update that it would keep if it ended now (`strength`). A resumed
    training may show a step again that was seen before.
    """

    steps: frozenset[int]
    look: Callable[[Bank, Sequence[Adapter]], None]

    def see(self, bank: Bank, adapters: Sequence[Adapter]) -> None:
        """Look at those of the adapters in training that have come to one of the steps."""
        due = [adapter for adapter in adapters if adapter.step in self.steps and not adapter.diverged]
        if not due:
            return
        whole = {a.slot: bank.weights_KP[a.slot].clone() for a in due if a.job.settings.strength != 1}
        for adapter in due:
            if adapter.slot in whole:
                bank.scale(adapter.slot, adapter.job.settings.strength)
        try:
            self.look(bank, due)
        finally:
            for slot, weights_P in whole.items():
                bank.weights_KP[slot].copy_(weights_P)
