"""Decoding as a queue: rows that end are replaced, prefixes are read once, texts stay what they were."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sys2ft.engine import DecodeRequest, Sampling, StopStrings, decode
from sys2ft.engine.decoding import prefill
from test_engine import GREEDY, NEW, NONE, fifty_prompts, generate_greedily, models_of, some_ids

FAMILIES = ("llama", "qwen2", "gemma3_text")


class Counting:
    """Rows and tokens of every forward pass of a model."""

    def __init__(self, model: Any) -> None:
        self.shapes: list[tuple[int, int]] = []
        self._hook = model.get_input_embeddings().register_forward_hook(
            lambda _, args, __: self.shapes.append(tuple(args[0].shape))
        )

    def __enter__(self) -> Counting:
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_prefixes_read_by_themselves_change_nothing(
    family: str, tiny_family_dir: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a small budget for prompts, groups continue from stored keys and values (beyond gemma's window too)."""
    ours, theirs = models_of(tiny_family_dir(family))
    requests = fifty_prompts()
    reference = generate_greedily(theirs, [r.prompt_ids for r in requests])
    monkeypatch.setattr(prefill, "_NODES", 12)
    for rows_at_once in (50, 6):
        got = decode(ours, requests, GREEDY, max_new_tokens=NEW, stop_ids=NONE, rows_at_once=rows_at_once)
        for (ids, lead), decoded in zip(reference, got.decoded, strict=True):
            if decoded.ids != ids:
                place = next(i for i in range(NEW) if decoded.ids[i] != ids[i])
                assert lead[place] < 1e-4, f"differs from generate at token {place}"


def test_a_prefix_is_read_once_however_long_the_queue(tiny_model_dir: Path) -> None:
    model, _ = models_of(tiny_model_dir)
    rng = random.Random(7)
    prefixes = {name: some_ids(rng, 40) for name in ("first", "second")}
    requests = [DecodeRequest([*prefixes[name], *some_ids(rng, 5)], n, name) for name in prefixes for n in range(30)]
    got = decode(model, requests, Sampling(), max_new_tokens=6, stop_ids=frozenset(range(3, 80)), rows_at_once=8)
    # A row reads every token it says but the last that its limit cuts it at.
    read = sum(len(d.ids) - (not d.finished) for d in got.decoded)
    branches = got.tokens_computed - 2 * 40 - read
    assert 60 * 4 < branches <= 60 * 5, "own prompts once each, and first tokens that coincide within a tree shared"


def test_rows_that_end_are_replaced(tiny_model_dir: Path) -> None:
    model, _ = models_of(tiny_model_dir)
    rng = random.Random(8)
    requests = [DecodeRequest(some_ids(rng, 6), n) for n in range(64)]
    stops = frozenset(range(3, 40))
    with Counting(model) as seen:
        got = decode(model, requests, Sampling(), max_new_tokens=40, stop_ids=stops, rows_at_once=16)
    lengths = [len(d.ids) for d in got.decoded]
    assert max(lengths) > 3 * sorted(lengths)[32], "rows should end at very different times"
    steps = [rows for rows, tokens in seen.shapes if tokens == 1]
    filled = [rows for rows in steps if rows >= 12]
    in_turn = sum(max(lengths[n : n + 16]) for n in range(0, 64, 16))
    assert len(steps) < 0.8 * in_turn, "no fewer steps than one batch after the other"
    assert sum(filled) > 0.6 * sum(steps)


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_results_come_in_the_order_of_the_requests(rows: int, tiny_model_dir: Path) -> None:
    model, _ = models_of(tiny_model_dir)
    rng = random.Random(9)
    requests = [DecodeRequest(some_ids(rng, 1 + n % 4), n, str(n % 3), slot=-1) for n in range(12)]
    alone = [decode(model, [r], Sampling(), max_new_tokens=9, stop_ids=frozenset(range(3, 60))) for r in requests]
    done: list[int] = []
    together = decode(
        model, requests, Sampling(), max_new_tokens=9, stop_ids=frozenset(range(3, 60)), rows_at_once=rows,
        on_done=done.append,
    )  # fmt: skip
    assert [one.decoded[0] for one in alone] == together.decoded
    assert sum(done) == len(requests)
    assert together.tokens_generated == sum(one.tokens_generated for one in alone)


