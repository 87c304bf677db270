"""Rows that join and leave while others run: each says what it would say alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sys2ft.engine import (
    BASE,
    AdapterBank,
    Decoder,
    DecodeRequest,
    Group,
    Row,
    Said,
    Sampling,
    Uniforms,
    decode,
    decoding,
    group_of,
    open_adapter,
    open_adapters,
    save_adapter,
)
from sys2ft.errors import ModelError
from test_engine import models_of, some_ids

NONE: frozenset[int] = frozenset()


def random_bank(model: Any, slots: int, *, rank: int = 4, alpha: float = 8, targets: Any = None) -> AdapterBank:
    bank = AdapterBank(model, slots, rank=rank, alpha=alpha, targets=targets)
    for slot in range(slots):
        bank.initialise(slot, seed=slot + rank)
    for parameter in bank.parameters():
        parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(rank))
    return bank


@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
def test_rows_that_join_later_say_what_they_say_alone(family: str, tiny_family_dir: Callable[[str], Path]) -> None:
    model, _ = models_of(tiny_family_dir(family))
    bank, rng = random_bank(model, 2), random.Random(1)
    hows = [Sampling(temperature=0), Sampling(), Sampling(temperature=0.7, top_p=0.8), Sampling(top_k=5)]
    asked = [DecodeRequest(some_ids(rng, 3 + n), n, slot=(n % 3) - 1) for n in range(12)]
    alone = [
        decode(model, [one], hows[n % 4], max_new_tokens=5 + n, stop_ids=NONE, bank=bank).decoded[0].ids
        for n, one in enumerate(asked)
    ]
    rows = [
        Row(one.prompt_ids, Group(one.slot, 0), hows[n % 4], Uniforms(one.seed), 5 + n) for n, one in enumerate(asked)
    ]
    decoder = Decoder(model, bank, rows_at_once=8, stop_ids=NONE)
    given: dict[Row, list[int | None]] = {row: [] for row in rows}
    waiting = list(rows)
    with decoding(model):
        while waiting or decoder.busy:
            decoder.add([waiting.pop(0)] if waiting else [])
            for said in decoder.step():
                given[said.row].append(said.token)
    assert [row.ids for row in rows] == alone
    assert list(given.values()) == alone, "every token is given out once, in order"
    assert all(row.ended and not row.finished for row in rows)


def test_a_cancelled_row_leaves_the_others_alone(tiny_model_dir: Path) -> None:
    model, _ = models_of(tiny_model_dir)
    rng, greedy = random.Random(2), Sampling(temperature=0)
    prompts = [some_ids(rng, 6) for _ in range(5)]
    alone = [decode(model, [DecodeRequest(p, 0)], greedy, max_new_tokens=9, stop_ids=NONE).decoded[0] for p in prompts]
    rows = [Row(p, Group(BASE, 0), greedy, Uniforms(0), 9) for p in prompts]
    decoder = Decoder(model, None, rows_at_once=4, stop_ids=NONE)
    decoder.add(rows)
    with decoding(model):
        decoder.step()
        decoder.cancel(rows[1])
        decoder.cancel(rows[4])  # which waits
        said: list[Said] = []
        while decoder.busy:
            said += decoder.step()
    assert not any(one.row in (rows[1], rows[4]) for one in said)
    assert [rows[n].ids for n in (0, 2, 3)] == [alone[n].ids for n in (0, 2, 3)]
    assert decoder.state is None, "the memory of the last rows is given back"


def test_rows_wait_until_their_keys_and_values_fit(tiny_model_dir: Path) -> None:
    model, _ = models_of(tiny_model_dir)
    rows = [Row(some_ids(random.Random(n), 10), Group(BASE, 0), Sampling(), Uniforms(n), 10) for n in range(7)]
    decoder = Decoder(model, None, rows_at_once=64, stop_ids=NONE, state_bytes=3 * 20, token_bytes=1)
    decoder.add(rows)
    most = 0
    with decoding(model):
        while decoder.busy:
            most = max(most, len({said.row for said in decoder.step()}))
    assert most == 3
    assert all(len(row.ids) == 10 for row in rows)


def test_logprobs_are_those_of_the_model_whatever_is_sampled(tiny_model_dir: Path) -> None:
    model, theirs = models_of(tiny_model_dir)
    prompt = some_ids(random.Random(3), 8)
    rows = [
        Row(prompt, group_of(BASE, [prompt] * 2), Sampling(temperature=3.0, top_k=9), Uniforms(n), 6, None, 4 * n)
        for n in range(2)
    ]
    decoder = Decoder(model, None, rows_at_once=8, stop_ids=NONE)
    decoder.add(rows)
    said = []
    with decoding(model):
        while decoder.busy:
            said += decoder.step()
    for n, row in enumerate(rows):
        with torch.inference_mode():
            logits = theirs(torch.tensor([[*prompt, *row.ids]])).logits[0, len(prompt) - 1 : -1]
        reference = logits.log_softmax(-1)
        own = [one.logprobs for one in said if one.row is row]
        for place, (token, found) in enumerate(zip(row.ids, own, strict=True)):
            assert found is not None
            assert found.chosen == pytest.approx(float(reference[place, token]), abs=1e-4)
            values, ids = reference[place].topk(4)
            assert [id for id, _ in found.top] == ids.tolist()[: 4 * n]
            assert [value for _, value in found.top] == pytest.approx(values.tolist()[: 4 * n], abs=1e-4)


def test_adapters_of_other_ranks_scalings_and_layers_share_a_bank(tiny_model_dir: Path, tmp_path: Path) -> None:
    model, _ = models_of(tiny_model_dir)
    shapes: list[dict[str, Any]] = [
        {"rank": 2, "alpha": 8},
        {"rank": 6, "alpha": 3},
        {"rank": 4, "alpha": 4, "targets": ["q_proj", "down_proj"]},
    ]
    folders = [tmp_path / str(n) for n in range(3)]
    for folder, shape in zip(folders, shapes, strict=True):
        bank = random_bank(model, 1, **shape)
        save_adapter(bank, 0, folder, base_name="base")
        bank.close()
    tokens = torch.tensor([some_ids(random.Random(4), 12)])

    def logits(bank: AdapterBank, slot: int) -> torch.Tensor:
        with torch.inference_mode(), bank.rows([slot]):
            return model(tokens).logits

    apart = []
    for folder in folders:
        bank = open_adapter(model, folder)
        apart.append(logits(bank, 0))
        bank.close()
    together = open_adapters(model, folders)
    for slot, expected in enumerate(apart):
        torch.testing.assert_close(logits(together, slot), expected, rtol=1e-4, atol=1e-5)
    assert (apart[0] - apart[1]).abs().max() > 0.01, "the adapters should differ"
    together.close()


def test_an_adapter_of_another_base_is_refused(
    tiny_model_dir: Path, tmp_path: Path, tiny_family_dir: Callable[[str], Path]
) -> None:
    from conftest import build_model

    model, _ = models_of(tiny_model_dir)
    bank = random_bank(build_model("llama", 100, hidden_size=16), 1)
    save_adapter(bank, 0, tmp_path / "other", base_name="other")
    with pytest.raises(ModelError, match="another model"):
        open_adapters(model, [tmp_path / "other"])
    (tmp_path / "other" / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        open_adapters(model, [tmp_path / "other"])
