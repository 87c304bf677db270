"""Causal probes: switch attention heads off, and move a word's representation to that of another node.

At a token seen before, induction heads attend to the token that followed it (Olsson et al., arXiv 2209.11895). Their
prefix-matching score is measured on a random sequence repeated once, which only the repetition can predict.

Shapes: L blocks, H heads of a block, T tokens, N nodes, M moved tokens, D hidden size, K components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sys2ft.engine.trace import Move, Reader, attention_weights, read_moved
from sys2ft.representations import baselines, geometry
from sys2ft.representations.graphs.graph import Floats
from sys2ft.representations.graphs.prompts import Prompt
from sys2ft.representations.measuring.one_pass import POSITIONS, Measurement, measure, next_words
from sys2ft.runs import item_seed

REPEATED = 50  # tokens in the repeated sequence
TEXTS = 4
SHIFTS = ("components", "rest", "whole", "random")
"""Directions of the move towards another node's mean: the in-context components, all other directions, both, and a
random vector of the same norm as the first."""

Head = tuple[int, int]


def head_scores(reader: Reader, tokenizer: Any, seed: int) -> tuple[Floats, Floats]:
    """Prefix-matching and previous-token score (L, H) of every head: mean attention weights, 0 to 1."""
    special = set(tokenizer.all_special_ids)
    plain = np.array([token for token in range(len(tokenizer)) if token not in special])
    prefix, previous = [], []
    for text in range(TEXTS):
        rng = np.random.default_rng(item_seed(seed, "repeated tokens", text))
        tokens = np.tile(rng.choice(plain, size=REPEATED, replace=False), 2).tolist()
        weights = torch.stack(attention_weights(reader, tokens)).double().cpu().numpy()  # (L, H, T, T)
        second = np.arange(REPEATED, 2 * REPEATED)
        prefix.append(weights[:, :, second, second - REPEATED + 1].mean(axis=-1))
        later = np.arange(1, 2 * REPEATED)
        previous.append(weights[:, :, later, later - 1].mean(axis=-1))
    return np.mean(prefix, axis=0), np.mean(previous, axis=0)


def heads_to_switch_off(prefix_LH: Floats, previous_LH: Floats, count: int, seed: int) -> dict[str, list[Head]]:
    """The `count` heads (block, head) of each group: none, top prefix-matching, top previous-token, random others."""
    groups = {"induction": _top(prefix_LH, count), "previous token": _top(previous_LH, count)}
    named = {head for heads in groups.values() for head in heads}
    others = [head for head in _top(prefix_LH, prefix_LH.size) if head not in named]
    order = np.random.default_rng(seed).permutation(len(others))[:count]
    return {"none": [], **groups, "random": sorted(others[i] for i in order)}


def _top(scores_LH: Floats, count: int) -> list[Head]:
    flat = np.argsort(-scores_LH, axis=None, kind="stable")[:count]
    return [(int(i) // scores_LH.shape[1], int(i) % scores_LH.shape[1]) for i in flat]


def switched_off(
    reader: Reader,
    prompt: Prompt,
    heads: Sequence[Head],
    *,
    layers: Sequence[int],
    window: int,
    skip: int,
    massive: float,
) -> dict[str, Any]:
    """Accuracy over the second half of a context, and energy by layer at its end, with some heads switched off."""
    off: dict[int, list[int]] = {}
    for block, head in heads:
        off.setdefault(block, []).append(head)
    words = len(prompt.nodes_W)
    measured = measure(
        replace(reader, heads_off=off),
        prompt,
        lengths=[words],
        layers=layers,
        window=min(window, words),
        skip=skip,
        massive=massive,
    )
    right_W = baselines.accuracy(prompt.graph, prompt.nodes_W, measured.probability_WN)
    energies_L = geometry.normalised_energy(measured.distances_LCP[:, 0], prompt.graph.adjacency)
    return {
        "accuracy": float(np.nanmean(right_W[words // 2 :])),
        "energy": [float(e) if np.isfinite(e) else None for e in energies_L],
        "heads": [list(head) for head in heads],
    }


@dataclass(frozen=True, slots=True)
class _Pair:
    """A word of the context, its node, and another node to move it to."""

    word: int
    node: int
    target: int


def move_representations(
    reader: Reader,
    prompt: Prompt,
    measured: Measurement,
    *,
    layers: Sequence[int],
    dimensions: int,
    moves: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Move the representations of last words from their node's mean to another node's, and measure the predictions.

    For each layer and each of SHIFTS: the probability of neighbours of the target only, and of neighbours of the own
    node only, before and after the move, averaged over `moves` pairs.
    """
    adjacency = prompt.graph.adjacency
    pairs = _pairs(prompt, measured, layers, moves, seed)
    if not pairs:
        return []
    plans = {layer: _shifts(measured, layer, pairs, dimensions, seed) for layer in layers}
    stay = [_move(prompt, pair, 0, np.zeros(measured.means_LND.shape[2]), reader) for pair in pairs]
    todo = [
        _move(prompt, pair, layer, shift_D, reader)
        for layer, by_name in plans.items()
        for shifts in by_name.values()
        for pair, shift_D in zip(pairs, shifts, strict=True)
    ]
    hidden_MD = read_moved(reader, prompt.tokens, measured.past, stay + todo)
    said_MN = _predicted(reader, prompt, hidden_MD)
    target = np.array([(adjacency[p.target] > adjacency[p.node]) for p in pairs])
    own = np.array([(adjacency[p.node] > adjacency[p.target]) for p in pairs])
    before = said_MN[: len(pairs)]
    rows = []
    for number, (layer, name) in enumerate((layer, name) for layer, by_name in plans.items() for name in by_name):
        after = said_MN[len(pairs) * (number + 1) : len(pairs) * (number + 2)]
        rows.append(
            {
                "layer": layer,
                "shift": name,
                "target_before": float((before * target).sum(axis=1).mean()),
                "target_after": float((after * target).sum(axis=1).mean()),
                "own_before": float((before * own).sum(axis=1).mean()),
                "own_after": float((after * own).sum(axis=1).mean()),
                "pairs": len(pairs),
            }
        )
    return rows


