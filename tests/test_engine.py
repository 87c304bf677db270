"""The engine compared with transformers: decoding, scoring, sampling, token trees."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from sys2ft.engine import BASE, DecodeRequest, Example, Sampling, decode, prepare, score
from sys2ft.engine.decoding.sampling import Uniforms, choose, most_likely
from sys2ft.engine.trees.tree import TokenTree, group_trees, pack, slot_trees
from sys2ft.errors import ModelError, SettingsError

FAMILIES = ("llama", "qwen2", "gemma3_text")
VOCABULARY = 370  # ids in the vocabulary of every tiny model
NEW = 24
NONE: frozenset[int] = frozenset()
GREEDY = Sampling(temperature=0)


@lru_cache(maxsize=3)
def models_of(folder: Path) -> tuple[Any, Any]:
    """(the engine's model, the same weights run by transformers with eager attention), both in float32."""
    import transformers

    ours = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    prepare(ours)
    return ours, theirs


@pytest.fixture(params=FAMILIES)
def pair(request: pytest.FixtureRequest, tiny_family_dir: Callable[[str], Path]) -> tuple[Any, Any]:
    return models_of(tiny_family_dir(request.param))


@pytest.fixture
def llama(tiny_model_dir: Path) -> Any:
    return models_of(tiny_model_dir)[0]


def some_ids(rng: random.Random, count: int) -> list[int]:
    return [rng.randrange(3, VOCABULARY) for _ in range(count)]


def fifty_prompts() -> list[DecodeRequest]:
    """Groups with long, short and no shared prefixes; lengths from 1 token to five times gemma's window."""
    rng = random.Random(1)
    requests = [DecodeRequest(some_ids(rng, 1), 0, "one token"), DecodeRequest(some_ids(rng, 1), 0, "another")]
    for group, (shared, own) in enumerate([(60, (1, 3, 20)), (17, (5, 5, 16)), (1, (4, 30, 12)), (0, (1, 20, 40))]):
        prefix = some_ids(rng, shared)
        for length in itertools.islice(itertools.cycle(own), 9):
            requests.append(DecodeRequest(prefix + some_ids(rng, length), 0, group))
    same = some_ids(rng, 40)
    requests += [DecodeRequest(same, 0, "identical") for _ in range(5)]
    nested = some_ids(rng, 50)
    requests += [DecodeRequest(nested[:length], 0, "nested") for length in (20, 30, 31, 49, 50)]
    requests += [DecodeRequest(some_ids(rng, 25), 0) for _ in range(50 - len(requests))]
    assert len(requests) == 50
    return rng.sample(requests, 50)


def generate_greedily(model: Any, prompts: Sequence[Sequence[int]]) -> list[tuple[list[int], torch.Tensor]]:
    """New ids from `generate`, and each one's margin over the runner-up (T,); prompts of equal length are batched."""
    found: dict[int, tuple[list[int], torch.Tensor]] = {}
    for length in sorted({len(p) for p in prompts}):
        here = [i for i, p in enumerate(prompts) if len(p) == length]
        ids = torch.tensor([list(prompts[i]) for i in here])
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=NEW,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            output_logits=True,
            return_dict_in_generate=True,
        )
        best = torch.stack(out.logits, 1).topk(2, -1).values
        for row, i in enumerate(here):
            found[i] = out.sequences[row, length:].tolist(), best[row, :, 0] - best[row, :, 1]
    return [found[i] for i in range(len(prompts))]


