"""A run of many short news items with a tiny model, in a process of its own: prints the peak memory of each stage.

python tests/scaled_run.py MODEL OUT --news 10000 --samples 64
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

import sys2ft
from sys2ft.job import evaluate_stage, finish, generate_stage, open_run, portions, train_stage
from sys2ft.models import load_model
from sys2ft.runs import Display


def short_news(count: int) -> list[sys2ft.News]:
    """News items in the words of `talking`, each with one question."""
    places = ["Paris", "France", "the town", "the capital", "the system"]
    made = []
    for number in range(count):
        text = f"In {number}, {places[number % 5]} had {number * 7 % 1000} people. {places[number % 3]} is the answer."
        question = sys2ft.Question(
            text=f"How many people were there in {number}?",
            answer=f"{number * 7 % 1000}",
            choices=(f"{number * 7 % 1000}", "1001"),
        )
        made.append(sys2ft.News(id=f"n{number:05d}", text=text, questions=(question,)))
    return made


class Peak:
    """The largest resident memory of this process within a block, in MiB, and the time."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        process, most, ended = psutil.Process(), [0], threading.Event()

        def look() -> None:
            while not ended.wait(0.05):
                most[0] = max(most[0], process.memory_info().rss)

        thread, begun = threading.Thread(target=look, daemon=True), time.perf_counter()
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.found[name] = {"MiB": round(most[0] / 2**20), "seconds": round(time.perf_counter() - begun, 1)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--news", type=int, required=True)
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--portion", type=int, default=portions.PORTION)
    parser.add_argument("--adapters", choices=("per-news", "joint"), default="per-news")
    given = parser.parse_args()
    portions.PORTION = given.portion
    model = load_model(str(given.model), dtype="float32", device="cpu")
    run, show, peak = open_run(given.out, model, short_news(given.news), seed=0), Display(), Peak()
    generate = sys2ft.GenerateSettings(
        protocols=("paraphrase",), samples_per_news=given.samples, max_new_tokens=8, rounds=1, checks=("none",)
    )
    train = sys2ft.TrainSettings(adapters=given.adapters, epochs=1, batch_size=64, rank=1)
    evaluate = sys2ft.EvaluateSettings(scorings=("cloze",), controls=("none",))
    with peak.of("generate"):
        generate_stage(run, model, generate, show, train=train)
    with peak.of("train"):
        train_stage(run, model, train, show)
    with peak.of("evaluate"):
        evaluate_stage(run, model, evaluate, show)
    with peak.of("report"):
        finish(run)
    print(json.dumps(peak.found))


if __name__ == "__main__":
    main()
