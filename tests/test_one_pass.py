"""One pass over the longest context against separate passes by transformers; heads switched off, tokens moved."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sys2ft.engine import AdapterBank, open_adapter, save_adapter
from sys2ft.engine.trace import Move, Reader, attention_weights, decoder_layers, read_moved, read_text
from sys2ft.errors import ModelError
from sys2ft.models import LoadedModel, load_model
from sys2ft.representations import Prompt, RepresentSettings, geometry, make_plan, measure
from sys2ft.representations.measuring import probes
from sys2ft.representations.measuring.one_pass import WindowSums

FAMILIES = ("llama", "qwen2", "gemma3_text")
LENGTHS = (3, 17, 40, 61, 90)
WINDOW, SKIP, WORDS = 25, 1, 90


@lru_cache(maxsize=6)
def loaded(folder: Path) -> tuple[LoadedModel, Any]:
    """The engine's model, and the same weights run by transformers with its eager attention, both float32."""
    import transformers

    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    return load_model(str(folder), dtype="float32", device="cpu"), theirs


@pytest.fixture(params=FAMILIES)
def pair(request: pytest.FixtureRequest, tracing_model_dir: Callable[[str], Path]) -> tuple[LoadedModel, Any]:
    return loaded(tracing_model_dir(request.param))


@pytest.fixture
def llama(tracing_model_dir: Callable[[str], Path]) -> tuple[LoadedModel, Any]:
    return loaded(tracing_model_dir("llama"))


def a_prompt(model: LoadedModel, graph: str = "grid:3x3", form: str = "walk", words: int = WORDS) -> Prompt:
    settings = RepresentSettings(graph=(graph,), form=form, context=words, window=5, walks=4)  # type: ignore[arg-type]
    plan = make_plan(model, settings)
    return plan.prompt(model, plan.graphs[0], 1, seed=0)


def by_hand(theirs: Any, prompt: Prompt, length: int, window: int, skip: int) -> tuple[Any, Any]:
    """Node means (L, N, D) and next-word probabilities after `length` words, from a pass over those words only."""
    cut = int(prompt.places_W[length - 1]) + 1
    with torch.inference_mode():
        output = theirs(torch.tensor([prompt.tokens[:cut]]), output_hidden_states=True, use_cache=False)
    blocks: list[Any] = []
    hooks = [
        block.register_forward_hook(lambda _, args, out: blocks.append(out[0] if isinstance(out, tuple) else out))
        for block in decoder_layers(theirs)
    ]
    with torch.inference_mode():
        theirs(torch.tensor([prompt.tokens[:cut]]), use_cache=False)
    for hook in hooks:
        hook.remove()
    streams = [output.hidden_states[0], *blocks]
    means = np.full((len(streams), prompt.graph.nodes, streams[0].shape[-1]), np.nan)
    for layer, stream in enumerate(streams):
        for node in range(prompt.graph.nodes):
            words = [w for w in range(max(skip, length - window), length) if prompt.nodes_W[w] == node]
            if words:
                means[layer, node] = stream[0, prompt.places_W[words]].mean(dim=0).numpy()
    said = output.logits[0, cut - 1].softmax(-1)[list(prompt.word_ids)].numpy()
    return means, said


@pytest.mark.parametrize("form", ["walk", "pairs"])
@pytest.mark.parametrize("chunk", [7, 512])
def test_one_pass_equals_a_pass_for_each_length(pair: tuple[LoadedModel, Any], chunk: int, form: str) -> None:
    model, theirs = pair
    prompt = a_prompt(model, form=form)
    reader = Reader(model=model.model, tokens_at_once=chunk)
    found = measure(reader, prompt, lengths=LENGTHS, layers=(0, 1, 2), window=WINDOW, skip=SKIP)
    for c, length in enumerate(LENGTHS):
        means_LND, said_N = by_hand(theirs, prompt, length, WINDOW, SKIP)
        apart = np.stack([np.square(m[:, None] - m[None]).sum(-1) for m in means_LND])
        np.testing.assert_allclose(found.distances_LCP[:, c], geometry.pairs_of(apart), rtol=2e-3, atol=2e-4)
        if prompt.asks_W[length - 1]:
            np.testing.assert_allclose(found.probability_WN[length - 1], said_N, rtol=1e-3, atol=1e-6)
        else:
            assert np.isnan(found.probability_WN[length - 1]).all()
        if length == LENGTHS[-1]:
            np.testing.assert_allclose(found.means_LND, means_LND, rtol=1e-3, atol=1e-4)
    assert np.isnan(found.distances_LCP[:, 0]).any(), "three words leave nodes out"
    assert np.isfinite(found.distances_LCP[:, -1]).mean() > 0.3


