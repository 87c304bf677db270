"""What the subjects of a study are asked: each measure gives one value for each item that it asks about.

| measure | value | asked |
|---|---|---|
| `closed_book`, `in_context` | right or wrong | the news items' questions |
| `other_in_context` | right or wrong | the same in context, of an adapter of another news item |
| `other_adapter` | right or wrong | closed book, of an adapter of another news item |
| `neighbours`, `rephrased`, `statements` | right or wrong | the controls of `evaluation.controls` |
| `text` | nats per token | the news item's text, as an answer to a cue |
| `seen` | nats per token | every sample of the training, in its order |
| `recall` | share of tokens | the rest of the text after its beginning, decoded greedily |
| `recognition` | right or wrong | the text or the same with one fact exchanged: which is likelier |
| `prose`, `NAME=FILE:COUNT` | right or wrong, or nats per token | a set of `retention`, such as GSM8K or IFEval |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple, cast

from sys2ft.engine import BASE, Bank, DecodeRequest, Example, Sampling, decode, flops, prepare, score
from sys2ft.evaluation import (
    Condition,
    EvaluateSettings,
    Prediction,
    Probe,
    Questions,
    Route,
    Subject as Named,
    evaluate,
    measurements,
    unit_needs,
)
from sys2ft.evaluation.controls import QUESTIONS, other_adapters
from sys2ft.evaluation.records import share_of_right
from sys2ft.evaluation.settings import Control
from sys2ft.models import LoadedModel, Message
from sys2ft.models.positions import position_limit
from sys2ft.news import News
from sys2ft.replay import ReplayElement
from sys2ft.retention import RetentionSet, read_set, set_measurements, unit_needs as set_needs
from sys2ft.runs import Display, Needs, item_seed
from sys2ft.text import spans

_CUE = "What is the news?"
PROSE = "prose"
_BEGUN = 0.4  # share of a text's tokens that are given for recall


class Outcome(NamedTuple):
    """One value: of a measure, for an item of a news item."""

    measure: str
    news_id: str
    item: int
    value: float | None
    """None: an answer that could not be graded, which counts as wrong and is reported."""
    beside: float | None = None
    """For questions the probability of the right choice; for samples of training the base's value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """Who is asked, and about what."""

    model: LoadedModel
    news: Sequence[News]
    settings: EvaluateSettings
    seed: int = 0
    bank: Bank | None = None
    routes: Mapping[str, Route] = field(default_factory=dict)
    samples: Sequence[ReplayElement] = ()
    """What it was trained on, in the order of training."""
    show: Display = field(default_factory=Display)

    def slot(self, news_id: str) -> int:
        """The slot that answers for a news item."""
        return self.routes[news_id].slot if self.routes else BASE

    def answers(self, name: str) -> list[Outcome]:
        """The values of a measure that asks questions."""
        found = []
        for probe, news, routes in asked_by(name, self):
            rows = evaluate(
                self.model, news, self.settings, subject="subject", bank=self.bank if routes else None, routes=routes,
                probe=probe, seed=self.seed,
            )  # fmt: skip
            found += [_outcome(name, row) for row in rows if row.scoring != "instruction"]
        return found


def _outcome(name: str, row: Prediction) -> Outcome:
    """The value of an answer; of instructions all that a prompt gives count as one (strict, by prompt)."""
    if row.scoring == "loss":
        return Outcome(name, row.news_id, row.question, float(row.detail["nats_per_token"]))
    probability = share_of_right(row.detail, row.expected)
    right = None if row.correct is None else float(row.correct)
    return Outcome(name, row.news_id, row.question, right, probability)


Asked = tuple[Probe, Sequence[News], Mapping[str, Route]]
"""A probe, the news items that it asks about, and who answers (no routes: the base)."""


def outcomes(measures: Sequence[str], of: Subject) -> list[Outcome]:
    """The values of the measures. A measure that does not apply (as `other_adapter` to one adapter) gives none."""
    prepare(of.model.model)
    found: list[Outcome] = []
    with of.show.task("ask", len(measures), passing=True) as advance:
        for name in measures:
            found += TEXTS[name](of) if name in TEXTS else of.answers(name)
            advance()
    return found