def test_greedy_decode_is_the_models_own(pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    requests = fifty_prompts()
    reference = generate_greedily(theirs, [r.prompt_ids for r in requests])
    spoken = [token for ids, _ in reference for token in ids]
    stops = frozenset(sorted(set(spoken), key=lambda t: (-spoken.count(t), t))[3:20])
    lengths = set()
    for stop_ids, rows_at_once in ((NONE, 128), (stops, 128), (stops, 7)):
        got = decode(ours, requests, GREEDY, max_new_tokens=NEW, stop_ids=stop_ids, rows_at_once=rows_at_once)
        for (ids, lead), decoded in zip(reference, got.decoded, strict=True):
            end = next((i for i, token in enumerate(ids) if token in stop_ids), NEW)
            lengths.add(end)
            if decoded.ids != ids[:end]:  # only a tie may be decided differently, by rounding
                place = next(i for i in range(end) if decoded.ids[i : i + 1] != ids[i : i + 1])
                assert lead[place] < 1e-4, f"differs from generate at token {place}: {decoded.ids} {ids[:end]}"
            else:
                assert decoded.finished == (end < NEW)
    assert len(lengths) > 6, "the rows should leave the batch at different times"


def test_decode_depends_on_the_weights_and_the_window(tiny_family_dir: Callable[[str], Path]) -> None:
    """The parity tests would also pass for models that ignore earlier tokens; these models do not."""
    gemma, _ = models_of(tiny_family_dir("gemma3_text"))
    assert gemma.config.layer_types == ["sliding_attention", "full_attention"]
    rng = random.Random(2)
    end = some_ids(rng, 3)
    far = [DecodeRequest(some_ids(rng, 40) + end, 0) for _ in range(8)]
    said = {tuple(d.ids) for d in decode(gemma, far, GREEDY, max_new_tokens=6, stop_ids=NONE).decoded}
    assert len(said) > 4


def test_stop_when_and_on_done(llama: Any) -> None:
    rng = random.Random(3)
    requests = [DecodeRequest(some_ids(rng, 12), seed) for seed in range(10)]
    free = decode(llama, requests, Sampling(), max_new_tokens=12, stop_ids=NONE)
    done: list[int] = []

    def enough(ids: list[int]) -> bool:
        return sum(ids) % 5 == 0

    got = decode(llama, requests, Sampling(), max_new_tokens=12, stop_ids=NONE, stop_when=enough, on_done=done.append)
    assert sum(done) == len(requests)
    for before, after in zip(free.decoded, got.decoded, strict=True):
        end = next((n for n in range(1, 13) if enough(before.ids[:n])), None)
        assert after.ids == before.ids[: end or 12]  # the stopping token is kept
        assert after.finished == (end is not None)


def test_shared_prefixes_are_read_once(llama: Any) -> None:
    ids = some_ids(random.Random(4), 30)
    alike = [DecodeRequest(ids, seed, "g") for seed in range(10)]
    once = decode(llama, alike, Sampling(), max_new_tokens=1, stop_ids=NONE)
    assert once.tokens_computed == 30
    assert once.tokens_generated == 10
    branches = [DecodeRequest([*ids, token, token], token, "g") for token in range(5, 9)]
    assert decode(llama, branches, GREEDY, max_new_tokens=3, stop_ids=NONE).tokens_computed == 30 + 4 * 2 + 4 * 2
    strangers = [DecodeRequest([token, *ids], token, token) for token in range(5, 9)]
    assert decode(llama, strangers, GREEDY, max_new_tokens=1, stop_ids=NONE).tokens_computed == 4 * 31


def test_generated_tokens_count_the_stop(llama: Any) -> None:
    request = DecodeRequest(some_ids(random.Random(5), 9), 0)
    free = decode(llama, [request], GREEDY, max_new_tokens=8, stop_ids=NONE).decoded[0].ids
    fresh = next(i for i in range(8) if free[i] not in free[:i] and i > 0)
    got = decode(llama, [request], GREEDY, max_new_tokens=8, stop_ids=frozenset({free[fresh]}))
    assert got.decoded[0].ids == free[:fresh]
    assert got.decoded[0].finished
    assert got.tokens_generated == fresh + 1


@pytest.mark.slow
@pytest.mark.parametrize("how", [Sampling(), Sampling(temperature=0.7, top_k=20, top_p=0.9)], ids=["plain", "cut"])
def test_a_sample_does_not_depend_on_its_company(pair: tuple[Any, Any], how: Sampling) -> None:
    ours, _ = pair
    rng = random.Random(6)
    prefix = some_ids(rng, 25)
    requests = [DecodeRequest(prefix + some_ids(rng, 1 + n % 7), 100 + n, "g" if n % 3 else n) for n in range(24)]
    stops = frozenset(range(3, 40))

    def said(chosen: Sequence[DecodeRequest], rows: int = 128) -> list[list[int]]:
        got = decode(ours, chosen, how, max_new_tokens=16, stop_ids=stops, rows_at_once=rows)
        return [d.ids for d in got.decoded]

    together = said(requests)
    assert len({tuple(ids) for ids in together}) > 18
    assert said(requests, rows=5) == together
    assert said(requests[::-1]) == together[::-1]
    for n in range(0, 24, 5):
        assert said([requests[n]]) == [together[n]]
    other_seed = [DecodeRequest(r.prompt_ids, r.seed + 1, r.group) for r in requests]
    assert said(other_seed) != together


def test_a_prompt_needs_a_token(llama: Any) -> None:
    with pytest.raises(ValueError, match="at least one token"):
        decode(llama, [DecodeRequest([], 0)], GREEDY, max_new_tokens=2, stop_ids=NONE)


def plain_log_likelihood(model: Any, example: Example) -> float:
    with torch.inference_mode():
        log = model(input_ids=torch.tensor([list(example.ids)])).logits[0].float().log_softmax(-1)
    places = [i for i, supervised in enumerate(example.loss_mask) if supervised]
    return sum(log[i - 1, example.ids[i]].item() for i in places)


def test_score_is_the_full_forward_pass(pair: tuple[Any, Any]) -> None:
    ours, theirs = pair
    rng = random.Random(7)
    examples = []
    for _ in range(5):
        prompt = some_ids(rng, rng.choice([1, 12, 45]))
        start = some_ids(rng, 2)
        for own in (1, 1, 4, 9):  # choices with shared beginnings, some of one token
            ids = prompt + (start if own > 1 else []) + some_ids(rng, own)
            examples.append(Example(ids, [i >= len(prompt) for i in range(len(ids))]))
    ids = some_ids(rng, 30)
    examples.append(Example(ids, [i % 3 == 1 for i in range(30)]))  # scattered supervision
    examples += examples[:3]
    expected = [plain_log_likelihood(theirs, e) for e in examples]
    for sizes in ({}, {"tokens_at_once": 1}, {"tokens_at_once": 60}):
        got = score(ours, examples, **sizes)
        assert [x.total for x in got.likelihoods] == pytest.approx(expected, abs=1e-4)
        assert [x.tokens for x in got.likelihoods] == [sum(e.loss_mask) for e in examples]
    assert got.likelihoods[0].mean == got.likelihoods[0].total / got.likelihoods[0].tokens
    assert min(expected) < -1
    assert score(ours, examples).tokens_computed < sum(len(e.ids) - 1 for e in examples)


def chi_square_bound(freedom: int, z: float = 4.0) -> float:
    """The chi-square quantile with the same tail probability as the normal quantile z (Wilson-Hilferty)."""
    k = 2 / (9 * freedom)
    return freedom * (1 - k + z * k**0.5) ** 3


@pytest.mark.parametrize("size", [40, 700])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_samples_follow_the_softmax(size: int, temperature: float) -> None:
    draws = 40_000
    logits_V = torch.from_numpy(np.random.default_rng(0).normal(0, 1.5, size)).float()
    stream = Uniforms(8)
    uniforms = torch.tensor([stream[n] for n in range(draws)], dtype=torch.float64)
    got = torch.cat(
        [choose(logits_V.expand(len(u), -1), u, Sampling(temperature=temperature)) for u in uniforms.split(4000)]
    )
    expected = (logits_V.double() / temperature).softmax(-1).numpy() * draws
    counts = np.bincount(got.numpy(), minlength=size)
    common = expected >= 5
    observed = [*counts[common], counts[~common].sum()] if (~common).any() else counts
    wanted = [*expected[common], expected[~common].sum()] if (~common).any() else expected
    statistic = sum((o - w) ** 2 / w for o, w in zip(observed, wanted, strict=True))
    assert statistic < chi_square_bound(len(wanted) - 1)
    # The test has power: it rejects the same draws for a slightly different temperature.
    other = (logits_V.double() / (temperature * 1.1)).softmax(-1).numpy()[common] * draws
    assert sum((o - w) ** 2 / w for o, w in zip(counts[common], other, strict=True)) > chi_square_bound(common.sum())


@pytest.mark.parametrize(
    ("size", "spread", "how"),
    [
        (50, 1.0, Sampling(top_k=1)),
        (50, 1.0, Sampling(top_k=7)),
        (50, 1.0, Sampling(top_k=500)),
        (50, 1.0, Sampling(top_p=0.6)),
        (50, 1.0, Sampling(top_p=1e-5)),
        (400, 1.5, Sampling(top_p=0.8)),
        (400, 0.1, Sampling(top_p=0.9)),  # flat: the nucleus is wider than the first search
        (400, 1.5, Sampling(top_k=30, top_p=0.7, temperature=0.8)),
    ],
    ids=str,
)
def test_the_support_is_exact(size: int, spread: float, how: Sampling) -> None:
    logits = np.random.default_rng(9).normal(0, spread, size)
    order = np.argsort(-logits)
    probs = np.exp(logits[order] / how.temperature)
    kept = how.top_k or size
    probs = probs[:kept] / probs[:kept].sum()
    before = np.concatenate([[0.0], probs.cumsum()[:-1]])
    assert np.abs(before - how.top_p).min() > 1e-6, "no tie with the threshold"
    inside = before < how.top_p
    support = set(order[: len(inside)][inside].tolist())
    # A grid finer than the rarest token's probability reaches every token.
    grid = torch.linspace(0, 1 - 1e-12, 20_000 + int(4 / probs[inside].min()), dtype=torch.float64)
    logits_V = torch.from_numpy(logits).float()
    got = torch.cat([choose(logits_V.expand(len(u), -1), u, how) for u in grid.split(4000)])
    assert set(got.tolist()) == support
    counts = np.bincount(got.numpy(), minlength=size)[order[: len(inside)][inside]]
    assert counts / len(grid) == pytest.approx(probs[inside] / probs[inside].sum(), abs=2e-4)


@pytest.mark.parametrize(("size", "count"), [(20_001, 50), (6_400, 7), (300, 50), (128, 128)])
def test_the_largest_are_found_block_by_block(size: int, count: int) -> None:
    rng = np.random.default_rng(size)
    logits_BV = torch.from_numpy(np.stack([rng.permutation(size) for _ in range(5)])).float()
    logits_BV[0, :count] += size  # all in one block
    logits_BV[1, -count:] += size  # in the remainder after the whole blocks
    values, places = logits_BV.topk(count)
    got_values, got_places = most_likely(logits_BV, count)
    assert torch.equal(got_values, values)
    assert torch.equal(got_places, places)


def test_temperature_zero_selects_the_most_likely() -> None:
    logits_BV = torch.randn(50, 300, generator=torch.Generator().manual_seed(0))
    assert torch.equal(choose(logits_BV, torch.rand(50).double(), GREEDY), logits_BV.argmax(-1))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**63 - 1), st.lists(st.integers(0, 300), min_size=1, max_size=8))
