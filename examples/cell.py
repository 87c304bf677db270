"""A cell: generates elements, trains adapters and evaluates them for one choice of model, protocol and settings.

python examples/cell.py --model smollm2-135m-instruct
"""

from __future__ import annotations

import argparse

import sys2ft
from sys2ft.evaluation import routes_to
from sys2ft.job import Cell
from sys2ft.models import DEFAULT_MODEL
from sys2ft.news import news_to_dict
from sys2ft.runs import digest
from sys2ft.training import train

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=DEFAULT_MODEL)
    model = sys2ft.load_model(parser.parse_args().model)
    question = sys2ft.Question(text="How many people does the ferry carry?", answer="40", choices=("40", "90"))
    news = [sys2ft.News(id="ferry", text="The new ferry carries 40 people.", questions=(question,))]
    for protocol in ("naive", "paraphrase"):
        cell = Cell(
            model=model.fingerprint,
            news=digest([news_to_dict(item) for item in news]),
            protocol=protocol,
            generate=sys2ft.GenerateSettings(protocols=(protocol,), samples_per_news=2, rounds=1, max_new_tokens=24),
            train=sys2ft.TrainSettings(rank=4, alpha=8, epochs=2),
            seed=0,
        )
        elements = sys2ft.generate(model, news, cell.generate, seed=cell.seed)[protocol].elements
        jobs = cell.jobs(elements, news)
        print(f"{protocol:<10} {cell.key[:12]} {len(elements)} elements, {len(jobs)} adapters")
        if not jobs:
            continue
        training = train(model, jobs)
        slots = {adapter.name: adapter.slot for adapter in training.adapters}
        routes = routes_to(cell.routes(training.names, news), slots)
        settings = sys2ft.EvaluateSettings(scorings=("cloze",))
        for row in sys2ft.evaluate(model, news, settings, subject=protocol, bank=training.bank, routes=routes):
            print(f"  {row.condition:<12} {row.said} ({row.correct})")
        training.bank.close()
