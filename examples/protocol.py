"""A protocol with two stages: the model lists facts, then restates them; each restated fact becomes an element.

    python examples/protocol.py --model smollm2-135m-instruct

An entry point makes it available to every `--protocols` option: see docs/extending.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import sys2ft
from sys2ft.generators import Pair
from sys2ft.models import DEFAULT_MODEL, Message
from sys2ft.replay import Protocol, Stage, Trail, parse_template
from sys2ft.replay.filters import off_topic, refusal

LIST = """## user
News: {news}

{instruction}
## instructions
List the facts in this news, one short sentence per line.
List what one can learn from this news, one short sentence per line.
"""
RESTATE = """## user
News: {news}

Facts:
{list}

{instruction}
## instructions
Write each fact again in other words, one per line, so that it can be understood without the news.
"""


def lines_of(text: str) -> str | None:
    """The lines of a reply without bullets and numbers; None if the reply has no text."""
    lines = [line.strip(" -*•0123456789.)") for line in text.splitlines()]
    return "\n".join(line for line in lines if line) or None


def each_line(trail: Trail) -> Sequence[Pair]:
    """One element per restated fact, as an answer to the sample's cue."""
    facts = trail.said["restate"].splitlines()
    return [Pair(messages=(Message("user", trail.cue),), text=fact) for fact in facts]


def facts() -> Protocol:
    """The protocol; the entry point names this function."""
    first = Stage(
        name="list", template=parse_template(LIST, "list"), parser=lines_of, filters=(refusal, off_topic), stops=(),
        max_new_tokens=96,
    )  # fmt: skip
    second = Stage(
        name="restate", template=parse_template(RESTATE, "restate"), parser=lines_of, filters=(refusal,), stops=(),
        max_new_tokens=96, temperature=0.7,
    )  # fmt: skip
    cues = ("What is the news?", "Tell me something new.")
    return Protocol(name="facts", version=1, stages=(first, second), cues=cues, elements=each_line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=DEFAULT_MODEL)
    model = sys2ft.load_model(parser.parse_args().model)
    news = [sys2ft.News(id="ferry", text="The town of Paris has a new ferry. In 2031 it carries 40 people.")]
    settings = sys2ft.GenerateSettings(samples_per_news=3, rounds=1)
    replay = sys2ft.generate(model, news, settings, protocols=[facts()])["facts"]
    for element in replay.elements:
        print(f"{element.id:<20} {element.reason or 'kept':<10} {element.completion}")
    print(f"kept {replay.counts.kept} of {replay.counts.asked}")
