"""Judging replies and building elements with a protocol's own functions; errors name the protocol, stage and sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sys2ft.errors import SettingsError
from sys2ft.generators import Pair, without_thought
from sys2ft.replay.filters import Reason, Said
from sys2ft.replay.stages import Stage, last_said
from sys2ft.replay.units import Sample, UnitMaker


def judge(maker: UnitMaker, sample: Sample, stage: Stage, text: str, finished: bool) -> tuple[str, Reason | None]:
    """What a stage said, parsed if possible, and the reason against it if there is one.

    Raises SettingsError if the parser or a filter fails, or returns anything but a text or None.
    """
    if not finished:
        return text.strip(), "truncated"
    if stage.thinking:
        text = without_thought(text)
    if not text.strip():
        return "", "empty"
    protocol = maker.protocol
    where = (
        f"the protocol {protocol.name!r}, stage {stage.name!r}, sample {protocol.sample_id(sample.news, sample.index)}"
    )
    parsed = _called(f"{where}: the parser", stage.parser, text)
    if parsed is not None and not isinstance(parsed, str):
        raise _wrong(f"{where}: the parser", parsed, "a text, or None if the reply has no usable part")
    if not parsed:
        return text.strip(), "unparsed"
    code = maker.language(sample.news).code
    said = Said(
        text=parsed,
        news=sample.news,
        template=stage.template_in(code, aimed=sample.fact is not None),
        index=sample.index,
        earlier=dict(sample.said),
        language=code,
        answer=sample.fact.answer if sample.fact else "",
    )
    for one in stage.filters:
        name = f"{where}: the filter {getattr(one, '__name__', one)!r}"
        reason = _called(name, one, said)
        if reason is None:
            continue
        if not isinstance(reason, str) or not reason:
            raise _wrong(name, reason, "a word, the reason to reject the text, or None to accept it")
        return parsed, reason
    return parsed, None


def build(maker: UnitMaker, sample: Sample) -> list[Pair]:
    """The elements of a sample that passed all stages, by the protocol's rule.

    Raises SettingsError if the rule fails or returns anything but pairs.
    """
    protocol = maker.protocol
    trail = maker.trail(sample)
    if protocol.elements is None:
        return last_said(trail)
    last = f", stage {protocol.stages[-1].name!r}" if protocol.stages else ""
    where = f"the protocol {protocol.name!r}{last}, sample {protocol.sample_id(sample.news, sample.index)}: `elements`"
    expected = "a sequence of generators.Pair(messages=..., text=...), each with at least one message; [] for none"
    returned = _called(where, protocol.elements, trail)
    if returned is None or isinstance(returned, str | Pair):
        raise _wrong(where, returned, expected)
    built = _called(where, list, returned)  # a generator function runs only now
    for pair in built:
        if not (isinstance(pair, Pair) and pair.messages and isinstance(pair.text, str)):
            raise _wrong(where, pair, expected)
    return list(built)


def _called(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` returns. Raises SettingsError that names it as `what` if it fails."""
    try:
        return function(*arguments)
    except Exception as error:  # a protocol's own code may raise anything
        raise SettingsError(
            f"{what} failed: {type(error).__name__}: {error}",
            expected="a function that works on every reply of a model",
            fix="correct the protocol's definition",
        ) from error


def _wrong(what: str, returned: Any, expected: str) -> SettingsError:
    return SettingsError(
        f"{what} returned {returned!r}",
        expected=expected,
        fix="correct the protocol's definition",
    )