def test_predictions_at_the_requested_lengths_only(llama: tuple[LoadedModel, Any]) -> None:
    model, _ = llama
    prompt = a_prompt(model)
    reader = Reader(model=model.model)
    every = measure(reader, prompt, lengths=LENGTHS, layers=(1,), window=WINDOW)
    some = measure(reader, prompt, lengths=LENGTHS, layers=(1,), window=WINDOW, every_word=False)
    at = np.array(LENGTHS) - 1
    np.testing.assert_allclose(some.probability_WN[at], every.probability_WN[at], rtol=1e-5)
    assert np.isfinite(some.probability_WN[:, 0]).sum() == len(LENGTHS)
    np.testing.assert_array_equal(some.distances_LCP, every.distances_LCP)
    assert every.distances_LCP.shape[0] == 1


def test_first_words_are_skipped(llama: tuple[LoadedModel, Any]) -> None:
    model, theirs = llama
    prompt = a_prompt(model)
    means, _ = by_hand(theirs, prompt, 9, 25, 4)
    found = measure(Reader(model=model.model), prompt, lengths=[2, 9], layers=(0, 1, 2), window=25, skip=4)
    np.testing.assert_allclose(found.means_LND, means, rtol=1e-3, atol=1e-4)
    assert np.isnan(found.distances_LCP[:, 0]).all(), "no word is left of two when four are skipped"


@pytest.mark.parametrize("chunk", [1, 7, 90])
def test_words_with_massive_activations_are_left_out_of_means(llama: tuple[LoadedModel, Any], chunk: int) -> None:
    model, _ = llama
    prompt = a_prompt(model, form="pairs")
    stream = torch.randn(len(prompt.tokens), 32, generator=torch.Generator().manual_seed(0)) + 2.0
    massive = [40, 60, 88]
    stream[prompt.places_W[massive]] *= 12.0
    stream[prompt.places_W[0]] *= 90.0  # the first word, which is skipped anyway
    between = np.setdiff1d(np.arange(len(prompt.tokens)), prompt.places_W)
    stream[between] *= 1e-3  # tokens between words do not affect the median
    sums, every = (
        WindowSums(prompt, lengths=(45, 90), layers=(1,), window=30, skip=1, massive=factor, device=torch.device("cpu"))
        for factor in (3.0, 0.0)
    )
    for start in range(0, len(stream), chunk):
        sums.see(1, start, stream[start : start + chunk])
        every.see(1, start, stream[start : start + chunk])
    assert sums.left_out == {1: 3}
    assert every.left_out == {1: 0}
    for found, out in ((sums.means(1), massive), (every.means(1), [])):
        for c, length in enumerate((45, 90)):
            for node in range(prompt.graph.nodes):
                words = [w for w in range(length - 30, length) if prompt.nodes_W[w] == node and w not in out]
                if not words:
                    assert found[c, node].isnan().all()
                else:
                    torch.testing.assert_close(found[c, node], stream[prompt.places_W[words]].mean(dim=0))


def test_memory_does_not_grow_with_the_text(llama: tuple[LoadedModel, Any]) -> None:
    """Sums are kept per stretch between window boundaries, however many words it has."""
    model, _ = llama
    sizes = []
    for words in (40, 400):
        prompt = a_prompt(model, words=words)
        sums = WindowSums(
            prompt, lengths=(20, words), layers=(1,), window=15, skip=1, massive=3.0, device=torch.device("cpu")
        )
        kept: list[int] = []
        read_text(Reader(model=model.model, tokens_at_once=16), prompt.tokens, see_layer=sums.see)
        kept = [t.numel() for t in vars(sums)["_sums"].values()]
        sizes.append(kept)
    assert sizes[0] == sizes[1]