def _pairs(prompt: Prompt, measured: Measurement, layers: Sequence[int], moves: int, seed: int) -> list[_Pair]:
    """Each node's last word that asks for a neighbour, paired with targets that have other neighbours than the node.

    Only nodes that have a mean in each of the layers: a node has none where all of its words are massive.
    """
    rows = [measured.layers.index(layer) for layer in layers]
    missing = {int(node) for node in np.argwhere(np.isnan(measured.means_LND[rows, :, 0]))[:, 1]}
    adjacency = prompt.graph.adjacency
    last = {int(prompt.nodes_W[word]): int(word) for word in np.flatnonzero(prompt.asks_W)}
    possible = [
        _Pair(word, node, target)
        for node, word in sorted(last.items())
        for target in range(prompt.graph.nodes)
        if not missing & {node, target} and (adjacency[target] > adjacency[node]).any()
    ]
    order = np.random.default_rng(item_seed(seed, "moves")).permutation(len(possible))[:moves]
    return [possible[i] for i in order]


def _shifts(
    measured: Measurement, layer: int, pairs: Sequence[_Pair], dimensions: int, seed: int
) -> dict[str, list[Floats]]:
    means_ND = measured.means_LND[measured.layers.index(layer)].astype(np.float64)
    there = means_ND[~np.isnan(means_ND[:, 0])]
    directions_KD = np.linalg.svd(there - there.mean(axis=0), full_matrices=False)[2][:dimensions]
    rng = np.random.default_rng(item_seed(seed, "directions", layer))
    found: dict[str, list[Floats]] = {name: [] for name in SHIFTS}
    for pair in pairs:
        whole_D = means_ND[pair.target] - means_ND[pair.node]
        along_D = whole_D @ directions_KD.T @ directions_KD
        random_D = rng.standard_normal(len(whole_D))
        random_D *= np.linalg.norm(along_D) / np.linalg.norm(random_D)
        for name, shift_D in zip(SHIFTS, (along_D, whole_D - along_D, whole_D, random_D), strict=True):
            found[name].append(shift_D)
    return found


def _move(prompt: Prompt, pair: _Pair, layer: int, shift_D: Floats, reader: Reader) -> Move:
    shift = torch.from_numpy(shift_D.astype(np.float32)).to(reader.device)
    return Move(int(prompt.places_W[pair.word]), layer, shift)


def _predicted(reader: Reader, prompt: Prompt, hidden_MD: Tensor) -> Floats:
    word_ids = torch.tensor(prompt.word_ids, device=reader.device)
    parts = torch.split(hidden_MD, POSITIONS)
    return np.concatenate([next_words(reader.model, part, word_ids) for part in parts]).astype(np.float64)
