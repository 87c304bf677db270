"""Screening of finished elements, whichever protocol built them: what is said, and what was said before.

Stages judge replies; this judges the pair of prompt and completion that would be learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sys2ft.generators import Pair
from sys2ft.news import News
from sys2ft.replay.diversity import Diversity, diversity
from sys2ft.replay.elements import ReplayElement
from sys2ft.replay.filters import Reason, normal
from sys2ft.replay.leaks import questions_of
from sys2ft.replay.repeats import Kept, Phrased
from sys2ft.replay.self_contained import leans, standing_alone


@dataclass(frozen=True, slots=True)
class Screened:
    """An element as it will be learnt."""

    pair: Pair
    reason: Reason | None
    """Why it is rejected."""
    cue: bool = False
    """Whether the prompt is a cue of the protocol."""
    was: dict[str, str] = field(default_factory=dict)
    """'prompt' and 'completion' as they were, where they were rewritten."""


@dataclass(frozen=True, slots=True)
class Screening:
    """Screens the elements of a protocol in the order of samples: what was accepted before decides what is new."""

    language: Callable[[News], str]
    """Code of a news item's language."""
    generated: bool = True
    """Whether a model wrote the elements. Those built from the news item's own sentences resemble each other, and
    lean on their text: they are judged for repeats and leaks alone."""
    _texts: dict[str, set[tuple[str, tuple[str, ...]]]] = field(default_factory=dict)
    _kept: dict[str, Kept] = field(default_factory=dict)
    _questions: dict[str, Mapping[str, int]] = field(default_factory=dict)

    def _questions_of(self, news: News) -> Mapping[str, int]:
        if news.id not in self._questions:
            self._questions[news.id] = questions_of(news)
        return self._questions[news.id]

    def __call__(self, news: News, pair: Pair, cue: bool) -> Screened:
        """The element, rewritten so that it is complete by itself, and the reason against it.

        A cue is no part of what is said: it is not judged, and does not make two elements different.
        """
        code = self.language(news)
        asked = "" if cue else pair.messages[-1].content
        if not self.generated:
            return Screened(pair, self._reason(news, asked, pair.text, code), cue)
        prompt, completion = standing_alone(asked, news), standing_alone(pair.text, news)
        was = {"prompt": asked} if prompt != asked else {}
        was |= {"completion": pair.text} if completion != pair.text else {}
        if was:
            last = replace(pair.messages[-1], content=prompt or pair.messages[-1].content)
            pair = replace(pair, messages=(*pair.messages[:-1], last), text=completion)
        return Screened(pair, self._reason(news, prompt, completion, code), cue, was)

    def _reason(self, news: News, prompt: str, completion: str, code: str) -> Reason | None:
        if not completion.strip():
            return "empty"
        if self.generated and (leans(prompt, news, code) or leans(completion, news, code, alone=not prompt)):
            return "not_self_contained"
        if prompt and normal(prompt) in self._questions_of(news):
            return "leaked"
        phrased = Phrased(f"{prompt} {completion}", code)
        said = (normal(phrased.text), phrased.signs)
        before, kept = self._texts.setdefault(news.id, set()), self._kept.setdefault(news.id, Kept())
        if said in before:
            return "repeat"
        before.add(said)
        if not self.generated:
            return None
        if kept.repeated_by(phrased):
            return "near_repeat"
        kept.add(phrased)
        return None


def variety(elements: Sequence[ReplayElement]) -> Diversity:
    """How varied the elements of a protocol are."""
    rows = [(one, "" if one.provenance.get("cue") else one.prompt[-1]["content"]) for one in elements]
    return diversity(
        [(one.news_id, _code(one), prompt, one.completion) for one, prompt in rows if one.status == "kept"],
        [
            (one.news_id, f"{prompt} {one.completion}")
            for one, prompt in rows
            if one.reason not in ("truncated", "unparsed")
        ],
    )


def _code(element: ReplayElement) -> str:
    return str(element.provenance["language"])