def test_reading_through_an_adapter_equals_peft(llama: tuple[LoadedModel, Any], tmp_path: Path) -> None:
    from peft import PeftModel

    model, theirs = llama
    bank = AdapterBank(model.model, 2, rank=4, alpha=8, targets=["q_proj", "down_proj"])
    bank.initialise(1, 3)
    with torch.no_grad():
        for b in bank.b.values():
            b.normal_(generator=torch.Generator().manual_seed(4))
    save_adapter(bank, 1, tmp_path / "adapter", base_name="tiny")
    bank.close()
    prompt = a_prompt(model)
    plain = measure(Reader(model=model.model), prompt, lengths=[90], layers=(0, 1, 2), window=WINDOW)
    opened = open_adapter(model.model, tmp_path / "adapter")
    try:
        reader = Reader(model=model.model, bank=opened, slot=0, tokens_at_once=32)
        found = measure(reader, prompt, lengths=[90], layers=(0, 1, 2), window=WINDOW)
        moved = read_moved(reader, prompt.tokens, found.past, [Move(80, 1, torch.zeros(found.means_LND.shape[2]))])
    finally:
        opened.close()
    peft = PeftModel.from_pretrained(theirs, str(tmp_path / "adapter"))
    means, said = by_hand(peft.base_model.model, prompt, 90, WINDOW, 1)
    peft.unload()
    np.testing.assert_allclose(found.means_LND, means, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.probability_WN[89], said, rtol=1e-3, atol=1e-6)
    assert not np.allclose(found.means_LND[1:], plain.means_LND[1:], atol=0.05)
    assert moved.shape == (1, found.means_LND.shape[2])
    with pytest.raises(ModelError, match="cannot be read as an adapter"):
        open_adapter(model.model, tmp_path)


