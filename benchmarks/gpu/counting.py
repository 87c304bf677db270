"""python -m benchmarks.gpu --count: kernels, waits and bytes of each loop, and what they let one expect of a GPU.

The loops run on the pretended device, over models whose heads have 8 numbers, with two layers and with three: the
difference is what a layer costs. Numbers of kernels do not depend on the width; bytes are proportional to it and, in
training, to the tokens. The expectation is the larger of the host's time and the GPU's: `LAUNCH`
for each kernel, and the model's products at `GEMM` plus all other bytes at `COPY`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.gpu.second_device import second_device
from benchmarks.gpu.subjects import SHAPES, build
from benchmarks.gpu.traffic import Traffic
from benchmarks.jobs import choice, decode, train as training
from sys2ft.engine import (
    AdapterBank,
    Decoder,
    Example,
    Row,
    Sampling,
    SlotAdamW,
    Uniforms,
    backward,
    decoding,
    group_of,
    prepare,
    score,
)
from sys2ft.engine.cpu.plan import Plan, plan_of, set_plan
from sys2ft.models import LoadedModel

GEMM, COPY, LAUNCH = 700e12, 4e12, 5e-6
"""Assumed: FLOP and bytes a second of an H200, and seconds for the host to launch a kernel from Python."""
_HEAD = 8
_PRODUCTS = frozenset(("mm", "addmm", "linear", "matmul"))
_RANK = 16


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one loop's turn: kernels, waits, and bytes of everything but the model's own products."""

    kernels: float
    waits: float
    bytes: float
    tokens: int

    def __sub__(self, other: Cost) -> Cost:
        return Cost(
            self.kernels - other.kernels, self.waits - other.waits, self.bytes - other.bytes, self.tokens - other.tokens
        )


