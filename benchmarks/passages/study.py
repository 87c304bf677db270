"""The rows of the table: the base without and with the passage, and the learner trained on each writer's texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.passages import forms
from benchmarks.passages.learning import Learner, jobs_of, training_cost
from benchmarks.passages.passages import (
    BASE,
    IN_CONTEXT,
    OWN,
    PASSAGE,
    RESERVED,
    Element,
    Passage,
    sequences,
    titled,
)
from benchmarks.passages.settings import PassagesSettings
from sys2ft.errors import SettingsError
from sys2ft.files import digest
from sys2ft.models import LoadedModel
from sys2ft.news import News
from sys2ft.replay import GenerateSettings, generate
from sys2ft.runs import Below, Display, LocalExecutor, Memo, Unit, compute_units

REFERENCES = (PASSAGE, "implications_seal")
"""The rows that others are compared with, question by question."""
_HERE = "benchmarks.passages.learning"
_VERSION = 1  # of what `learning` computes; raised when that changes

Elements = Mapping[str, Sequence[Element]]
"""Passage -> what its adapter is trained on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What was said in one row of the table, and what it cost; `key` is a digest of all that decides it."""

    name: str
    key: str
    said: Mapping[str, Sequence[str]]
    tokens_trained: int
    flop: float
    seconds: float
    ended: Mapping[str, Any]


def row_names(passages: Sequence[Passage], settings: PassagesSettings) -> list[str]:
    """The rows to compute, in the order of the table. Raises SettingsError for a name that is no row."""
    every = [*RESERVED, *passages[0].written, *(f"{OWN}{name}" for name in settings.own)]
    if unknown := [name for name in settings.sets if name not in every]:
        raise SettingsError(
            f"sets: {', '.join(unknown)}", expected=f"some of {', '.join(every)}", fix="correct --sets, or add to --own"
        )
    return [name for name in every if not settings.sets or name in settings.sets]


def training_sets(
    model: LoadedModel,
    passages: Sequence[Passage],
    settings: PassagesSettings,
    memo: Memo,
    show: Display,
) -> dict[str, Elements]:
    """The elements of each row that is trained. Every set has the passage too, as SEAL's have it."""
    names = [name for name in row_names(passages, settings) if name not in (BASE, IN_CONTEXT)]
    own = _own(model, passages, [name.removeprefix(OWN) for name in names if _is_own(name)], settings, memo, show)
    return {name: own[name] if name in own else peers(name, passages) for name in names}


def peers(name: str, passages: Sequence[Passage]) -> Elements:
    """The elements of the passages alone, or with the texts of the writer `name`."""
    texts = {one.name: [] if name == PASSAGE else sequences(one.written[name]) for one in passages}
    return {one.name: titled(one.title, [*texts[one.name], one.context]) for one in passages}


def _is_own(name: str) -> bool:
    return name.startswith(OWN)


def _own(
    model: LoadedModel,
    passages: Sequence[Passage],
    protocols: Sequence[str],
    settings: PassagesSettings,
    memo: Memo,
    show: Display,
) -> dict[str, Elements]:
    """What the learner itself writes about the passages, in its chat template; no question of the file is shown."""
    if not protocols:
        return {}
    news = [News(id=one.name, text=f"{one.title}\n{one.context}") for one in passages]
    # A passage of an encyclopedia that reads like an instruction is still a passage.
    how = GenerateSettings(protocols=tuple(protocols), tokens_per_news=settings.own_tokens, keep_instructions=True)
    written = generate(
        model,
        news,
        how,
        seed=settings.seed,
        memo=Below(memo, "own"),
        show=show,
        learner=forms.in_form(model, settings.form),
    )
    sets: dict[str, Elements] = {}
    for name, replay in written.items():
        elements = {one.name: titled(one.title, [one.context]) for one in passages}
        for element in reversed(replay.kept):
            elements[element.news_id].insert(0, {"prompt": list(element.prompt), "completion": element.completion})
        if empty := [one for one, own in elements.items() if len(own) == 1]:
            show.note(f"{OWN}{name}: no element was kept for {', '.join(empty)}: trained on the passage alone")
        sets[f"{OWN}{name}"] = elements
    return sets


