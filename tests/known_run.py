"""A finished run folder with known numbers, written by the package's own objects and writers without a real model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from conftest import build_tokenizer
from sys2ft.engine import Example, StepCost
from sys2ft.evaluation import EvaluateSettings, Prediction
from sys2ft.job import open_run
from sys2ft.job.stages import cell_of, news_of
from sys2ft.job.trained import write_training
from sys2ft.models import ChatFormat, LoadedModel, Source
from sys2ft.news import News, Question
from sys2ft.replay import GenerateSettings, ReplayElement, withheld
from sys2ft.replay.elements import count_yield
from sys2ft.runs import Run, write_json, write_jsonl
from sys2ft.training import FREE, AdapterJob, Training, TrainSettings
from sys2ft.training.adapter import Adapter

PROTOCOLS = ("naive", "paraphrase", "self_qa")
SCORINGS = ("cloze", "direct")
DOMAINS = ("mathematics", "coding", "events")
HOSTILE = "<script>alert('x')</script> [red]& \"quoted\" `|` {{ 7*7 }} </details>"
# Accuracy closed book and in context. naive learns nothing; self_qa learns much, at the cost of in-context accuracy.
RATES = {"base": (0.2, 0.7), "naive": (0.3, 0.65), "paraphrase": (0.4, 0.7), "self_qa": (0.62, 0.5)}

SAMPLES = 24
"""Elements wanted and asked for, per news item and protocol."""
STEPS = 40
"""Steps of each adapter, ten of them per epoch."""
TRAIN = TrainSettings(adapters="per-news", rank=16, learning_rate=1e-3, epochs=STEPS / 10)
# What differs from one machine and day to the next; fixed, so that the page is always the same.
PROVENANCE: dict[str, Any] = {
    "name": "first light",
    "created": "2026-01-02T03:04:05+00:00",
    "hardware": {"processor": "a processor", "cores": 2, "memory_gib": 15.5},
    "versions": {"python": "3.12.1", "torch": "2.13.0"},
    "git": None,
}


class KnownModel(nn.Module):
    """A model of 494,032,768 weights, 70 million of them in the body; on the meta device, where they have no values."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(7_000, 10_000, bias=False, device="meta")
        self.head = nn.Linear(512, 828_189, bias=False, device="meta")

    def get_output_embeddings(self) -> nn.Module:
        return self.head


def build_run(
    folder: Path,
    *,
    protocols: tuple[str, ...] = PROTOCOLS,
    scorings: tuple[Any, ...] = SCORINGS,
    n_news: int = 12,
    n_questions: int = 4,
    rates: dict[str, tuple[float, float]] = RATES,
    ungraded: float = 0.05,
    seed: int = 3,
) -> Path:
    """A finished run with seeded answers; the first news item and the first answers are hostile."""
    rng = np.random.default_rng(seed)
    model, news = known_model(), [known_news(n, n_questions) for n in range(n_news)]
    run = open_run(folder, model, news, seed=7)
    run.record |= PROVENANCE  # saved with the first stage
    run.stage("generate", asdict(GenerateSettings(protocols=protocols, samples_per_news=SAMPLES)))
    run.stage("train", asdict(TRAIN), free=FREE)
    run.stage("evaluate", asdict(EvaluateSettings(scorings=scorings, headline=scorings[0])))
    write_json(run.path / "replay" / "withheld.json", {name: asdict(found) for name, found in withheld(news).items()})
    for protocol in protocols:
        scale = PROTOCOLS.index(protocol) + 1
        elements = _replay(run, protocol, news, scale, rng)
        _training(run, protocol, elements, model, scale, rng)
    for subject in ("base", *protocols):
        rows = [
            _prediction(subject, n, q, condition, scoring, rates[subject][condition == "in_context"], ungraded, rng)
            for scoring in scorings
            for n in news
            for q in range(n_questions)
            for condition in ("closed_book", "in_context")
        ]
        write_jsonl(run.path / "predictions" / f"{subject}.jsonl", (row.to_dict() for row in rows))
    return folder


def known_model() -> LoadedModel:
    return LoadedModel(
        model=KnownModel(),
        tokenizer=None,
        chat=ChatFormat.of(build_tokenizer()),
        source=Source("example/Tiny-Instruct", "hub", Path("Tiny-Instruct")),
        fingerprint="ab" * 32,
        device=torch.device("cpu"),
        dtype=torch.bfloat16,
    )


def known_news(n: int, n_questions: int) -> News:
    text = f"Researchers of the institute number {n} have defined addiplication as (x + y) * y, a new operation."
    questions = tuple(
        Question(
            text=f"What is the addiplication of {q + 2} and {n + 3}? {HOSTILE if n == q == 0 else ''}",
            answer=str((q + n + 5) * (n + 3)),
            choices=(str((q + n + 5) * (n + 3)), "29", "12", "seven")[: 4 if q % 2 else 3],
            aliases=("forty",) if q == 0 else (),
            kind="application" if q % 2 else "recall",
            grader="exact",
        )
        for q in range(n_questions)
    )
    text = f"{text} {HOSTILE}" if n == 0 else text
    return News(id=f"m-{n:02}", domain=DOMAINS[n % len(DOMAINS)], text=text, questions=questions)


