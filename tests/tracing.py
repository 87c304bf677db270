"""A tiny model whose tokenizer keeps common words, the days and the months whole, so that graphs can be traced; and
folders of pretended studies, whose truth is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers import DynamicCache

from conftest import CHATML, SPECIAL_TOKENS, build_model
from known_run import known_model
from sys2ft.representations import RepresentSettings, geometry, make_graph
from sys2ft.representations.graphs.graph import DAYS, MONTHS, Graph
from sys2ft.representations.graphs.prompts import Prompt
from sys2ft.representations.graphs.words import COMMON
from sys2ft.representations.measuring.one_pass import Measurement
from sys2ft.representations.measuring.trace import ROOT, _Study
from sys2ft.representations.plan import Plan
from sys2ft.representations.study import _open as open_study
from sys2ft.runs import Display, write_json

WORDS = [*COMMON[:40], *DAYS, *MONTHS, "the", "word", "linked", "Which"]
LAYERS = (0, 1, 2)
"""Layers of a pretended study."""


def word_tokenizer() -> Any:
    """A byte-level BPE trained on the words alone, so that each becomes one token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([" " + " ".join(WORDS) + ", , the " * 3] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = CHATML
    return tokenizer


def save_tracing_model(folder: Path, family: str = "llama", **changes: Any) -> Path:
    tokenizer = word_tokenizer()
    build_model(family, len(tokenizer), **changes).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def pretend_study(
    folder: Path,
    graphs: Sequence[str],
    *,
    walks: int = 8,
    context: int = 1000,
    strength: float = 2.0,
    energy_onset: float = 30.0,
    accuracy_onset: float = 100.0,
    scaling: float = 0.0,
) -> None:
    """The files of a study whose nodes take their graph's shape, from layer 1 of 2 on, as the context grows.

    Onsets are those of a graph of nine nodes; others have theirs later by a power `scaling` of their size. A graph with
    a prior has it as its strongest components from the beginning.
    """
    settings = RepresentSettings(graph=tuple(graphs), context=context, walks=walks, probe_walks=0)
    lengths = tuple(int(n) for n in np.unique(np.geomspace(4, context, 40).round()))

    def pretend(graph: Graph, walk: int) -> PretendedPrompt:
        later = (graph.nodes / 9) ** scaling
        return _pretend_walk(graph, walk, lengths, strength, energy_onset * later, accuracy_onset * later)

    plan = PretendedPlan(
        settings=settings,
        graphs=tuple(make_graph(name) for name in graphs),
        tokens_of={},
        layers=LAYERS,
        focus=2,
        lengths=lengths,
        depths=(),
        pretend=pretend,
    )
    model = replace(known_model(), model=build_model("llama", 16))  # never read
    run = open_study(folder, model, None, 0, "")
    run.record["name"] = "pretended"  # saved with the stage
    run.stage("represent", asdict(settings))
    study = PretendedStudy(run, model, plan, None, Display())
    write_json(run.path / ROOT / "plan.json", study.described())
    for graph in plan.graphs:
        study.contexts(graph)


@dataclass(frozen=True, slots=True, kw_only=True)
class PretendedPrompt(Prompt):
    """A context with what its measurement is to find."""

    measured: Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class PretendedPlan(Plan):
    """A plan whose contexts are pretended."""

    pretend: Callable[[Graph, int], PretendedPrompt]

    def prompt(self, model: Any, graph: Graph, walk: int, *_: Any) -> Prompt:
        return self.pretend(graph, walk)


class PretendedStudy(_Study):
    """A study that reads no model."""

    def _measure(self, reader: Any, prompt: Any) -> Measurement:
        measured: Measurement = prompt.measured
        return measured


def _pretend_walk(
    graph: Graph,
    walk: int,
    lengths: tuple[int, ...],
    strength: float,
    energy_onset: float,
    right_onset: float,
) -> PretendedPrompt:
    rng = np.random.default_rng([walk, graph.nodes])
    embedding = geometry.spectral_embedding(graph.adjacency, 2) * np.sqrt(graph.nodes)
    vectors = rng.standard_normal((graph.nodes, 60)) / np.sqrt(60)
    if graph.prior is not None:
        usual = geometry.spectral_embedding(graph.prior, 2) * np.sqrt(graph.nodes)
        vectors = 0.3 * vectors + np.concatenate([2 * strength * usual, np.zeros((graph.nodes, 58))], axis=1)
    axes = np.linalg.qr(rng.standard_normal((60, embedding.shape[1])))[0].T
    axes[:, :2] = 0.0
    distances = np.zeros((3, len(lengths), graph.nodes * (graph.nodes - 1) // 2), dtype=np.float32)
    for layer in range(3):
        for c, length in enumerate(lengths):
            grown = np.clip(np.log10(length / energy_onset), 0.0, 0.7) / 0.7 * (layer > 0)
            noise = 0.2 * rng.standard_normal((graph.nodes, 60)) / np.sqrt(60)
            points = vectors + strength * grown * embedding @ axes + noise
            distances[layer, c] = geometry.pairs_of(np.square(points[:, None] - points[None]).sum(axis=-1))
    nodes = [walk % graph.nodes]
    while len(nodes) < lengths[-1]:
        nodes.append(int(rng.choice(graph.neighbours(nodes[-1]))))
    right = 0.1 + 0.7 * np.clip(np.log10(np.arange(1, len(nodes) + 1) / right_onset), 0.0, 0.7) / 0.7
    right = right + 0.03 * rng.standard_normal(len(nodes))
    shares = graph.adjacency[nodes] / graph.adjacency[nodes].sum(axis=1, keepdims=True)
    tokens = list(range(len(nodes)))
    return PretendedPrompt(
        graph=graph,
        words=tuple(graph.words or COMMON[: graph.nodes]),
        word_ids=tuple(range(graph.nodes)),
        tokens=tokens,
        nodes_W=np.array(nodes),
        places_W=np.array(tokens),
        asks_W=np.ones(len(nodes), dtype=bool),
        measured=Measurement(
            lengths=lengths,
            layers=LAYERS,
            distances_LCP=distances,
            means_LND=np.empty((len(LAYERS), graph.nodes, 0), dtype=np.float32),
            probability_WN=(shares * right[:, None]).astype(np.float32),
            massive_L=(0, 1, 2),
            past=DynamicCache(),
        ),
    )
