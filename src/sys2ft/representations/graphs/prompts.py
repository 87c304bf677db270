"""Contexts: words assigned to the nodes of a graph, and a sequence of them along the graph or at random.

Shapes: T tokens, W words of the context.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sys2ft.errors import SettingsError
from sys2ft.representations.graphs.graph import Graph
from sys2ft.runs import item_seed

Ints = npt.NDArray[np.int64]
Order = Literal["walk", "pairs", "random"]
"""How words follow each other: along the graph, in pairs of neighbours, or at random (no information on the graph)."""

_SEPARATOR = ","
AUTO_START, NO_START = "auto", "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One context. Its text begins with a space, so that the first word is the same token as its later occurrences."""

    graph: Graph
    words: tuple[str, ...]
    """The word of each node."""
    word_ids: tuple[int, ...]
    """The token of each node's word."""
    tokens: list[int]
    nodes_W: Ints
    """The node of each word of the context."""
    places_W: Ints
    """The token position of each word."""
    asks_W: npt.NDArray[np.bool_]
    """Whether the next word must be a neighbour: true for all words of a walk, and for the first of each pair."""

    def head(self, words: int) -> Prompt:
        """The first `words` words of the context. Attention is causal, so the model reads them in the same way."""
        return Prompt(
            graph=self.graph,
            words=self.words,
            word_ids=self.word_ids,
            tokens=self.tokens[: int(self.places_W[words - 1]) + 1],
            nodes_W=self.nodes_W[:words],
            places_W=self.places_W[:words],
            asks_W=self.asks_W[:words],
        )


def make_prompt(
    graph: Graph,
    tokens_of: Mapping[str, int],
    tokenizer: Any,
    *,
    words: int,
    order: Order,
    seed: int,
    walk: int,
    draw: int = 0,
    start: str = AUTO_START,
) -> Prompt:
    """Context number `walk` of a graph: its words, their placement on the nodes, and their sequence, each seeded.

    `tokens_of` maps usable words to their tokens. Walks start at node `walk` modulo the number of nodes, so that all
    nodes take turns. The placement depends on neither `order` nor `draw`, the number of the random sequence.
    """
    named = _placed(graph, tokens_of, seed, walk)
    rng = np.random.default_rng(item_seed(seed, order, graph.name, walk, draw))
    nodes_W = _SEQUENCES[order](graph, words, walk % graph.nodes, rng)
    ids = [tokens_of[word] for word in named]
    before = opening(tokenizer, start)
    tokens, places = list(before), []
    comma = _comma(tokenizer) if order == "pairs" else 0
    for k, node in enumerate(nodes_W):
        places.append(len(tokens))
        tokens.append(ids[node])
        if order == "pairs" and k % 2 == 1:
            tokens.append(comma)
    prompt = Prompt(
        graph=graph,
        words=named,
        word_ids=tuple(ids),
        tokens=tokens,
        nodes_W=nodes_W,
        places_W=np.array(places),
        asks_W=np.arange(words) % 2 == 0 if order == "pairs" else np.ones(words, dtype=bool),
    )
    _check_text(prompt, tokenizer, len(before), order == "pairs")
    return prompt


def _placed(graph: Graph, tokens_of: Mapping[str, int], seed: int, walk: int) -> tuple[str, ...]:
    if graph.words:
        return graph.words
    rng = np.random.default_rng(item_seed(seed, "words", graph.name, walk))
    usable = list(tokens_of)
    return tuple(usable[i] for i in rng.permutation(len(usable))[: graph.nodes])


def _walk(graph: Graph, words: int, start: int, rng: np.random.Generator) -> Ints:
    neighbours = [graph.neighbours(node) for node in range(graph.nodes)]
    nodes = [start]
    for number in rng.random(words - 1):
        around = neighbours[nodes[-1]]
        nodes.append(around[int(number * len(around))])
    return np.array(nodes)


def _pairs(graph: Graph, words: int, start: int, rng: np.random.Generator) -> Ints:
    edges = np.array(graph.edges)
    drawn = edges[rng.integers(len(edges), size=-(-words // 2))]
    swap = rng.random(len(drawn)) < 0.5
    drawn[swap] = drawn[swap][:, ::-1]
    return drawn.reshape(-1)[:words].astype(np.int64)


def _random(graph: Graph, words: int, start: int, rng: np.random.Generator) -> Ints:
    # As on a walk, no word follows itself.
    steps = rng.integers(1, graph.nodes, size=words)
    steps[0] = start
    return np.cumsum(steps) % graph.nodes


_SEQUENCES = {"walk": _walk, "pairs": _pairs, "random": _random}


def opening(tokenizer: Any, start: str) -> list[int]:
    """The tokens before the first word: those that the tokenizer puts before every text, and those of `start`.

    The first token of a text serves as an attention sink (Xiao et al., "Efficient Streaming Language Models with
    Attention Sinks", arXiv 2309.17453). If that token is one of the words, its later occurrences act as sinks too, and
    predictions break down. Therefore 'auto' puts the end-of-text token first, as between two documents, unless the
    tokenizer itself begins every text with a special token.
    """
    plain = _encode(tokenizer, "the")
    whole: list[int] = tokenizer("the", verbose=False)["input_ids"]
    own = next((whole[:k] for k in range(len(whole)) if whole[k : k + len(plain)] == plain), [])
    if start == NO_START:
        return own
    if start == AUTO_START:
        return own or [token for token in (tokenizer.eos_token_id,) if token is not None]
    return own + _encode(tokenizer, start)


def _comma(tokenizer: Any) -> int:
    found = _encode(tokenizer, f"the{_SEPARATOR}")[len(_encode(tokenizer, "the")) :]
    if len(found) != 1:
        raise SettingsError(
            "a comma after a word is not one token of this model",
            expected="one token to separate pairs",
            fix="use --form walk",
        )
    return found[0]


def _check_text(prompt: Prompt, tokenizer: Any, opening: int, pairs: bool) -> None:
    """Check that the tokens are those of the text: looked up one by one, words might merge with a neighbour."""
    shown = [prompt.words[node] + (_SEPARATOR if pairs and k % 2 == 1 else "") for k, node in enumerate(prompt.nodes_W)]
    ids = _encode(tokenizer, "the " + " ".join(shown))[len(_encode(tokenizer, "the")) :]
    if ids != prompt.tokens[opening:]:
        raise SettingsError(
            f"the words {', '.join(prompt.words[:4])} ... merge with each other in this model's tokens",
            expected="words that remain one token each next to any other",
            fix="choose other words with --words",
        )


def _encode(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids
