"""LoRA as a learner: low-rank updates of linear layers, saved in PEFT's format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from sys2ft.engine.adapters.bank import AdapterBank, linear_layers, weights_a_slot
from sys2ft.engine.adapters.interface import Bank
from sys2ft.engine.adapters.peft_format import load_adapter, save_adapter


@dataclass(frozen=True, kw_only=True, slots=True)
class LoRA:
    """Low-rank updates of linear layers (arXiv 2106.09685), saved in PEFT's format."""

    rank: int
    alpha: float
    targets: tuple[str, ...] = ()
    """Last parts of the layers' names; empty: all linear layers except the head."""
    dropout: float = 0.0

    @property
    def name(self) -> str:
        return "lora"

    def size(self, model: nn.Module) -> int:
        return weights_a_slot(linear_layers(model, self.targets or None).values(), self.rank)

    def bank(self, model: nn.Module, slots: int) -> AdapterBank:
        return AdapterBank(
            model, slots, rank=self.rank, alpha=self.alpha, targets=self.targets or None, dropout=self.dropout
        )

    def save(self, bank: Bank, slot: int, folder: Path, *, base_name: str) -> None:
        assert isinstance(bank, AdapterBank)
        save_adapter(bank, slot, folder, base_name=base_name)

    def load(self, bank: Bank, slot: int, folder: Path) -> None:
        assert isinstance(bank, AdapterBank)
        load_adapter(bank, slot, folder)