@pytest.mark.parametrize(("new", "rows"), [(0, 8), (4, 0)])
def test_the_limits_are_checked(new: int, rows: int, tiny_model_dir: Path) -> None:
    model, _ = models_of(tiny_model_dir)
    with pytest.raises(ValueError, match="at least 1"):
        decode(model, [DecodeRequest([5], 0)], GREEDY, max_new_tokens=new, stop_ids=NONE, rows_at_once=rows)


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir: Path) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(tiny_model_dir)


@pytest.mark.parametrize(
    ("text", "strings", "after_text", "ends_after"),
    [
        ("The news\nsays more", ["\n"], False, "The news\n"),
        ("\n\n The news\nsays", ["\n"], True, "\n\n The news\n"),
        ("\nThe news", ["\n"], False, "\n"),
        ("a Question: what", ["Question:"], False, "a Question:"),
        ("Question Answer: no", ["Question:", "zebra"], False, None),
        ("grün ist ¿ gut", ["ü", "¿"], False, "grü"),
        ("end.END", ["nope", "END"], False, "end.END"),
    ],
)
def test_stop_strings(text: str, strings: list[str], after_text: bool, ends_after: str | None, tokenizer: Any) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    stops = StopStrings(tokenizer, strings, after_text=after_text)
    first = next((n for n in range(1, len(ids) + 1) if stops(ids[:n])), None)
    if ends_after is None:
        assert first is None
    else:
        assert first is not None
        said = tokenizer.decode(ids[:first])
        assert said.startswith(ends_after)
        assert not tokenizer.decode(ids[: first - 1]).startswith(ends_after), "a token too late"


@pytest.mark.parametrize("strings", [[], [""], ["a", ""]])
def test_stop_strings_are_checked(strings: list[str], tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="stop strings"):
        StopStrings(tokenizer, strings)


def test_rows_are_fewer_where_their_keys_and_values_would_take_too_much(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = models_of(tiny_model_dir)
    config = model.config
    rng = random.Random(3)
    prefix = some_ids(rng, 30)
    requests = [DecodeRequest([*prefix, *some_ids(rng, 5)], n, "one") for n in range(9)]
    a_token = 2 * 4 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    module = sys.modules[decode.__module__]
    most, expected = [], None
    for rows in (9, 4, 1):
        monkeypatch.setattr(module, "_STATE_BYTES", math.ceil(rows * a_token * (5 + 30 / 9 + 7)))
        with Counting(model) as passes:
            got = decode(model, requests, Sampling(), max_new_tokens=7, stop_ids=NONE)
        most.append(max(batch for batch, tokens in passes.shapes if tokens == 1))
        expected = expected or got.decoded
        assert got.decoded == expected
    assert most == [9, 4, 1]


def test_rows_that_share_nothing_take_their_whole_prompts(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = models_of(tiny_model_dir)
    config, rng = model.config, random.Random(3)
    a_token = 2 * 4 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    monkeypatch.setattr(sys.modules[decode.__module__], "_STATE_BYTES", 3 * a_token * (35 + 7))
    prompts = [some_ids(rng, 35) for _ in range(9)]
    for groups in ([*range(9)], [*range(4), *range(4), 8]):
        requests = [DecodeRequest(ids, n, group) for n, (ids, group) in enumerate(zip(prompts, groups, strict=True))]
        with Counting(model) as passes:
            decode(model, requests, Sampling(), max_new_tokens=7, stop_ids=NONE)
        assert max(batch for batch, tokens in passes.shapes if tokens == 1) == 3
