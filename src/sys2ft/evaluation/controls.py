"""What a run measures of every subject: the news items' questions, and controls that say what else training changed.

*Neighbours* are questions of the field whose answers the news item does not change: a loss is collateral damage.
*Rephrased* questions and *statements* test the same knowledge in other words and in another form. *Other adapter* asks
a news item's questions of the adapter of another news item, which cannot know the answers: what it gains is the format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sys2ft.evaluation.probes import Probe, Questions, Route
from sys2ft.evaluation.records import Condition, can_ask
from sys2ft.evaluation.settings import EvaluateSettings
from sys2ft.evaluation.statements import Statements, as_questions
from sys2ft.news import News

QUESTIONS = "predictions"
"""Folder of the answers to the news items' own questions."""
_CLOSED: tuple[Condition, ...] = ("closed_book",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """A probe, the news items that it asks about, and the routes by which they are answered."""

    folder: str
    """Where a run folder stores the predictions: `predictions`, or `controls/<name>`."""
    probe: Probe
    news: Sequence[News]
    routes: Mapping[str, Route]


def measurements(
    settings: EvaluateSettings, news: Sequence[News], routes: Mapping[str, Route]
) -> Iterator[Measurement]:
    """The questions of the news items, then the controls of the settings that apply. Empty `routes`: the base model.

    Controls are asked closed book with the headline scoring. Those without a question are left out.
    """
    yield Measurement(folder=QUESTIONS, probe=Questions(settings), news=news, routes=routes)
    once = replace(settings, scorings=(settings.headline,), controls=("none",))
    asked_by = {
        "neighbours": (neighbours(news), routes),
        "rephrased": (rephrased(news), routes),
        "statements": (news, routes),
        "other_adapter": other_adapters(news, routes),
    }
    for name, (own, own_routes) in asked_by.items():
        folder = f"controls/{name}"
        probe: Probe = Questions(once, name, folder, _CLOSED)
        asked = _askable(own, once)
        if name == "statements":
            probe, asked = Statements(name, folder, _CLOSED), any(one.questions for one in as_questions(news))
        if name in settings.controls and asked:
            yield Measurement(folder=folder, probe=probe, news=own, routes=own_routes)


def rephrased(news: Sequence[News]) -> list[News]:
    """The news items with only the questions that have a second wording, in that wording."""
    return [
        one.model_copy(
            update={
                "questions": tuple(q.model_copy(update={"text": q.rephrased}) for q in one.questions if q.rephrased)
            }
        )
        for one in news
    ]


def neighbours(news: Sequence[News]) -> list[News]:
    """The news items with their neighbour questions instead of their own."""
    return [one.model_copy(update={"questions": one.neighbours}) for one in news]


def other_adapters(news: Sequence[News], routes: Mapping[str, Route]) -> tuple[list[News], dict[str, Route]]:
    """The news items that have an adapter, and for each the route of another one's.

    It is the next news item of the same domain, whose questions are the most alike, or where the domain has no other,
    the next of all. No news items if fewer than two have an adapter of their own.
    """
    own = [one for one in news if one.id in routes and routes[one.id].adapter is not None]
    if len({routes[one.id].slot for one in own}) < len(own) or len(own) < 2:
        return [], {}  # one adapter for all has no other
    domains: dict[str, list[News]] = {}
    for one in own:
        domains.setdefault(one.domain, []).append(one)
    others = {one.id: routes[other.id] for one, other in _following(own)}
    for alike in domains.values():
        if len(alike) > 1:
            others |= {one.id: routes[other.id] for one, other in _following(alike)}
    return own, others


def _following(news: Sequence[News]) -> Iterator[tuple[News, News]]:
    """Each news item with the next one; the first follows the last."""
    return zip(news, [*news[1:], news[0]], strict=True)


def _askable(news: Sequence[News], settings: EvaluateSettings) -> bool:
    return any(can_ask(settings.headline, question.choices) for one in news for question in one.questions)