def units(name: str, elements: Elements | None, passages: Sequence[Passage], settings: PassagesSettings) -> list[Unit]:
    """The units of one row, each for some passages; `elements` None: the base is asked."""
    made = []
    for start in range(0, len(passages), settings.adapters_at_once):
        part = passages[start : start + settings.adapters_at_once]
        inputs: dict[str, Any] = {
            "label": name,
            "prompts": {one.name: _prompts(one, name) for one in part},
            "max_new_tokens": settings.max_new_tokens,
            "whole_answer": settings.whole_answer,
        }
        if elements is not None:
            inputs |= {
                "elements": {one.name: list(elements[one.name]) for one in part},
                "training": training_settings(settings),
                "equal_tokens": settings.equal_tokens,
                "seed": settings.seed,
            }
        function = f"{_HERE}:{'ask' if elements is None else 'learn'}"
        decided = {"form": settings.form, "version": _VERSION}
        made.append(Unit(key=f"units/{name}/{start:03d}", function=function, inputs=inputs, decided_by=decided))
    return made


def _prompts(passage: Passage, name: str) -> list[str]:
    if name == IN_CONTEXT:
        return [forms.in_context(passage.title, passage.context, one.question) for one in passage.questions]
    return [forms.closed_book(passage.title, one.question) for one in passage.questions]


def training_settings(settings: PassagesSettings) -> dict[str, Any]:
    """The fields of `TrainSettings`; SEAL's learning rate has no warm-up."""
    names = ("rank", "alpha", "learning_rate", "epochs", "batch_size")
    return {name: getattr(settings, name) for name in names} | {
        "target_modules": list(settings.target_modules),
        "warmup": 0.0,
    }


def plan(
    model: LoadedModel, passages: Sequence[Passage], settings: PassagesSettings
) -> Iterator[tuple[str, int, float]]:
    """Name, tokens and FLOP of each training.

    Our own sets, which are not written yet, count as the passage and their budget of tokens.
    """
    learner = forms.in_form(model, settings.form)

    def cost(name: str) -> tuple[int, float]:
        jobs = jobs_of(learner, peers(name, passages), training_settings(settings), settings.equal_tokens, 0)
        return training_cost(learner, jobs)

    for name in row_names(passages, settings):
        if name in (BASE, IN_CONTEXT):
            continue
        tokens, flop = cost(PASSAGE if _is_own(name) else name)
        if _is_own(name) and not settings.equal_tokens:
            more = settings.own_tokens * settings.epochs * len(passages)
            tokens, flop = round(tokens + more), flop * (tokens + more) / tokens
        yield name, tokens, flop


def outcomes(
    model: LoadedModel,
    passages: Sequence[Passage],
    settings: PassagesSettings,
    memo: Memo,
    show: Display,
) -> Iterator[Outcome]:
    """The rows of the table, each as soon as it is computed; finished units are read from `memo`."""
    sets = training_sets(model, passages, settings, memo, show)
    learner = Learner(forms.in_form(model, settings.form), show)
    work = {name: units(name, sets.get(name), passages, settings) for name in row_names(passages, settings)}
    with show.task("all sets (parts)", sum(map(len, work.values()))) as advance:
        for name, parts in work.items():
            results = []
            for result, _ in compute_units(parts, LocalExecutor(learner), memo):
                results.append(result)
                advance()
            yield _joined(name, parts, results)


def _joined(name: str, parts: Sequence[Unit], results: Sequence[Mapping[str, Any]]) -> Outcome:
    return Outcome(
        name=name,
        key=digest([part.path for part in parts])[:12],
        said={passage: said for result in results for passage, said in result["said"].items()},
        tokens_trained=sum(result["tokens_trained"] for result in results),
        flop=sum(result["flop"] for result in results),
        seconds=round(sum(result["seconds"] for result in results), 3),
        ended={adapter: how for result in results for adapter, how in result["ended"].items()},
    )