def known_measure(name: str) -> bool:
    """Whether there is a measure of this name."""
    return name in PROBES or name in TEXTS or is_set(name)


def measure_names() -> list[str]:
    """The names of all measures."""
    return [*PROBES, *TEXTS, PROSE, "NAME=FILE:COUNT"]


def is_set(name: str) -> bool:
    """Whether the measure is a set of `retention`: the bundled prose, or items of a file."""
    return name == PROSE or "=" in name


@lru_cache(maxsize=32)
def set_of(name: str) -> RetentionSet:
    """The set that a measure names. Raises SettingsError for a bad file."""
    return read_set(name, seed=0)


def asked_by(name: str, of: Subject) -> list[Asked]:
    """What a measure that asks questions asks of a subject."""
    if not is_set(name):
        return PROBES[name](of)
    positions = position_limit(of.model.model.config)
    return [
        (one.probe, one.news, one.routes) for one in set_measurements([set_of(name)], of.routes, positions=positions)
    ]


def asking_needs(measures: Sequence[str], of: Subject) -> Needs:
    """What asking them once needs: tokens, FLOP and memory. For measures of texts an estimate by their lengths."""
    total = Needs()
    for name in measures:
        needs = set_needs if is_set(name) else unit_needs
        for probe, news, _ in asked_by(name, of) if name not in TEXTS else ():
            total += sum((needs(of.model, unit) for unit in probe.units(Named(), news, of.seed)), Needs())
        if name in _READINGS:
            tokens = sum(_READINGS[name] * len(of.model.chat.plain_ids(item.text)) for item in of.news)
            total += Needs(tokens=tokens, flop=flops.forward(of.model.model, tokens, tokens))
    return total


def of_training(name: str) -> bool:
    """Whether the measure asks about the samples of a training, so that the base has no value of its own."""
    return name in ("seen", "loss")


def in_nats(name: str) -> bool:
    """Whether the values are losses in nats per token, of which less is better."""
    return name in ("text", "seen", "loss") or (is_set(name) and set_of(name).form == "text")


def _questions(condition: Condition) -> Callable[[Subject], list[Asked]]:
    return lambda of: [(Questions(of.settings, conditions=(condition,)), of.news, of.routes)]


def _of_other(condition: Condition) -> Callable[[Subject], list[Asked]]:
    def asked(of: Subject) -> list[Asked]:
        # The base is the same for every news item.
        news, routes = other_adapters(of.news, of.routes) if of.routes else (of.news, {})
        return [(Questions(of.settings, conditions=(condition,)), news, routes)] if news else []

    return asked


def _control(name: Control) -> Callable[[Subject], list[Asked]]:
    def asked(of: Subject) -> list[Asked]:
        every = measurements(replace(of.settings, controls=(name,)), of.news, of.routes)
        return [(one.probe, one.news, one.routes) for one in every if one.folder != QUESTIONS]

    return asked


def _nats(of: Subject, texts: Sequence[tuple[Sequence[Message], str, int]]) -> list[float]:
    """Nats per token of completions (prompt, completion, slot), the end of the turn not among them."""
    examples = [_example(of, prompt, text, slot) for prompt, text, slot in texts]
    return [-one.mean for one in score(of.model.model, examples, of.bank).likelihoods]


def _example(of: Subject, prompt: Sequence[Message], text: str, slot: int) -> Example:
    before, after = of.model.chat.prompt_ids(prompt), of.model.chat.continuation_ids(text)
    return Example([*before, *after], [False] * len(before) + [True] * len(after), slot)


def _text(of: Subject) -> list[Outcome]:
    asked = [([Message("user", _CUE)], one.text, of.slot(one.id)) for one in of.news]
    return [Outcome("text", one.id, 0, value) for one, value in zip(of.news, _nats(of, asked), strict=True)]


