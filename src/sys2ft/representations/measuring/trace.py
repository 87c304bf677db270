"""Runs the measurements of a study in a run folder, one context per work unit.

The small results of a unit are a JSON file, its arrays an .npz file next to it. The .npz file is written first, so the
JSON file marks both as complete. `analyses.results` reads them; nothing here interprets the measurements.
"""

from __future__ import annotations

import io
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sys2ft.engine.adapters.bank import BASE, AdapterBank
from sys2ft.engine.trace import Reader
from sys2ft.models import LoadedModel
from sys2ft.replay import GenerateSettings
from sys2ft.representations.graphs.graph import Graph
from sys2ft.representations.graphs.prompts import Order, Prompt
from sys2ft.representations.measuring.learn import learn
from sys2ft.representations.measuring.one_pass import Measurement, measure
from sys2ft.representations.measuring.probes import head_scores, heads_to_switch_off, move_representations, switched_off
from sys2ft.representations.plan import Plan
from sys2ft.runs import Display, Run, item_seed, write_bytes, write_json
from sys2ft.training import TrainSettings

ROOT = "represent"
IN_WEIGHTS: tuple[tuple[str, Order | None, int], ...] = (
    ("base", "random", 0),
    ("base", "random", 1),
    ("learnt", "random", 1),
    ("learnt", None, 0),
)
"""Contexts measured for each learnt placement besides the base on the walk: subject, order of the words (None: along
the graph) and number of the draw. There are two random draws, because two differences to one measurement would share
its noise."""


def trace(
    run: Run,
    model: LoadedModel,
    plan: Plan,
    *,
    bank: AdapterBank | None = None,
    generating: GenerateSettings,
    training: TrainSettings,
    show: Display,
) -> None:
    """Measure everything in `plan` that the folder does not contain yet. With `bank`, read through its slot 0."""
    study = _Study(run, model, plan, bank, show)
    write_json(run.path / ROOT / "plan.json", study.described())
    for graph in plan.graphs:
        study.contexts(graph)
    if plan.settings.walks_probed:
        study.heads()
    if plan.settings.learn:
        for graph in plan.graphs:
            study.weights(graph, generating, training)


