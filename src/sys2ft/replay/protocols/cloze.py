"""Cloze: sentences of the news item with a name, number or term left out, or broken off before it.

Faithful by construction, since no model writes them; the form is that of Taylor, 'Cloze procedure' (1953).
"""

from __future__ import annotations

from collections.abc import Sequence

from sys2ft.generators import Pair
from sys2ft.languages import fill
from sys2ft.news import News
from sys2ft.replay.facts import GAP, Fact, facts_in
from sys2ft.replay.filters import content_words
from sys2ft.replay.prompts import cues
from sys2ft.replay.protocols.shared import asked
from sys2ft.replay.stages import Protocol, Trail
from sys2ft.replay.subject import subject_of

_ORDER = ("name", "number", "term")
_LEAST = 12
"""Characters that a sentence must have before it breaks off; fewer say too little."""


def cloze() -> Protocol:
    """One statement a sample: a gap and what belongs in it, or a beginning and how the sentence ends."""
    return Protocol(name="cloze", version=2, cues=_forms(), elements=_statement)


def _forms() -> dict[str, list[str]]:
    """The prompts by language: those with a gap, then as many with a beginning."""
    gaps, starts = cues("cloze_gap"), cues("cloze_start")
    return {code: [*gaps[code], *starts[code]] for code in gaps}


def statements_of(news: News, code: str) -> list[Fact]:
    """Facts of the news item that a sentence has besides other words: names, then numbers, then terms."""
    facts = [fact for fact in facts_in(news.text, code) if fact.answer and any(map(str.isalnum, fact.gap))]
    return sorted(facts, key=lambda fact: _ORDER.index(fact.kind))


def _statement(trail: Trail) -> Sequence[Pair]:
    """The statement of this sample. Samples take turns with all facts, then with the next form."""
    statements = statements_of(trail.news, trail.language)
    if not statements:
        return []
    fact = statements[trail.index % len(statements)]
    sentence, start = fact.sentence, fact.gap.index(GAP)
    turn = trail.index % len(statements) + trail.index // len(statements)  # the other half of the forms in each pass
    half = len(trail.cues) // 2
    begins = turn % 2 == 1 and start >= _LEAST
    shown, missing = (sentence[:start].rstrip(), sentence[start:]) if begins else (fact.gap, fact.text)
    forms = trail.cues[half:] if begins else trail.cues[:half]
    subject = subject_of(trail.news, trail.language)
    own = content_words(subject, trail.language)
    # A form that names the subject must not name what is missing, and is not needed where the sentence names it.
    open_ = bool(own & content_words(missing, trail.language)) or own <= content_words(shown, trail.language)
    fitting = [form for form in forms if ("{subject}" in form) is not open_] or forms
    return [asked(fill(fitting[turn // 2 % len(fitting)], {"subject": subject, "statement": shown}), missing)]
