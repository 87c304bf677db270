"""Judging replies and building elements with a protocol's own functions; errors name the protocol, stage and sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sys2ft.errors import SettingsError
from sys2ft.generators import Pair, without_thought
from sys2ft.replay.filters import Filter, Reason, Said
from sys2ft.replay.parsers import up_to_end
from sys2ft.replay.stages import Stage, last_said
from sys2ft.replay.units import Sample, UnitMaker


def judge(maker: UnitMaker, sample: Sample, stage: Stage, text: str, finished: bool) -> tuple[str, Reason | None]:
    """What a stage said, parsed if possible, and the reason against it if there is one.

    Raises SettingsError if the parser or a filter fails, or returns anything but a text or None.
    """
    if not finished:
        complete = up_to_end(text) if stage.may_be_cut and not stage.thinking else ""
        if not complete:
            return text.strip(), "truncated"
        text = complete
        sample.cut.append(stage.name)
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
    return parsed, _against(maker, sample, stage, stage.filters, parsed, where)


def judge_element(maker: UnitMaker, sample: Sample, pair: Pair) -> Reason | None:
    """The reason of the protocol's own filters against one element, or None.

    Raises SettingsError if a filter fails, or returns anything but a text or None.
    """
    protocol = maker.protocol
    where = f"the protocol {protocol.name!r}, sample {protocol.sample_id(sample.news, sample.index)}"
    return (
        _against(maker, sample, protocol.stages[-1], protocol.filters, pair.text, where) if protocol.filters else None
    )


def without_target(maker: UnitMaker, sample: Sample, stage: Stage) -> bool:
    """Whether one of the stage's own placeholders has no text. Raises SettingsError if its function fails."""
    where = f"the protocol {maker.protocol.name!r}, stage {stage.name!r}, news item {sample.news.id!r}: `picks`"
    picked = _called(where, stage.picked, maker.trail(sample))
    for text in picked.values():
        if text is not None and not isinstance(text, str):
            raise _wrong(where, text, "a text, or None if there is nothing to ask about")
    return not all(picked.values())


def _against(
    maker: UnitMaker, sample: Sample, stage: Stage, filters: Sequence[Filter], text: str, where: str
) -> Reason | None:
    """The first reason of these filters against a text that the stage gave, or None."""
    code = maker.language(sample.news).code
    said = Said(
        text=text,
        news=sample.news,
        template=stage.template_in(code, aimed=sample.fact is not None),
        index=sample.index,
        earlier=dict(sample.said),
        language=code,
        answer=sample.fact.answer if sample.fact else "",
    )
    for one in filters:
        name = f"{where}: the filter {getattr(one, '__name__', one)!r}"
        reason = _called(name, one, said)
        if reason is None:
            continue
        if not isinstance(reason, str) or not reason:
            raise _wrong(name, reason, "a word, the reason to reject the text, or None to accept it")
        return reason
    return None


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
