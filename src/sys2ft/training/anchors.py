"""Anchors: texts on which an adapter should go on predicting what the base predicts.

What was known stays if it is rehearsed: a share of every step is the divergence from the base on general text, or on
the base's own answers to questions that have nothing to do with the news (learning without forgetting, arXiv
1606.09282).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from sys2ft.engine import DecodeRequest, Example, Sampling, StopStrings, decode
from sys2ft.errors import SettingsError
from sys2ft.models import LoadedModel, Message
from sys2ft.runs import item_seed

OWN = "own"
MOST, TOKENS = 256, 128
"""Anchors that a training uses, and tokens of each."""
_ANSWER = 64  # tokens of an answer that the base gives
_FORMS = "plain text, or an object with `text`, with `prompt` (and `completion`), or with `messages`"


@dataclass(frozen=True, slots=True)
class Anchor:
    """A text, or a conversation; an empty `answer` is left to the base."""

    text: str = ""
    turns: tuple[Message, ...] = ()
    answer: str = ""


def anchors_in(anchor: str) -> list[Anchor]:
    """The bundled questions ('own'), or what the file has. Raises SettingsError if it has nothing or is unreadable."""
    if anchor == OWN:
        text = resources.files("sys2ft.training").joinpath("anchors.txt").read_text(encoding="utf-8")
        return [Anchor(turns=(Message("user", line),)) for line in text.splitlines() if line.strip()]
    fix = "correct --anchor, or use --anchor own"
    try:
        lines = Path(anchor).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"
        raise SettingsError(f"the anchor file {anchor} {why}", expected="a text file in UTF-8", fix=fix) from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            made = _anchor(line.strip())
            if made is None:
                raise SettingsError(
                    f"line {number} of the anchor file {anchor}: {line.strip()[:80]}", expected=_FORMS, fix=fix
                )
            found.append(made)
    if not found:
        raise SettingsError(f"the anchor file {anchor} is empty", expected=f"at least one line: {_FORMS}", fix=fix)
    return found


def _anchor(line: str) -> Anchor | None:
    """The anchor of a line, None if it has another form."""
    if not line.startswith("{"):
        return Anchor(text=line)
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if isinstance(row.get("text"), str) and row["text"].strip():
        return Anchor(text=row["text"].strip())
    said: Any = row.get("messages", row.get("prompt"))
    turns = [{"role": "user", "content": said}] if isinstance(said, str) else said
    answer = row.get("completion", "")
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0].get("content") if isinstance(answer[0], dict) else None
    if not isinstance(turns, list) or not isinstance(answer, str):
        return None
    if not all(isinstance(turn, dict) and isinstance(turn.get("content"), str) for turn in turns):
        return None
    messages = [Message(turn.get("role", "user"), turn["content"]) for turn in turns]
    if not answer and messages and messages[-1].role == "assistant":
        answer = messages.pop().content
    roles = [message.role for message in messages]
    fits = bool(roles) and roles[-1] == "user" and set(roles[1:]) <= {"user", "assistant"}
    return Anchor(turns=tuple(messages), answer=answer) if fits else None


def chosen(anchors: Sequence[Anchor]) -> list[Anchor]:
    """At most `MOST` of them, drawn at random, always the same ones."""
    if len(anchors) <= MOST:
        return list(anchors)
    drawn = np.random.default_rng(item_seed(0, "anchors")).permutation(len(anchors))[:MOST]
    return [anchors[place] for place in sorted(drawn.tolist())]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Anchors as examples of the base."""

    examples: list[Example]
    read: int
    """Tokens that were read for the base's own answers."""
    drawn: int
    """Tokens that were sampled for these."""
    cut: int
    """Anchors cut after `TOKENS` tokens."""


def rehearsal(model: LoadedModel, anchors: Sequence[Anchor]) -> Rehearsal:
    """The anchors as examples of the base.

    An answer is sampled with temperature 1, as the base's distribution has it, from a seed of its number. Texts are cut
    after `TOKENS` tokens, and left out if nothing that is predicted remains.
    """
    chat = model.chat
    prompts = {n: chat.prompt_ids(anchor.turns) for n, anchor in enumerate(anchors) if anchor.turns}
    asked = [n for n in prompts if not anchors[n].answer and len(prompts[n]) < TOKENS]
    said = decode(
        model.model,
        [DecodeRequest(prompts[n], item_seed(0, "anchor", n), slot=-1) for n in asked],
        Sampling(temperature=1.0),
        max_new_tokens=_ANSWER,
        stop_ids=chat.stop_ids,
        stop_when=StopStrings(model.tokenizer, chat.stop_texts) if chat.stop_texts else None,
    )
    answers = {
        n: [*one.ids, *([chat.end_of_turn_id] if one.finished else [])]
        for n, one in zip(asked, said.decoded, strict=True)
    }
    examples, cut = [], 0
    for n, anchor in enumerate(anchors):
        if anchor.text:
            whole = chat.plain_ids(anchor.text)
            ids = whole[:TOKENS]
            mask = [False] + [True] * (len(ids) - 1)
        else:
            answer = (
                answers.get(n, []) if n in answers else [*chat.continuation_ids(anchor.answer), chat.end_of_turn_id]
            )
            whole = [*prompts[n], *answer]
            ids = whole[:TOKENS]
            mask = [place >= len(prompts[n]) for place in range(len(ids))]
        if any(mask) and len(ids) > 1:
            examples.append(Example(ids, mask))
            cut += len(whole) > TOKENS
    return Rehearsal(examples, said.tokens_computed, said.tokens_generated, cut)
