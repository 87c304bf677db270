"""An executor: counts the units of an evaluation, then computes them in a worker process.

python examples/executor.py --model smollm2-135m-instruct
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import sys2ft
from sys2ft.evaluation import Answerer, Questions, Subject, unit_needs
from sys2ft.models import DEFAULT_MODEL
from sys2ft.runs import Unit

_context: Answerer | None = None


def start_worker(model: str) -> None:
    """Load the context, which cannot be sent: each worker has its own copy of the model."""
    global _context
    _context = Answerer(sys2ft.load_model(model))


def compute(unit: Unit) -> dict[str, Any]:
    """Compute a unit in the worker; a unit is plain data and the name of a function, so it can be pickled."""
    return unit.compute(_context)


class Processes:
    """Sends units to worker processes on this machine; a cluster client could send them to other machines."""

    def __init__(self, model: str, workers: int = 1) -> None:
        self.pool = ProcessPoolExecutor(workers, get_context("spawn"), start_worker, (model,))

    def map(self, units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
        return self.pool.map(compute, units)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=DEFAULT_MODEL)
    name = parser.parse_args().model
    model = sys2ft.load_model(name)
    question = sys2ft.Question(text="How many people does the ferry carry?", answer="40", choices=("40", "90"))
    news = [sys2ft.News(id="ferry", text="The new ferry carries 40 people.", questions=(question,))]
    settings = sys2ft.EvaluateSettings(scorings=("cloze", "letter"))
    for unit in Questions(settings).units(Subject(), news, seed=0):
        print(f"{unit.key}: {unit_needs(model, unit).tokens} tokens by {unit.function}")
    executor = Processes(name)
    there = sys2ft.evaluate(model, news, settings, executor=executor)
    here = sys2ft.evaluate(model, news, settings)
    print(f"{len(there)} predictions, {'the same' if there == here else 'other ones'} in this process")
    executor.pool.shutdown()
