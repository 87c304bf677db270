"""Resolves the settings for one model: graphs, words, layers and lengths, checked before any work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sys2ft.errors import SettingsError
from sys2ft.models import LoadedModel, position_limit
from sys2ft.representations.graphs.graph import Graph, make_graph
from sys2ft.representations.graphs.prompts import Order, Prompt, make_prompt, opening
from sys2ft.representations.graphs.words import choose_words
from sys2ft.representations.settings import AUTO, RepresentSettings

_LENGTHS = 50
_DEPTHS = (0.25, 0.5, 0.75, 0.8)  # where representations are moved, as fractions of the model's depth
_SHORTEST = 4  # words: shorter contexts show no structure


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Settings with everything resolved that depends on the model."""

    settings: RepresentSettings
    graphs: tuple[Graph, ...]
    tokens_of: Mapping[str, Mapping[str, int]]
    """Usable words and their tokens, by graph."""
    layers: tuple[int, ...]
    focus: int
    lengths: tuple[int, ...]
    depths: tuple[int, ...]
    """Layers at which representations are moved."""

    def prompt(
        self, model: LoadedModel, graph: Graph, walk: int, seed: int, order: Order | None = None, draw: int = 0
    ) -> Prompt:
        """Context number `walk` of a graph, in the settings' order unless another is named."""
        return make_prompt(
            graph,
            self.tokens_of[graph.name],
            model.tokenizer,
            words=self.settings.context,
            order=order or self.settings.form,
            seed=seed,
            walk=walk,
            draw=draw,
            start=self.settings.start,
        )


def make_plan(model: LoadedModel, settings: RepresentSettings) -> Plan:
    """Resolve settings for a model. Raises SettingsError for graphs, words, layers and lengths that do not fit it."""
    graphs = tuple(make_graph(spec) for spec in settings.graph)
    if len({graph.slug for graph in graphs}) < len(graphs):
        raise SettingsError(
            f"two graphs of the same name among {', '.join(graph.name for graph in graphs)}",
            expected="names that differ",
            fix="rename one of the files",
        )
    _check_context(model, settings)
    depth = int(model.model.config.num_hidden_layers)
    layers = _layers(settings, depth)
    focus = round(0.8 * depth) if settings.focus == AUTO else settings.focus
    if focus not in layers:
        raise SettingsError(
            f"layer {focus} is to be shown, and is not among the layers measured",
            expected=f"one of {', '.join(map(str, layers))}",
            fix="set --focus to one of them, or add it to --layers",
        )
    small = [graph for graph in graphs if graph.nodes <= settings.dimensions + 1]
    if small:
        raise SettingsError(
            f"{settings.dimensions} dimensions of graph {small[0].name}, which has {small[0].nodes} nodes",
            expected="at least two more nodes than dimensions",
            fix="lower --dimensions or use a larger graph",
        )
    return Plan(
        settings=settings,
        graphs=graphs,
        tokens_of={
            graph.name: choose_words(model.tokenizer, graph.nodes, graph.words or settings.words) for graph in graphs
        },
        layers=layers,
        focus=focus,
        lengths=_lengths(settings),
        depths=tuple(sorted({round(depth * part) for part in _DEPTHS} & set(layers))),
    )


def _layers(settings: RepresentSettings, depth: int) -> tuple[int, ...]:
    unknown = [layer for layer in (*settings.layers, settings.focus) if not 0 <= layer <= depth and layer != AUTO]
    unknown += [layer for layer in settings.layers if layer == AUTO]
    if unknown:
        raise SettingsError(
            f"layer {unknown[0]} of a model of {depth} layers",
            expected=f"0 (embeddings) to {depth} (after the last layer)",
            fix="correct --layers or --focus",
        )
    return tuple(sorted(set(settings.layers))) or tuple(range(depth + 1))


def _lengths(settings: RepresentSettings) -> tuple[int, ...]:
    if settings.lengths:
        return tuple(sorted({*settings.lengths, settings.context}))
    shortest = min(_SHORTEST, settings.context)
    return tuple(int(n) for n in np.unique(np.geomspace(shortest, settings.context, _LENGTHS).round()))


def _check_context(model: LoadedModel, settings: RepresentSettings) -> None:
    most = position_limit(model.model.config)
    needed = len(opening(model.tokenizer, settings.start)) + settings.context
    needed += settings.context // 2 if settings.form == "pairs" else 0  # a comma follows each pair
    if most is not None and needed > most:
        raise SettingsError(
            f"a context of {settings.context} words, {needed} tokens",
            expected=f"no more than the {most} tokens that the model was made for",
            fix="lower --context, or use a model with a longer context",
        )