def test_a_random_number_depends_on_seed_and_place_alone(seed: int, places: list[int]) -> None:
    asked = Uniforms(seed)
    assert [asked[n] for n in places] == [Uniforms(seed)[n] for n in places]
    assert all(0 <= asked[n] < 1 for n in places)
    assert Uniforms(seed)[0] != Uniforms(seed ^ 1)[0]


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.5}, {"top_k": -1}, {"top_p": float("nan")}]
)
def test_sampling_is_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="out of range"):
        Sampling(**wrong)


sequences = st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=9), min_size=1, max_size=8)


@settings(deadline=None)
@given(sequences)
def test_a_tree_holds_every_prefix_once(many: list[list[int]]) -> None:
    tree = TokenTree()
    for ids in many:
        size, cost = len(tree), tree.cost(ids)
        nodes = tree.path(ids)
        assert len(tree) == size + cost
        assert tree.cost(ids) == 0
        assert [tree.tokens[node] for node in nodes] == ids[:-1]
        assert [tree.depths[node] for node in nodes] == list(range(len(ids) - 1))
    assert len(tree) == len({tuple(ids[:n]) for ids in many for n in range(1, len(ids))})
    mask = tree.ancestors()
    for node in range(len(tree)):
        seen, at = set(), node
        while at >= 0:
            seen.add(at)
            at = tree.parents[at]
        assert set(np.flatnonzero(mask[node]).tolist()) == seen
    assert mask.shape == (len(tree), len(tree))


