"""The same structure learnt in weights: the edges of the graph as news items, trained into an adapter.

Each placement of the words gets its own adapter; all are trained in one batch. Closed-book knowledge is measured by
multiple choice, and representations on two kinds of context: the walk, and words in random order. The latter carries no
information about the graph, so any structure found there comes from the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sys2ft.engine import Bank
from sys2ft.evaluation import EvaluateSettings, Route, evaluate
from sys2ft.models import LoadedModel
from sys2ft.news import News, Question, news_to_dict
from sys2ft.replay import GenerateSettings, Schedule, generate
from sys2ft.representations.graphs.prompts import Prompt
from sys2ft.runs import Below, Display, Run, item_seed, write_json, write_jsonl
from sys2ft.training import JOINT, Checkpoint, TrainItem, TrainSettings, jobs_of, learner_of, train

_WRONG_CHOICES = 3


def edge_news(prompt: Prompt, name: str, seed: int) -> list[News]:
    """One news item per edge, with a multiple-choice question: which of the words is a neighbour?"""
    found = []
    for i, j in prompt.graph.edges:
        rng = np.random.default_rng(item_seed(seed, "question", name, i, j))
        asked, answer = (i, j) if rng.random() < 0.5 else (j, i)
        strangers = [n for n in range(prompt.graph.nodes) if n != asked and not prompt.graph.adjacency[asked, n]]
        wrong = rng.permutation(strangers)[:_WRONG_CHOICES]
        a, b, choices = prompt.words[i], prompt.words[j], [prompt.words[n] for n in (answer, *wrong)]
        found.append(
            News(
                id=f"{name}-{i}-{j}",
                domain="graph",
                text=f"The word {a} is linked to the word {b}, and the word {b} is linked to the word {a}.",
                questions=(
                    Question(
                        text=f"Which word is the word {prompt.words[asked]} linked to?",
                        answer=prompt.words[answer],
                        choices=tuple(choices) if len(choices) > 1 else (),
                        kind="recall",
                    ),
                ),
            )
        )
    return found


def learn(
    run: Run,
    model: LoadedModel,
    prompts: Mapping[str, Prompt],
    folder: str,
    generating: GenerateSettings,
    training: TrainSettings,
    *,
    seed: int,
    show: Display,
) -> tuple[Bank, list[str]]:
    """Adapters trained on the edges of each named placement, and their names by slot; stored under `folder`."""
    place = run.path / folder
    news = {name: edge_news(prompt, name, seed) for name, prompt in prompts.items()}
    if not (place / "training.json").is_file():
        write_jsonl(place / "news.jsonl", (news_to_dict(item) for own in news.values() for item in own))
        items = _elements(
            run,
            model,
            news,
            folder,
            generating,
            Schedule(epochs=training.epochs, batch_size=training.batch_size),
            seed,
            show,
        )
        _train(run, model, items, place, training, seed, show)
    names = [name for name in prompts if (place / "adapters" / name).is_dir()]  # adapters that diverged are not saved
    learner = learner_of(training)
    bank = learner.bank(model.model, max(1, len(names)))
    for slot, name in enumerate(names):
        learner.load(bank, slot, place / "adapters" / name)
        _ask(run, model, news[name], bank, slot, f"{folder}/{name}", seed, show)
    return bank, names


def _elements(
    run: Run,
    model: LoadedModel,
    news: Mapping[str, Sequence[News]],
    folder: str,
    settings: GenerateSettings,
    schedule: Schedule,
    seed: int,
    show: Display,
) -> list[TrainItem]:
    owner = {item.id: name for name, own in news.items() for item in own}
    texts = {item.id: item.text for own in news.values() for item in own}
    every = [item for own in news.values() for item in own]
    replays = generate(model, every, settings, seed=seed, memo=Below(run, folder), show=show, schedule=schedule)
    for protocol, replay in replays.items():
        write_jsonl(run.path / folder / f"{protocol}.jsonl", (element.to_dict() for element in replay.elements))
    return [
        TrainItem(
            adapter=owner[element.news_id],
            prompt=element.prompt,
            completion=element.completion,
            context=texts[element.news_id],
        )
        for replay in replays.values()
        for element in replay.kept
    ]


def _train(
    run: Run,
    model: LoadedModel,
    items: Sequence[TrainItem],
    place: Path,
    settings: TrainSettings,
    seed: int,
    show: Display,
) -> None:
    checkpoint = place / "training.checkpoint"
    done = train(model, jobs_of(items, settings, seed=seed), checkpoint=checkpoint, show=show, label="learn the edges")
    for slot, name in enumerate(done.names):
        if name not in done.diverged:
            learner_of(settings).save(done.bank, slot, place / "adapters" / name, base_name=run.record["model"]["name"])
    done.bank.close()
    write_jsonl(place / "training.jsonl", done.curve)
    write_json(place / "training.json", done.totals)  # written last: it marks the adapters as complete
    Checkpoint.remove(checkpoint)


def _ask(
    run: Run,
    model: LoadedModel,
    news: Sequence[News],
    bank: Bank,
    slot: int,
    folder: str,
    seed: int,
    show: Display,
) -> None:
    """Ask base and adapter the questions, closed book and in context, and write the predictions."""
    settings = EvaluateSettings(scorings=("cloze",), headline="cloze")
    learnt = {item.id: Route(slot, JOINT) for item in news}
    for subject, given, routes in (("base", None, {}), ("learnt", bank, learnt)):
        file = run.path / folder / f"{subject}.jsonl"
        if not file.is_file():
            said = evaluate(
                model, news, settings, subject=subject, bank=given, routes=routes, seed=seed,
                memo=Below(run, folder), show=show,
            )  # fmt: skip
            write_jsonl(file, (prediction.to_dict() for prediction in said))
