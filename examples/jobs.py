"""Adapter jobs and routes: adapters with different settings share a bank, and a control asks the wrong adapter.

python examples/jobs.py --model smollm2-135m-instruct
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import sys2ft
from sys2ft.evaluation import Route
from sys2ft.models import DEFAULT_MODEL
from sys2ft.training import AdapterJob, train

NEWS = [
    sys2ft.News(id=name, text=text, questions=(sys2ft.Question(text=asked, answer=answer, choices=choices),))
    for name, text, asked, answer, choices in (
        ("ferry", "The new ferry carries 40 people.", "How many people does the ferry carry?", "40", ("40", "90")),
        ("tower", "The old tower has 90 steps.", "How many steps does the tower have?", "90", ("40", "90")),
    )
]

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=DEFAULT_MODEL)
    model = sys2ft.load_model(parser.parse_args().model)
    how = sys2ft.TrainSettings(rank=4, alpha=8, epochs=4, batch_size=1)
    rates = {"ferry": 1e-3, "tower": 5e-4}
    jobs = [
        AdapterJob(
            name=item.id,
            items=(
                sys2ft.TrainItem(
                    adapter=item.id,
                    prompt=({"role": "user", "content": item.questions[0].text},),
                    completion=item.questions[0].answer,
                ),
            ),
            settings=replace(how, learning_rate=rates[item.id]),
            seed=seed,
            group=f"seed-{seed}",
        )
        for seed in (0, 1)
        for item in NEWS
    ]
    training = train(model, jobs)
    print(f"{len(jobs)} adapters in one bank of {training.bank.slots} slots")
    own = {item.id: Route(training.slots[f"seed-0/{item.id}"], item.id) for item in NEWS}
    wrong = {"ferry": own["tower"], "tower": own["ferry"]}
    settings = sys2ft.EvaluateSettings(scorings=("cloze",))
    for name, routes in (("own", own), ("wrong", wrong)):
        for row in sys2ft.evaluate(model, NEWS, settings, subject=name, bank=training.bank, routes=routes):
            if row.condition == "closed_book":
                print(f"{name:<6} {row.news_id} asked of {row.adapter}: {row.said} ({row.why})")
    training.bank.close()