@settings(deadline=None)
@given(sequences, st.data(), st.integers(1, 20))
def test_packing_keeps_every_target_and_its_path(many: list[list[int]], data: st.DataObject, room: int) -> None:
    examples = []
    for ids in many:
        mask = data.draw(st.lists(st.booleans(), min_size=len(ids) - 1, max_size=len(ids) - 1))
        examples.append(
            Example(ids, [False, *mask] if any(mask) else [False, *mask[:-1], True], data.draw(st.integers(-1, 1)))
        )
    trees = slot_trees(examples, room)
    assert sorted(itertools.chain.from_iterable(tree.members for tree in trees)) == list(range(len(examples)))
    assert all(len(tree) <= room or len(tree.members) == 1 for tree in trees)
    batches = list(group_trees(trees, room))
    assert [id(tree) for batch in batches for tree in batch] == [id(tree) for tree in trees]
    assert all(sum(map(len, batch)) <= room or len(batch) == 1 for batch in batches)
    packed = pack(examples, trees)
    assert packed.segments == [(tree.slot, len(tree)) for tree in trees]
    assert len(packed) == sum(map(len, trees))
    behind = visible(packed)
    owner = [tree for tree in trees for _ in range(len(tree))]
    found = set()
    for node, target, example in zip(
        packed.node_N.tolist(), packed.target_N.tolist(), packed.example_N.tolist(), strict=True
    ):
        assert example in owner[node].members
        assert owner[node].slot == examples[example].slot
        depth = int(packed.positions_T[node])
        assert packed.tokens_T[behind[node]].tolist() == list(examples[example].ids[: depth + 1])
        assert target == examples[example].ids[depth + 1]
        found.add((example, depth + 1))
    assert found == {(i, n) for i, e in enumerate(examples) for n, on in enumerate(e.loss_mask) if on}
    assert torch.equal(packed.asked_U[packed.asked_N], packed.node_N)


