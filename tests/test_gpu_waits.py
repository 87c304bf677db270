"""How often the host waits for a GPU: a small constant in every hot loop, whatever the number of rows or adapters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from benchmarks.gpu.second_device import second_device
from benchmarks.gpu.traffic import Traffic
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
from sys2ft.engine.adapters import dropout, moments
from sys2ft.models import LoadedModel, load_model

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="waits are counted on the pretended device")


@pytest.fixture
def there(tiny_model_dir: Any) -> Iterator[tuple[LoadedModel, Traffic]]:
    with second_device() as traffic:
        model = load_model(str(tiny_model_dir), dtype="float32", device="cuda")
        prepare(model.model)
        yield model, traffic
    dropout._feature_keys.cache_clear()


def examples(slots: int, each: int) -> list[Example]:
    """Of different lengths, so that slots need padding, each with a beginning in common."""
    made = []
    for slot in range(slots):
        for n in range(each + slot % 3):
            own = [3, 4, *(5 + (7 * slot + 3 * n + i) % 90 for i in range(4 + (n + slot) % 5))]
            made.append(Example(own, [False] * 3 + [True] * (len(own) - 3), slot))
    return made


def bank_of(model: Any, slots: int, **more: Any) -> AdapterBank:
    bank = AdapterBank(model, slots, rank=4, alpha=8.0, **more)
    for slot in range(slots):
        bank.initialise(slot, slot)
    return bank


@pytest.mark.parametrize("more", [{}, {"dropout": 0.1}], ids=["", "dropout"])
def test_a_training_step_waits_twice(there: tuple[LoadedModel, Traffic], more: dict[str, Any]) -> None:
    """For the losses of its slots, and for the norms of their gradients."""
    model, traffic = there
    for slots, each in ((2, 3), (7, 6)):
        bank = bank_of(model.model, slots, **more)
        optimiser = SlotAdamW(bank.weights_KP)
        for _ in range(2):  # the keys of dropout's features are made once
            traffic.reset()
            batch = examples(slots, each)
            seeds = dict.fromkeys(range(slots), 5)
            for part in backward(model.model, bank, batch, tokens_at_once=4096, dropout_seeds=seeds):
                optimiser.step(part, dict.fromkeys(part.slots, 1e-3), 1.0)
        assert traffic.waits == {"tolist": 2}, (slots, traffic.waits)
        assert traffic.sends < 10
        bank.close()


def test_passes_of_a_step_add_sends_only(there: tuple[LoadedModel, Traffic]) -> None:
    """A slot that needs several passes waits after the last."""
    model, traffic = there
    bank, one = bank_of(model.model, 1), examples(1, 12)
    traffic.reset()
    parts = list(backward(model.model, bank, one, tokens_at_once=16))
    assert len(parts) == 1
    assert traffic.waits == {"tolist": 1}


def test_moments_off_the_device_move_without_waiting(there: tuple[LoadedModel, Traffic]) -> None:
    model, traffic = there
    bank = bank_of(model.model, 3)
    optimiser = SlotAdamW(bank.weights_KP, moments=moments.off_device(bank.weights_KP, None))
    (part,) = backward(model.model, bank, examples(3, 4), tokens_at_once=4096)
    optimiser.step(part, dict.fromkeys(part.slots, 1e-3), 1.0)
    (part,) = backward(model.model, bank, examples(3, 4), tokens_at_once=4096)
    traffic.reset()
    optimiser.step(part, dict.fromkeys(part.slots, 1e-3), 1.0)
    assert traffic.waits == {"tolist": 1}
    assert traffic.sent_bytes == 3 * 2 * 4 * bank.size, "both moments of each slot"


def test_a_decode_step_waits_once_and_sends_its_uniform_numbers(there: tuple[LoadedModel, Traffic]) -> None:
    """For the tokens, which decide whether a text ends; with top-p also for the rows with a wide distribution."""
    model, traffic = there
    bank = bank_of(model.model, 3)
    for rows in (4, 30):
        for how, more in ((Sampling(temperature=0), 0), (Sampling(temperature=1), 0), (Sampling(top_p=0.9), 1)):
            prompts = [[3, 4, 5 + n % 40, 6 + n % 7] for n in range(rows)]
            groups = [group_of(slot, prompts) for slot in range(3)]
            decoder = Decoder(model.model, bank, rows_at_once=64, stop_ids=frozenset())
            decoder.add(
                [Row(ids, groups[n % 3], how, Uniforms(n), 100) for n, ids in sorted(enumerate(prompts), key=_slot)]
            )
            with decoding(model.model):
                traffic.reset()
                decoder.step()  # reads the prompts
                assert traffic.waited == 1 + more, traffic.waits
                decoder.step()  # sends the rows' adapters, once for all steps with these rows
                for _ in range(5):
                    traffic.reset()
                    decoder.step()
                    assert traffic.waits == Counter({"tolist": 1, "nonzero": more}), (rows, how)
                    assert traffic.sends == 1 and traffic.sent_bytes == 8 * rows


def _slot(numbered: tuple[int, list[int]]) -> int:
    return numbered[0] % 3


def test_log_probabilities_are_read_together(there: tuple[LoadedModel, Traffic]) -> None:
    model, traffic = there
    waits = []
    for rows in (2, 11):
        prompts = [[3, 4, 5 + n] for n in range(rows)]
        group = group_of(-1, prompts)
        decoder = Decoder(model.model, None, rows_at_once=64, stop_ids=frozenset())
        decoder.add([Row(ids, group, Sampling(), Uniforms(n), 9, top_logprobs=n % 3) for n, ids in enumerate(prompts)])
        with decoding(model.model):
            decoder.step()
            traffic.reset()
            said = decoder.step()
        assert [len(one.logprobs.top) for one in said if one.logprobs] == [n % 3 for n in range(rows)]
        waits.append(traffic.waited)
    assert waits[0] == waits[1] <= 4


def test_scoring_waits_once_a_pass(there: tuple[LoadedModel, Traffic]) -> None:
    model, traffic = there
    bank = bank_of(model.model, 5)
    for each in (2, 9):
        traffic.reset()
        score(model.model, examples(5, each), bank)
        assert traffic.waits == {"tolist": 1}
        traffic.reset()
        score(model.model, examples(5, each), bank, tokens_at_once=32)
        passes = traffic.waits["tolist"]
        assert traffic.waited == passes > 1


def test_a_batch_is_kept_until_its_rows_or_the_weights_change(tiny_model_dir: Any) -> None:
    model = load_model(str(tiny_model_dir), dtype="bfloat16", device="cpu").model
    prepare(model)
    bank = bank_of(model, 2)
    with torch.inference_mode():
        with bank.rows([0, 1, 0]):
            first = bank._batch
        with bank.rows([0, 1, 0]):
            assert bank._batch is first
        bank.b["model.layers.0.mlp.up_proj"][1].fill_(1.0)
        with bank.rows([0, 1, 0]):
            second = bank._batch
            assert second is not first, "the weights have changed"
            assert second is not None and second.weights_SP(torch.bfloat16).dtype == torch.bfloat16
        with bank.rows([0, 1, 1]):
            assert bank._batch is not second
        with bank.rows([0, 1, 0]):
            assert bank._batch is not second, "only the last one is kept"
    bank.close()
