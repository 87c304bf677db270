"""python -m benchmarks.arithmetic: the expected ratios of the comparisons, from FLOP and bytes alone.

With P weights in the body and H in the head: reading a token costs 2P, predicting at a position 2H, the gradient of an
adapter's training 2P and 2H more, a second forward pass for checkpointing another 2P. TRL computes the head on a CPU at
every position, and a second time in its backward pass: 6H. Attention's own products and low-rank terms are left out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import tyro
from rich.console import Console

from benchmarks import work
from benchmarks.context import Context
from benchmarks.jobs import choice, train
from benchmarks.parts.choice import QUESTIONS
from benchmarks.parts.decode import COMPLETIONS
from benchmarks.parts.train import BATCH, PAIRS
from benchmarks.report import Part, gib, table
from sys2ft.engine.flops import weights
from sys2ft.errors import Sys2ftError
from sys2ft.models import DEFAULT_MODEL, LoadedModel
from sys2ft.runs import item_seed


@dataclass(frozen=True, slots=True)
class Command:
    """FLOP and bytes of each part's work on each side, for one model."""

    model: str = DEFAULT_MODEL
    """Model folder, GGUF file, embedded name or hub id."""
    adapters: int = 8
    """Adapters in training and multiple choice."""
    rank: int = 16
    """LoRA rank."""


def main() -> int:
    command = tyro.cli(Command, prog="python -m benchmarks.arithmetic")
    console = Console() if sys.stdout.isatty() else Console(width=110)
    try:
        model = Context(command.model, device="cpu").load()
    except Sys2ftError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    body, head = weights(model.model)
    console.print(f"{command.model}: P = {body:,}, H = {head:,}\n", highlight=False)
    for part in (
        training(model, command.adapters, body, head),
        decoding(body, head),
        choosing(model, command.adapters, body, head),
        memory(model, command.rank),
    ):
        console.print(table(part))
    return 0


def distinct(sequences: Iterable[Sequence[int]]) -> int:
    """Nodes of the sequences' prefix tree, without their last tokens, which are predicted and never read."""
    return len({tuple(ids[: end + 1]) for ids in sequences for end in range(len(ids) - 1)})


def padded(lengths: Sequence[int]) -> int:
    """Tokens of batches of 8, each as wide as its longest."""
    rows = [lengths[start : start + BATCH] for start in range(0, len(lengths), BATCH)]
    return sum(len(row) * max(row) for row in rows)


def training(model: LoadedModel, adapters: int, body: int, head: int) -> Part:
    """An epoch over each adapter's pairs, in batches of 8: random for TRL's default, sorted for its length groups."""
    shown = supervised = nodes = mixed = grouped = 0
    for index, own in enumerate(train.rendered(model, adapters, PAIRS)):
        ids = [own[i]["input_ids"] for i in np.random.default_rng(item_seed("order", index)).permutation(len(own))]
        shown += sum(len(one) for one in ids)
        supervised += sum(label >= 0 for one in own for label in one["labels"])
        nodes += sum(distinct(ids[start : start + BATCH]) for start in range(0, len(ids), BATCH))
        mixed += padded([len(one) for one in ids])
        grouped += padded(sorted(len(one) for one in ids))
    ours = 4 * (body * nodes + head * supervised)
    part = _flop(f"train: {shown:,} tokens an epoch, {supervised:,} of them supervised", ours, nodes, supervised)
    _row(part, "trl-defaults", 6 * (body + head) * mixed, ours, mixed, mixed)
    _row(part, "trl-tuned", 4 * body * grouped + 6 * head * grouped, ours, grouped, grouped)
    return part


def decoding(body: int, head: int) -> Part:
    """All completions: 40 predictions each; the last generated token is never read."""
    prefix, own, new = work.PREFIX_TOKENS, work.OWN_TOKENS, work.NEW_TOKENS
    made = COMPLETIONS * new
    read = prefix + COMPLETIONS * (own + new - 1)
    ours = 2 * (body * read + head * made)
    part = _flop(f"decode: {COMPLETIONS:,} completions of {new}", ours, read, made)
    alone = COMPLETIONS * (prefix + own + new - 1)
    _row(part, "generate", 2 * (body * alone + head * made), ours, alone, made)
    _row(part, "generate-prefilled", ours, ours, read, made)
    return part


def choosing(model: LoadedModel, adapters: int, body: int, head: int) -> Part:
    """Every question's choices: ours reads an adapter's trees, the peer each option with its prompt."""
    asked = choice.examples(model, QUESTIONS, adapters)
    nodes = sum(distinct(one.ids for one in asked if one.slot == slot) for slot in range(adapters))
    supervised = sum(sum(one.loss_mask) for one in asked)
    whole = sum(len(one.ids) for one in asked)
    ours = 2 * (body * nodes + head * supervised)
    part = _flop(f"choice: {QUESTIONS} questions, {len(asked):,} options", ours, nodes, supervised)
    _row(part, "per-option", 2 * (body + head) * whole, ours, whole, whole)
    _row(part, "per-option-last", 2 * (body * whole + head * supervised), ours, whole, supervised)
    part.notes.append(
        "ours at best: every prefix that an adapter's questions share once; rows of 512 nodes share less."
    )
    return part


def memory(model: LoadedModel, rank: int) -> Part:
    """Bytes of the base and of an adapter in training."""
    from sys2ft.engine import AdapterBank

    base = sum(p.numel() * p.element_size() for p in model.model.parameters())
    bank = AdapterBank(model.model, 1, rank=rank, alpha=2.0 * rank)
    adapter = sum(p.numel() for p in bank.parameters())
    bank.close()
    part = Part(
        name="memory", title=f"memory: rank {rank}, {adapter:,} weights an adapter", columns=("", "GiB", "over base")
    )
    part.rows.append(("base weights", gib(base), "1.00"))
    for count in (1, 8, 16, 32):
        for each, what in ((12.0, ""), (4.0, ", moments off the device")):
            size = base + each * adapter * count
            part.rows.append((f"with {count} in training{what}", gib(size), f"{size / base:.2f}"))
    part.notes += [
        "In training: weight and two moments, 4 bytes each; gradients exist for the adapters of one pass only.",
        "Without process and activations.",
    ]
    return part


def _flop(title: str, ours: float, tokens: int, predictions: int) -> Part:
    part = Part(name="", title=title, columns=("", "tokens read", "head positions", "TFLOP", "over ours"))
    _row(part, "ours", ours, ours, tokens, predictions)
    return part


def _row(part: Part, name: str, flop: float, ours: float, tokens: int, predictions: int) -> None:
    part.rows.append((name, f"{tokens:,}", f"{predictions:,}", f"{flop / 1e12:,.2f}", f"{flop / ours:.2f}"))


if __name__ == "__main__":
    sys.exit(main())