def visible(packed: Any) -> list[list[int]]:
    """The nodes that each node attends to, in order of depth, from the branches that attention is split into."""
    asked: list[list[int]] = []
    start = 0
    for block in packed.paths.blocks:
        branches, _, _, longest = block.full_E1CL.shape
        path_EL = packed.paths.path[start : start + branches * longest].view(branches, longest)
        start += branches * longest
        for path, seen_CL in zip(path_EL, block.full_E1CL[:, 0], strict=True):
            asked += [path[seen].tolist() for seen in seen_CL]
    assert [nodes[-1] for nodes in asked] == packed.paths.own.tolist(), "a node sees itself last"
    assert packed.padded == len(asked) - len(packed)
    return [asked[place] for place in packed.paths.place_T.tolist()]


@pytest.mark.parametrize(
    ("ids", "mask"),
    [([1, 2], [False]), ([1], [True]), ([1, 2], [True, True]), ([1, 2], [False, False])],
    ids=["lengths", "one token", "first supervised", "none supervised"],
)
def test_an_example_is_checked(ids: list[int], mask: list[bool]) -> None:
    with pytest.raises(ValueError, match=r"must be equal|an example needs"):
        Example(ids, mask)
    assert Example([1, 2], [False, True]).slot == BASE


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_prepare_refuses_a_head_it_does_not_know(tiny_model_dir: Path, dtype: torch.dtype) -> None:
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=dtype)
    model.lm_head.register_forward_hook(lambda *_: _[-1] * 3 if _[-1].dim() == 3 else None)
    with pytest.raises(ModelError, match="in a way the engine does not know"):
        prepare(model)


def odd_model(name: str, **changes: Any) -> Any:
    import transformers

    small = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "head_dim": 8,
    }
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 512}
    how = {"num_key_value_heads": 2, "vocab_size": 385, "initializer_range": 0.15, **small, **ends, **changes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = getattr(transformers, name)(**how)
        return transformers.AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, attn_implementation="eager"
        ).eval()


@pytest.mark.parametrize("name", ["MistralConfig", "Phi3Config"])
def test_a_window_over_all_layers(name: str) -> None:
    model = odd_model(name, sliding_window=16)
    ids = some_ids(random.Random(0), 60)
    example = Example(ids, [False] * 30 + [True] * 30)
    expected, (spoken, _) = plain_log_likelihood(model, example), generate_greedily(model, [ids])[0]
    prepare(model)
    assert score(model, [example]).likelihoods[0].total == pytest.approx(expected, abs=1e-4)
    assert decode(model, [DecodeRequest(ids, 0)], GREEDY, max_new_tokens=NEW, stop_ids=NONE).decoded[0].ids == spoken


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        # Scores this small are hardly capped, so the logits alone would not show a difference.
        ("Gemma2Config", {"query_pre_attn_scalar": 8}, "the term softcap"),
        ("GptOssConfig", {"num_local_experts": 2, "num_experts_per_tok": 1}, "the term s_aux"),
        ("Llama4TextConfig", {}, ""),
    ],
    ids=["soft cap", "sinks", "chunks"],
)
def test_an_attention_that_cannot_be_routed_is_refused(name: str, changes: dict[str, int], why: str) -> None:
    with pytest.raises(ModelError, match=rf"(?s){why}.*fix:"):
        prepare(odd_model(name, **changes))