def test_a_token_moved_to_the_embedding_of_another_is_read_as_that_token(pair: tuple[LoadedModel, Any]) -> None:
    """A token moved at layer 0 by the difference of two embeddings gives the predictions of the other token."""
    model, theirs = pair
    prompt = a_prompt(model)
    reader = Reader(model=model.model, tokens_at_once=3)
    entering: dict[int, torch.Tensor] = {}
    leaving: dict[int, torch.Tensor] = {}

    def see(layer: int, start: int, stream: torch.Tensor) -> None:
        for row in range(len(stream)):
            if layer in (0, 2):
                (entering if layer == 0 else leaving)[start + row] = stream[row].clone()

    last: dict[int, torch.Tensor] = {}
    past = read_text(reader, prompt.tokens, see_layer=see, see_last=lambda s, h: last.update(enumerate(h, start=s)))
    here, there = 50, next(w for w in range(60) if prompt.nodes_W[w] != prompt.nodes_W[50])
    places = [int(prompt.places_W[w]) for w in (here, there)]
    size = len(last[0])
    moves = [
        Move(places[0], 1, torch.zeros(size)),
        Move(places[0], 0, entering[places[1]] - entering[places[0]]),
        Move(places[0], 2, leaving[places[1]] - leaving[places[0]]),
        Move(70, 2, torch.zeros(size)),
    ]
    length = past.get_seq_length()
    hidden = read_moved(reader, prompt.tokens, past, moves)
    assert past.get_seq_length() == length == len(prompt.tokens)
    torch.testing.assert_close(hidden[0], last[places[0]], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(hidden[2], last[places[1]], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(hidden[3], last[70], rtol=1e-3, atol=1e-4)
    changed = [*prompt.tokens[: places[0]], prompt.tokens[places[1]]]
    with torch.inference_mode():
        expected = theirs(torch.tensor([changed])).logits[0, -1]
        found = model.model.get_output_embeddings()(hidden[1])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_with_all_heads_off_attention_adds_nothing(pair: tuple[LoadedModel, Any]) -> None:
    model, theirs = pair
    prompt = a_prompt(model)
    heads = model.model.config.num_attention_heads
    off = {block: range(heads) for block in range(2)}
    found = measure(Reader(model=model.model, heads_off=off), prompt, lengths=[90], layers=(0, 1, 2), window=WINDOW)
    kept = {name: p.clone() for name, p in theirs.named_parameters() if "o_proj" in name}
    with torch.no_grad():
        for name, p in theirs.named_parameters():
            if name in kept:
                p.zero_()
        means, _ = by_hand(theirs, prompt, 90, WINDOW, 1)
        for name, p in theirs.named_parameters():
            if name in kept:
                p.copy_(kept[name])
    np.testing.assert_allclose(found.means_LND, means, rtol=1e-3, atol=1e-4)
    one_off = measure(
        Reader(model=model.model, heads_off={1: [2]}), prompt, lengths=[90], layers=(0, 1, 2), window=WINDOW
    )
    whole = measure(Reader(model=model.model), prompt, lengths=[90], layers=(0, 1, 2), window=WINDOW)
    np.testing.assert_array_equal(one_off.means_LND[:2], whole.means_LND[:2])
    assert np.nanmax(np.abs(one_off.means_LND[2] - whole.means_LND[2])) > 1e-3


def test_scores_of_a_head_with_uniform_attention(tracing_model_dir: Callable[[str], Path]) -> None:
    """With a zero query the attention is uniform, and the scores are known."""
    model = load_model(str(tracing_model_dir("llama")), dtype="float32", device="cpu")
    size = model.model.config.head_dim
    with torch.no_grad():
        model.model.model.layers[0].self_attn.q_proj.weight[size : 2 * size].zero_()
    reader = Reader(model=model.model)
    prefix, previous = probes.head_scores(reader, model.tokenizer, seed=0)
    m = probes.REPEATED
    assert prefix.shape == previous.shape == (2, 4)
    assert prefix[0, 1] == pytest.approx(np.mean([1 / (t + 1) for t in range(m, 2 * m)]), rel=1e-4)
    assert previous[0, 1] == pytest.approx(np.mean([1 / (t + 1) for t in range(1, 2 * m)]), rel=1e-4)
    assert prefix[0, 0] != pytest.approx(prefix[0, 1], rel=1e-4)
    assert model.model.config._attn_implementation == "sys2ft", "the engine's attention is back"
    weights = attention_weights(reader, [5, 6, 7])
    assert weights[0].sum(-1) == pytest.approx(torch.ones(4, 3))


def test_heads_are_chosen_by_score_and_the_control_from_the_others() -> None:
    prefix = np.array([[0.9, 0.1, 0.2], [0.3, 0.8, 0.0]])
    previous = np.array([[0.0, 0.7, 0.1], [0.2, 0.1, 0.0]])
    chosen = probes.heads_to_switch_off(prefix, previous, 2, seed=1)
    assert chosen["none"] == []
    assert chosen["induction"] == [(0, 0), (1, 1)]
    assert chosen["previous token"] == [(0, 1), (1, 0)]
    assert set(chosen["random"]) == {(0, 2), (1, 2)}


def test_moving_reports_the_change_of_predictions(llama: tuple[LoadedModel, Any]) -> None:
    model, _ = llama
    prompt = a_prompt(model)
    reader = Reader(model=model.model)
    found = measure(reader, prompt, lengths=[90], layers=(0, 1, 2), window=60)
    rows = probes.move_representations(reader, prompt, found, layers=(0, 2), dimensions=2, moves=6, seed=0)
    assert [(row["layer"], row["shift"]) for row in rows] == [(n, s) for n in (0, 2) for s in probes.SHIFTS]
    assert len({row["target_before"] for row in rows}) == 1, "the same pairs, before anything is moved"
    assert len({row["target_after"] for row in rows}) == len(rows)
    assert all(row["pairs"] == 6 for row in rows)
    whole = probes.move_representations(reader, prompt, found, layers=(2,), dimensions=8, moves=6, seed=0)
    by_shift = {row["shift"]: row for row in whole}
    assert by_shift["components"]["target_after"] == pytest.approx(by_shift["whole"]["target_after"], rel=1e-4)
    assert by_shift["rest"]["target_after"] == pytest.approx(by_shift["rest"]["target_before"], rel=1e-4)


def test_a_node_without_a_mean_in_one_layer_is_not_moved(llama: tuple[LoadedModel, Any]) -> None:
    model, _ = llama
    prompt = a_prompt(model)
    reader = Reader(model=model.model)
    found = measure(reader, prompt, lengths=[90], layers=(0, 1, 2), window=60)
    found.means_LND[2, 4] = np.nan
    rows = probes.move_representations(reader, prompt, found, layers=(0, 2), dimensions=2, moves=99, seed=0)
    every = probes.move_representations(reader, prompt, found, layers=(0, 1), dimensions=2, moves=99, seed=0)
    assert all(np.isfinite(row["target_after"]) for row in rows)
    assert 0 < rows[0]["pairs"] < every[0]["pairs"]


def test_a_model_without_a_list_of_layers_is_refused() -> None:
    class Odd(torch.nn.Module):
        config = type("Config", (), {"num_hidden_layers": 3})()
        base_model = torch.nn.Linear(2, 2)

    with pytest.raises(ModelError, match="no list of 3 layers"):
        decoder_layers(Odd())