def narrow(size: str, layers: int) -> dict[str, Any]:
    """The shape of `size` with narrow heads, and so many layers."""
    shape = SHAPES[size]
    widths = ("hidden_size", "intermediate_size", "vocab_size")
    return shape | {name: shape[name] // narrower(size) for name in widths} | {"num_hidden_layers": layers}


def narrower(size: str) -> int:
    """How many times as wide the real shape is."""
    shape = SHAPES[size]
    return int(shape["hidden_size"] // shape["num_attention_heads"] // _HEAD)


def count(size: str, adapters: int, *, plain: bool = False, each: int = 8) -> dict[str, Cost]:
    """The cost of a training step, a scoring pass and a decode step with all layers of `size`.

    `plain`: without what is used on a GPU only.
    """
    few, more = (_of_layers(size, layers, adapters, plain, each) for layers in (2, 3))
    layers = SHAPES[size]["num_hidden_layers"]
    found = {}
    for name, low in few.items():
        layer = more[name] - low
        found[name] = Cost(
            low.kernels + (layers - 2) * layer.kernels,
            low.waits + (layers - 2) * layer.waits,
            narrower(size) * (low.bytes + (layers - 2) * layer.bytes),
            low.tokens,
        )
    return found


def _of_layers(size: str, layers: int, adapters: int, plain: bool, each: int) -> dict[str, Cost]:
    with second_device() as traffic:
        subject = build(size, torch.device("cpu"), torch.bfloat16, **narrow(size, layers))
        model = subject.model.to("cuda")
        prepare(model)
        if plain:
            set_plan(model, Plan())
        else:
            assert plan_of(model).ragged_attention and plan_of(model).grouped_products
        bank = AdapterBank(model, adapters, rank=_RANK, alpha=2.0 * _RANK)
        for slot in range(adapters):
            bank.initialise(slot, slot)
        measured = partial(_measured, traffic)
        found = {
            "train": measured(*_training(subject, bank, adapters, each)),
            "score": measured(*_scoring(subject, bank, adapters)),
            "decode": measured(*_decoding(subject, bank)),
        }
        bank.close()
        return found


def _measured(traffic: Traffic, turn: Callable[[], object], tokens: int) -> Cost:
    turn()
    traffic.reset()
    turn()
    others = sum(size for name, size in traffic.moved.items() if name not in _PRODUCTS)
    return Cost(traffic.launched, traffic.waited, others, tokens)


def _training(subject: LoadedModel, bank: AdapterBank, adapters: int, each: int) -> tuple[Callable[[], object], int]:
    examples = [
        Example(one["input_ids"], [label != -100 for label in one["labels"]], slot)
        for slot, own in enumerate(training.rendered(subject, adapters, each))
        for one in own
    ]
    optimiser = SlotAdamW(bank.weights_KP)

    def step() -> int:
        tokens = 0
        for part in backward(subject.model, bank, examples, tokens_at_once=2**20):
            optimiser.step(part, dict.fromkeys(part.slots, 1e-4), 1.0)
            tokens += part.cost.tokens_computed
        return tokens

    return step, step()


def _scoring(subject: LoadedModel, bank: AdapterBank, adapters: int) -> tuple[Callable[[], object], int]:
    asked = choice.examples(subject, 5, min(adapters, 2))
    turn = partial(score, subject.model, asked, bank, tokens_at_once=2**20)
    return turn, turn().tokens_computed


def _decoding(subject: LoadedModel, bank: AdapterBank, rows: int = 32) -> tuple[Callable[[], object], int]:
    """A step of rows of one adapter with one prefix."""
    prompts = decode.prompts(subject, rows)
    group = group_of(0, prompts)
    decoder = Decoder(subject.model, bank, rows_at_once=rows, stop_ids=frozenset())
    decoder.add([Row(ids, group, Sampling(temperature=0.8), Uniforms(n), 100) for n, ids in enumerate(prompts)])

    def step() -> None:
        with decoding(subject.model):
            decoder.step()

    step()  # reads the prompts
    return step, rows


def sizes(size: str) -> tuple[int, int]:
    """Weights of the body and of the head of the real shape."""
    shape = SHAPES[size]
    wide, deep, layers = shape["hidden_size"], shape["intermediate_size"], shape["num_hidden_layers"]
    few = wide * shape["num_key_value_heads"] // shape["num_attention_heads"]
    body = layers * (2 * wide * wide + 2 * wide * few + 3 * wide * deep)
    return body, wide * shape["vocab_size"]


def train_expected(size: str, cost: Cost, tokens: int, asked: float = 0.35) -> dict[str, float]:
    """A pass of `tokens` nodes, a share `asked` of which predicts. Seconds by part, and the share of the GEMM rate."""
    body, head = sizes(size)
    gemm = 4 * (body + asked * head) * tokens / GEMM
    other = cost.bytes / cost.tokens * tokens / COPY
    host = LAUNCH * cost.kernels
    return {"products": gemm, "other": other, "host": host, "share": gemm / max(gemm + other, host)}


def decode_expected(size: str, cost: Cost, rows: int) -> dict[str, float]:
    """A step of `rows` rows, with their own keys and values among the other bytes, and the tokens a second."""
    body, head = sizes(size)
    read = 2 * (body + head) / COPY
    products = max(2 * (body + head) * rows / GEMM, read) + cost.bytes / cost.tokens * rows / COPY
    host = LAUNCH * cost.kernels
    return {"products": products, "host": host, "tokens a second": rows / max(products, host)}


def report() -> str:
    """The counts and the expectations as text."""
    lines = [f"assumed: {GEMM / 1e12:.0f} TFLOP/s, {COPY / 1e12:.0f} TB/s, {1e6 * LAUNCH:.0f} us a kernel"]
    lines.append(f"{'':24}{'kernels':>9}{'plainly':>9}{'waits':>7}{'other bytes a token':>21}")
    made = {}
    for size, adapters in (("0.5B", 2), ("7B", 2)):
        cost, plain = count(size, adapters), count(size, adapters, plain=True)
        made[size] = cost
        for name, one in cost.items():
            lines.append(
                f"{size + ' ' + name:24}{one.kernels:9,.0f}{plain[name].kernels:9,.0f}{one.waits:7.0f}"
                f"{one.bytes / one.tokens / 2**20:17.1f} MiB"
            )
    lines.append("")
    for size, tokens in (("0.5B", 2048), ("0.5B", 16384), ("7B", 4096)):
        of = train_expected(size, made[size]["train"], tokens)
        lines.append(
            f"train {size}, passes of {tokens:,}: products {1e3 * of['products']:.0f} ms, other bytes "
            f"{1e3 * of['other']:.0f} ms, host {1e3 * of['host']:.0f} ms: {of['share']:.2f} of the GEMM rate"
        )
    for size, rows in (("0.5B", 512), ("7B", 64), ("7B", 512)):
        of = decode_expected(size, made[size]["decode"], rows)
        lines.append(
            f"decode {size}, {rows} rows: GPU {1e3 * of['products']:.1f} ms a step, host {1e3 * of['host']:.1f} ms: "
            f"{of['tokens a second']:,.0f} tokens/s"
        )
    return "\n".join(lines)
