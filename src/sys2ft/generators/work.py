"""Generation and scoring as functions of units: plain data in, a JSON object out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sys2ft.errors import SettingsError
from sys2ft.generators.types import Generated, Generator, Pair, Request, SamplingParams
from sys2ft.runs import Advance


@dataclass(frozen=True, slots=True)
class Context:
    """The context of an executor that computes units of generation."""

    generator: Generator
    advance: Advance | None = None
    """Called with the number of replies finished, where the units are computed in the caller's process."""
    judge: Generator | None = None
    """Computes log-likelihoods; None: `generator`."""


def generate(context: Context, requests: Sequence[Mapping[str, Any]], sampling: Mapping[str, Any]) -> dict[str, Any]:
    """A reply to each request (`Request.to_dict`), sampled by `sampling` (`SamplingParams.to_dict`)."""
    begun = time.perf_counter()
    asked, how = [Request.from_dict(row) for row in requests], SamplingParams.from_dict(sampling)
    made = replies(context.generator, asked, how, advance=context.advance)
    rows = [{"text": reply.text, "finished": reply.finished} for reply in made.replies]
    return {"rows": rows, **asdict(made.usage), "seconds": time.perf_counter() - begun}


def loglik(context: Context, pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Summed log-likelihood (nats) and number of tokens of each pair's text (`Pair.to_dict`)."""
    begun = time.perf_counter()
    judge = context.judge or context.generator
    made = judge.loglik([Pair.from_dict(row) for row in pairs])
    if made is None:
        raise SettingsError(
            f"the generator {judge.identity!r} computes no log-likelihoods",
            expected="a generator whose `loglik` gives values",
            fix="use one that does, such as a model loaded by this package",
        )
    _require_one_each("likelihoods", len(made.values), "pairs", len(pairs), judge)
    rows = [{"total": value.total, "tokens": value.tokens} for value in made.values]
    return {"rows": rows, **asdict(made.usage), "seconds": time.perf_counter() - begun}


def replies(
    generator: Generator,
    requests: Sequence[Request],
    sampling: SamplingParams,
    *,
    advance: Advance | None = None,
) -> Generated:
    """What `generator` replies. Raises SettingsError unless it is one reply to each request."""
    made = generator.generate(requests, sampling, advance=advance)
    _require_one_each("replies", len(made.replies), "requests", len(requests), generator)
    return made


def _require_one_each(what: str, found: int, asked: str, wanted: int, generator: Generator) -> None:
    """Raise SettingsError unless there is one result for each input."""
    if found != wanted:
        raise SettingsError(
            f"the generator {generator.identity!r} returned {found} {what} to {wanted} {asked}",
            expected=f"one for each of the {asked}, in their order",
            fix="correct the generator",
        )
