"""Speed and peak memory of training, decoding and option scoring, beside a peer and beside the machine's limits."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks import work
from benchmarks.clock import timed
from benchmarks.gpu.budget import Figures, Incomplete, described
from benchmarks.gpu.peers import peer
from benchmarks.gpu.subjects import build, given
from benchmarks.jobs import choice, decode, memory, train as training
from benchmarks.jobs.gemm import Matmul
from sys2ft.engine.decoding.decode import key_value_bytes
from sys2ft.engine.flops import forward, weights
from sys2ft.models import LoadedModel

RANK = 16
_ROWS_AT_ONCE = 512  # of `decode`


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much work each part does."""

    pairs: int = 64
    completions: int = 1024
    peer_completions: int = 128
    questions: int = 200
    seconds: float = 1.0
    """Of a matrix product, and of a copy."""
    copied: int = 2**32
    """Bytes of the copy."""
    product: int = 0
    """Size of the square product; 0: the best of the device's."""


TINY = Sizes(pairs=8, completions=6, peer_completions=2, questions=5, seconds=0.05, copied=2**22, product=256)


@dataclass(slots=True)
class Machine:
    """The device, the model that is in its memory, and the limits that were measured."""

    device: torch.device
    dtype: torch.dtype
    sizes: Sizes
    flop_rate: float = 0.0
    byte_rate: float = 0.0
    _held: dict[str, LoadedModel] = field(default_factory=dict)

    def subject(self, size: str) -> LoadedModel:
        """The model of that size; another one is released."""
        if size not in self._held:
            self._held.clear()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            self._held[size] = build(size, self.device, self.dtype)
        return self._held[size]

    def limits(self) -> Figures:
        """The rates of a square matrix product and of a copy, which the shares below are of."""
        sizes = self.sizes
        if sizes.product:
            product = Matmul(self.device, self.dtype, sizes.product)
            product.run(sizes.seconds)
        else:
            product = Matmul.best(self.device, self.dtype, sizes.seconds)
            product.run(sizes.seconds)
        source = torch.ones(sizes.copied, dtype=torch.uint8, device=self.device)
        target = torch.empty_like(source)
        timed(self.device, lambda: target.copy_(source))
        copies = min(timed(self.device, lambda: target.copy_(source))[1] for _ in range(10))
        self.flop_rate, self.byte_rate = product.rate, 2 * sizes.copied / copies
        return {
            "TFLOP/s": self.flop_rate / 1e12,
            "size": product.size,
            "dtype": str(self.dtype).removeprefix("torch."),
            "copy, GB/s": self.byte_rate / 1e9,
        }

    def train(self, size: str, adapters: int) -> Figures:
        """`adapters` adapters at once, and one adapter by the peer."""
        subject, pairs = self.subject(size), self.sizes.pairs
        ours = training.ours(given(subject), adapters=adapters, pairs=pairs, rank=RANK)
        if ours["diverged"]:
            raise ArithmeticError(f"adapters that diverged: {', '.join(ours['diverged'])}")
        figures = {
            "seconds": ours["seconds"],
            "seconds an adapter": ours["seconds"] / adapters,
            "tokens computed a second": ours["tokens_computed"] / ours["seconds"],
            "TFLOP/s": ours["flop"] / ours["seconds"] / 1e12,
            "peak GiB": ours["peak_bytes"] / 2**30,
            **self._share("of the GEMM rate", ours["flop"] / ours["seconds"], self.flop_rate),
        }
        with _keeping(figures):
            other = peer(subject, pairs=pairs, rank=RANK, rates=ours["rates"])
        return figures | {
            "peer": other["name"],
            **({"why this peer": other["why"]} if "why" in other else {}),
            "peer, seconds an adapter": other["seconds"],
            "peer, peak GiB": other["peak_bytes"] / 2**30,
            "faster by": other["seconds"] / figures["seconds an adapter"],
        }

    def decode(self, size: str) -> Figures:
        """Completions after one shared prefix, and fewer by `generate` from a copied cache of that prefix."""
        subject, count, fewer = self.subject(size), self.sizes.completions, self.sizes.peer_completions
        ours = decode.ours(given(subject), count=count)
        body, head = weights(subject.model)
        flop = forward(subject.model, ours["tokens_computed"], ours["tokens"])
        steps = -(-count // _ROWS_AT_ONCE) * (work.NEW_TOKENS - 1)
        # The weights at each step, and each row's own keys and values: at step t those of its prompt's rest and t more.
        own = work.OWN_TOKENS * work.NEW_TOKENS + work.NEW_TOKENS**2 // 2
        moved = steps * (body + head) * self.dtype.itemsize + count * own * key_value_bytes(subject.model)
        figures = {
            "seconds": ours["seconds"],
            "tokens a second": ours["tokens"] / ours["seconds"],
            "peak GiB": ours["peak_bytes"] / 2**30,
            **self._share("of the GEMM rate", flop / ours["seconds"], self.flop_rate),
            **self._share("of the copy's rate", moved / ours["seconds"], self.byte_rate),
        }
        with _keeping(figures):
            other = decode.generate(given(subject, plain=True), count=fewer, size=fewer, prefilled=True)
        return figures | {
            "peer": f"generate, prefilled, {fewer} rows",
            "peer, tokens a second": other["tokens"] / other["seconds"],
            "peer, peak GiB": other["peak_bytes"] / 2**30,
            "faster by": figures["tokens a second"] / (other["tokens"] / other["seconds"]),
        }

    def choice(self, size: str, adapters: int = 2) -> Figures:
        """Options of questions with the news in context, and one forward pass per option by peft."""
        subject, count = self.subject(size), self.sizes.questions
        with tempfile.TemporaryDirectory() as folder:
            common: dict[str, Any] = {"count": count, "adapters": adapters, "folder": folder}
            choice.adapters(given(subject), count=adapters, rank=RANK, folder=folder)
            ours = choice.ours(given(subject), rank=RANK, **common)
            flop = forward(subject.model, ours["tokens_computed"], ours["continuation_tokens"])
            rate = len(ours["likelihoods"]) / ours["seconds"]
            figures = {
                "seconds": ours["seconds"],
                "options a second": rate,
                "peak GiB": ours["peak_bytes"] / 2**30,
                **self._share("of the GEMM rate", flop / ours["seconds"], self.flop_rate),
            }
            with _keeping(figures):
                other = choice.per_option(given(subject, plain=True), size=32, only=1, **common)
        pairs = [(a, b) for a, b in zip(ours["likelihoods"], other["likelihoods"], strict=True) if b is not None]
        theirs = other["options"] / other["seconds"]
        return figures | {
            "peer": "peft, one pass per option",
            "peer, options a second": theirs,
            "peer, peak GiB": other["peak_bytes"] / 2**30,
            "faster by": rate / theirs,
            "largest difference, share of a log-likelihood": max(abs(a - b) / abs(b) for a, b in pairs),
        }

    def offload(self, size: str, adapters: int) -> Figures:
        """Three steps with AdamW's moments on the device, and in the host's memory."""
        figures: Figures = {}
        for name, offload in (("on the device", False), ("off the device", True)):
            one = memory.trained(
                given(self.subject(size)), adapters=adapters, batch=8, rank=RANK, tokens_at_once=4096, offload=offload
            )
            figures[f"seconds, {name}"] = one["seconds"]
            figures[f"peak GiB, {name}"] = one["peak_bytes"] / 2**30
        return figures | {"adapters at once": one["at_once"]}

    @staticmethod
    def _share(name: str, rate: float, limit: float) -> Figures:
        return {name: rate / limit} if limit else {}


@contextmanager
def _keeping(figures: Figures) -> Iterator[None]:
    """A peer's turn: if it fails, `figures` are still reported."""
    try:
        yield
    except Exception as error:  # any error of a library
        traceback.print_exc()
        raise Incomplete(f"the peer failed: {described(error)}", figures) from None