def _replay(run: Run, protocol: str, news: Sequence[News], scale: int, rng: np.random.Generator) -> list[ReplayElement]:
    """Write the elements of a protocol, of which about 70% are kept, and their yield."""
    elements = []
    for n in news:
        for i in range(SAMPLES):
            reason = None if rng.random() < 0.7 else str(rng.choice(["repeat", "off_topic", "unparsed", "truncated"]))
            elements.append(
                ReplayElement(
                    id=f"{protocol}/{n.id}/{i}",
                    news_id=n.id,
                    protocol=protocol,
                    prompt=({"role": "user", "content": f"Tell me something about addiplication, part {i}."},),
                    completion=f"{HOSTILE} element {i}" if i == 0 else f"By the definition, element {i} is {i * 7}.",
                    status="rejected" if reason else "kept",
                    reason=reason,
                    seed=i,
                )
            )
    counts = count_yield(
        protocol,
        elements,
        per_news=SAMPLES,
        news_ids=[n.id for n in news],
        tokens_generated=5_000 * scale,
        flop=0.0 if protocol == "naive" else scale * 3.1e13,
        seconds=12.5 * scale,
    )
    write_jsonl(run.path / "replay" / f"{protocol}.jsonl", (element.to_dict() for element in elements))
    write_json(run.path / "replay" / f"{protocol}.yield.json", counts.to_dict())
    return elements


def _training(
    run: Run,
    protocol: str,
    elements: Sequence[ReplayElement],
    model: LoadedModel,
    scale: int,
    rng: np.random.Generator,
) -> None:
    """Write the loss curves of a protocol's adapters, and a record with 4.2e13 FLOP times `scale`."""
    cell = cell_of(run, protocol, TRAIN)
    adapters = [_adapter(slot, job, rng) for slot, job in enumerate(cell.jobs(elements))]
    # Only the sums over all adapters are reported, so the first one has all the cost.
    adapters[0].cost = StepCost(tokens_computed=150_000 * scale, tokens_shown=123_456 * scale)
    adapters[0].seconds = 77.0 * scale
    bank: Any = SimpleNamespace(model=model.model)  # all that the record needs of a bank
    training = Training(bank, adapters, adapters_at_once=len(adapters))
    write_training(run, cell, news_of(run), cell.version(training.jobs), training)


def _adapter(slot: int, job: AdapterJob, rng: np.random.Generator) -> Adapter:
    """An adapter after its last step, with a falling and noisy loss."""
    example = Example(ids=range(300), loss_mask=[False, *[True] * 299], slot=slot)
    adapter = Adapter(
        slot=slot,
        job=job,
        examples=[example] * 10,
        held=[],
        batches=[[step % 10] for step in range(STEPS)],
        seen=list(range(1, STEPS + 1)),
    )
    while not adapter.done:
        loss = 2.5 * 0.93 ** (adapter.step + 1) * (1 + 0.3 * rng.random()) + 0.05
        adapter.advance(loss, norm=1.0, tokens=len(example.ids))
    return adapter


def _prediction(
    subject: str,
    news: News,
    index: int,
    condition: Any,
    scoring: Any,
    rate: float,
    ungraded: float,
    rng: np.random.Generator,
) -> Prediction:
    question = news.questions[index]
    ease = {"mathematics": -0.1, "coding": 0.0, "events": 0.1}[news.domain]
    correct: bool | None = bool(rng.random() < rate + ease)
    said = question.answer if correct else question.choices[-1]
    if scoring == "direct":
        said = f"The answer is {said}, I think (said by {subject}, {condition})."
        correct = None if rng.random() < ungraded else correct
    if index == 1 and news.id == "m-00":
        said = f"{said} {HOSTILE}"
    context = f"{news.text}\n\n" if condition == "in_context" else ""
    return Prediction(
        id=f"{subject}-{news.id}-{index}-{condition}-{scoring}",
        subject=subject,
        adapter=None if subject == "base" else news.id,
        news_id=news.id,
        domain=news.domain,
        question=index,
        kind=question.kind,
        condition=condition,
        scoring=scoring,
        asked=f"{context}{question.text}",
        said=said,
        expected=question.answer,
        correct=correct,
        grader="choice" if scoring == "cloze" else "exact",
        why="the judge gave no verdict" if correct is None else f"compared with {question.answer}",
        detail={"choices": {c: -1.5 - i for i, c in enumerate(question.choices)}} if scoring == "cloze" else {},
    )