class _Study:
    def __init__(self, run: Run, model: LoadedModel, plan: Plan, bank: AdapterBank | None, show: Display) -> None:
        self.run, self.model, self.plan, self.show = run, model, plan, show
        self.settings = plan.settings
        self.seed: int = run.record["seed"]
        slot = BASE if bank is None else 0
        self.reader = Reader(model=model.model, bank=bank, slot=slot, tokens_at_once=self.settings.chunk)

    def described(self) -> dict[str, Any]:
        """What the analyses need to know about the plan."""
        return {
            "layers": list(self.plan.layers),
            "focus": self.plan.focus,
            "lengths": list(self.plan.lengths),
            "walks_probed": self.plan.settings.walks_probed,
            "graphs": [graph.to_dict() for graph in self.plan.graphs],
        }

    def contexts(self, graph: Graph) -> None:
        """Measure every walk of a graph, with interventions on the first ones."""
        with self.show.task(f"{graph.name}: contexts", self.settings.walks) as advance:
            for walk in range(self.settings.walks):
                key = f"{ROOT}/{graph.slug}/walk-{walk:02d}"
                self.run.memoise(key, partial(self._context, graph, walk, self.run.path / f"{key}.npz"))
                advance(1)

    def _context(self, graph: Graph, walk: int, file: Path) -> dict[str, Any]:
        begun = time.perf_counter()
        prompt = self.plan.prompt(self.model, graph, walk, self.seed)
        measured = self._measure(self.reader, prompt)
        read = time.perf_counter()
        moved: list[dict[str, Any]] = []
        if walk < self.settings.walks_probed:
            moved = move_representations(
                self.reader,
                prompt,
                measured,
                layers=self.plan.depths,
                dimensions=self.settings.dimensions,
                moves=self.settings.moves,
                seed=item_seed(self.seed, "moves", graph.name, walk),
            )
        _write_arrays(file, prompt, measured)
        return {
            "words": list(prompt.words),
            "tokens": len(prompt.tokens),
            "massive": measured.massive_L,
            "moves": moved,
            "seconds": {"reading": round(read - begun, 3), "moving": round(time.perf_counter() - read, 3)},
        }

    def _measure(self, reader: Reader, prompt: Prompt) -> Measurement:
        return measure(
            reader,
            prompt,
            lengths=self.plan.lengths,
            layers=self.plan.layers,
            window=self.settings.window,
            skip=self.settings.skip,
            massive=self.settings.massive,
        )

    def heads(self) -> None:
        """Score all heads, then read contexts with some of them switched off."""
        scores = self.run.memoise(f"{ROOT}/heads", self._head_scores)
        prefix_LH, previous_LH = np.array(scores["prefix_matching"]), np.array(scores["previous_token"])
        for graph in self.plan.graphs:
            with self.show.task(f"{graph.name}: heads off", self.settings.walks_probed) as advance:
                for walk in range(self.settings.walks_probed):
                    chosen = heads_to_switch_off(
                        prefix_LH, previous_LH, self.settings.heads, item_seed(self.seed, "heads", graph.name, walk)
                    )
                    key = f"{ROOT}/{graph.slug}/heads-off-{walk:02d}"
                    self.run.memoise(key, partial(self._heads_off, graph, walk, chosen))
                    advance(1)

    def _head_scores(self) -> dict[str, Any]:
        prefix_LH, previous_LH = head_scores(self.reader, self.model.tokenizer, self.seed)
        return {"prefix_matching": prefix_LH.tolist(), "previous_token": previous_LH.tolist()}

    def _heads_off(self, graph: Graph, walk: int, chosen: dict[str, list[tuple[int, int]]]) -> dict[str, Any]:
        begun = time.perf_counter()
        prompt = self.plan.prompt(self.model, graph, walk, self.seed)
        prompt = prompt.head(self.settings.words_probed)
        found = {
            name: switched_off(
                self.reader,
                prompt,
                heads,
                layers=self.plan.layers,
                window=self.settings.window,
                skip=self.settings.skip,
                massive=self.settings.massive,
            )
            for name, heads in chosen.items()
        }
        return {"words": len(prompt.nodes_W), "off": found, "seconds": round(time.perf_counter() - begun, 3)}

    def weights(self, graph: Graph, generating: GenerateSettings, training: TrainSettings) -> None:
        """Train adapters on the edges of the first placements, and measure with and without them."""
        walks = {f"{graph.slug}-{walk:02d}": walk for walk in range(self.settings.learn)}
        prompts = {name: self.plan.prompt(self.model, graph, walk, self.seed) for name, walk in walks.items()}
        folder = f"{ROOT}/{graph.slug}/learn"
        bank, names = learn(self.run, self.model, prompts, folder, generating, training, seed=self.seed, show=self.show)
        try:
            with self.show.task(f"{graph.name}: in weights", len(names) * len(IN_WEIGHTS)) as advance:
                for slot, name in enumerate(names):
                    for subject, order, draw in IN_WEIGHTS:
                        key = f"{folder}/{name}/{context_name(subject, order, draw)}"
                        reader = self.reader
                        if subject == "learnt":
                            reader = Reader(
                                model=self.model.model, bank=bank, slot=slot, tokens_at_once=reader.tokens_at_once
                            )
                        compute = partial(self._in_weights, reader, graph, walks[name], order, draw, key)
                        self.run.memoise(key, compute)
                        advance(1)
        finally:
            bank.close()

    def _in_weights(
        self, reader: Reader, graph: Graph, walk: int, order: Order | None, draw: int, key: str
    ) -> dict[str, Any]:
        prompt = self.plan.prompt(self.model, graph, walk, self.seed, order, draw)
        _write_arrays(self.run.path / f"{key}.npz", prompt, self._measure(reader, prompt))
        return {"words": list(prompt.words), "tokens": len(prompt.tokens)}


def context_name(subject: str, order: Order | None, draw: int) -> str:
    """The file name of an entry of IN_WEIGHTS."""
    return f"{subject}-{order or 'graph'}-{draw}"


def _write_arrays(file: Path, prompt: Prompt, measured: Measurement) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        nodes_W=prompt.nodes_W.astype(np.int32),
        asks_W=prompt.asks_W,
        probability_WN=measured.probability_WN,
        distances_LCP=measured.distances_LCP,
    )
    write_bytes(file, buffer.getvalue())