def _seen(of: Subject) -> list[Outcome]:
    prompts = [[Message(cast(Any, turn["role"]), turn["content"]) for turn in one.prompt] for one in of.samples]
    slots = [of.slot(one.news_id) for one in of.samples]
    texts = [one.completion for one in of.samples]
    after = _nats(of, list(zip(prompts, texts, slots, strict=True)))
    before = _nats(replace(of, bank=None), [(p, t, BASE) for p, t in zip(prompts, texts, strict=True)])
    return [
        Outcome("seen", one.news_id, place, own, base)
        for place, (one, own, base) in enumerate(zip(of.samples, after, before, strict=True))
    ]


def _recall(of: Subject) -> list[Outcome]:
    """The news item is begun in the assistant's turn; what follows is compared with the rest, token by token."""
    chat = of.model.chat
    requests, rests = [], []
    for one in of.news:
        ids = chat.continuation_ids(one.text)
        begun = max(1, round(_BEGUN * len(ids)))
        prompt = [*chat.prompt_ids([Message("user", _CUE)]), *ids[:begun]]
        requests.append(DecodeRequest(prompt, item_seed(of.seed, "recall", one.id), slot=of.slot(one.id)))
        rests.append(ids[begun:])
    decoded = decode(
        of.model.model,
        requests,
        Sampling(temperature=0.0),
        max_new_tokens=max(map(len, rests)),
        stop_ids=chat.stop_ids,
        bank=of.bank,
    ).decoded
    shares = [
        sum(a == b for a, b in zip(rest, reply.ids, strict=False)) / max(1, len(rest))
        for rest, reply in zip(rests, decoded, strict=True)
    ]
    return [Outcome("recall", one.id, 0, share) for one, share in zip(of.news, shares, strict=True)]


def exchanged(news: News) -> list[str]:
    """The news item's text with one fact exchanged for a wrong one: for every wrong choice of the questions whose right
    answer is in the text once, as whole words; each text once."""
    found = []
    for question in news.questions:
        places = spans(news.text, question.answer)
        if len(question.answer) > 1 and len(places) == 1:
            ((start, end),) = places
            found += [
                news.text[:start] + choice + news.text[end:]
                for choice in question.choices
                if choice != question.answer and not spans(news.text, choice)
            ]
    return list(dict.fromkeys(found))


def _recognition(of: Subject) -> list[Outcome]:
    """By the mean log-likelihood of the whole text, which differs in one fact only."""
    cue = [Message("user", _CUE)]
    pairs = [(one, place, foil) for one in of.news for place, foil in enumerate(exchanged(one))]
    if not pairs:
        return []
    own = _nats(of, [(cue, one.text, of.slot(one.id)) for one in of.news])
    right = dict(zip([one.id for one in of.news], own, strict=True))
    wrong = _nats(of, [(cue, foil, of.slot(one.id)) for one, _, foil in pairs])
    return [
        Outcome("recognition", one.id, place, float(right[one.id] < nats))
        for (one, place, _), nats in zip(pairs, wrong, strict=True)
    ]


PROBES: dict[str, Callable[[Subject], list[Asked]]] = {
    "closed_book": _questions("closed_book"),
    "in_context": _questions("in_context"),
    "other_in_context": _of_other("in_context"),
    "other_adapter": _of_other("closed_book"),
    "neighbours": _control("neighbours"),
    "rephrased": _control("rephrased"),
    "statements": _control("statements"),
}
TEXTS: dict[str, Callable[[Subject], list[Outcome]]] = {
    "text": _text,
    "seen": _seen,
    "recall": _recall,
    "recognition": _recognition,
    "loss": lambda of: [],  # taken from the curve of the training
}
OF_QUESTIONS = ("closed_book", "in_context", "other_in_context", "other_adapter")
"""The measures whose items are the news items' questions, which have a kind and a domain."""
VERSIONS = {"recognition": 2}
"""Of how a measure is taken, where that has changed: cells and bases that were asked before are asked again."""
_READINGS = {"text": 1, "recall": 2, "recognition": 4}
"""How often a measure reads or writes a news item, about."""
