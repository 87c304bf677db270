"""What a server does with the fields of a request, found out by a few short requests: servers ignore many silently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sys2ft.errors import ModelError
from sys2ft.generators.server_client import Refused, Session, nonsense
from sys2ft.generators.server_reply import Answer

Taken = Literal["taken", "ignored", "refused", "unknown"]

LIMITS = ("max_tokens", "max_completion_tokens")
"""The field with the token budget, and the one that some servers want in its place."""
QUIET = {"chat_template_kwargs": {"enable_thinking": False}}
"""Asks a reasoning model not to think, of servers that render chat templates (llama.cpp, vLLM, SGLang)."""
# Fields besides OpenAI's, with the value at which sampling becomes greedy.
GREEDY: dict[str, float] = {"top_k": 1, "min_p": 1.0}

_MESSAGES = [{"role": "user", "content": "Write one sentence about an animal."}]
_TOKENS = 12
_TOLD = {
    "seed": "seed (the same request gave two replies: a stopped run resumes, but the run cannot be repeated)",
    "top_k": "top_k (not sent)",
    "n": "n (not used)",
    "logprobs": "logprobs (not used)",
    "max_tokens": "max_tokens (replies can be longer than --max-new-tokens)",
    "usage": "token counts (none come back: they count as 0)",
}


async def explore(session: Session) -> dict[str, Any]:
    """What a server takes: `model` (as it names itself), `limit`, `thinks`, `quiet` and `takes`, by field `Taken`.

    Raises ModelError if it answers no request at all.
    """
    address = session.client.address

    async def ask(limit: str, **fields: Any) -> Answer:
        body = {"messages": _MESSAGES, "temperature": 1.0, limit: _TOKENS, **fields}
        raw = await session.chat(body, opening=True)
        answer = Answer.read(raw)
        if answer is None:
            raise nonsense(address, raw)
        return answer

    limit = LIMITS[0]
    try:
        try:
            plain = await ask(limit)
        except Refused as refused:
            if LIMITS[1] not in refused.message:
                raise
            limit = LIMITS[1]
            plain = await ask(limit)
    except Refused as refused:
        raise refused_error(session, refused) from None

    async def trial(**fields: Any) -> Answer | None:
        try:
            return await ask(limit, **fields)
        except Refused:
            return None

    drawn = [await trial(seed=seed) for seed in (1, 1, 2)]
    varied = len({answer.text for answer in (plain, *drawn) if answer}) > 1
    takes: dict[str, Taken] = {"seed": _same(drawn[0], drawn[1], varied)}
    for name, value in GREEDY.items():
        seeds = [{"seed": seed} if drawn[0] else {} for seed in (1, 2)]
        one, other = [await trial(**seed, **{name: value}) for seed in seeds]
        takes[name] = _same(one, other, varied)
    two, likely = await trial(n=2), await trial(logprobs=True)
    takes["n"] = "refused" if two is None else "taken" if two.choices == 2 else "ignored"
    takes["logprobs"] = "refused" if likely is None else "taken" if likely.logprobs else "ignored"
    takes["max_tokens"] = "ignored" if plain.tokens_written > _TOKENS else "taken"
    takes["usage"] = "taken" if plain.counted else "ignored"
    quiet = await trial(**QUIET) if plain.thought else None
    return {
        "model": plain.model,
        "limit": limit,
        "thinks": plain.thought,
        "quiet": quiet is not None and not quiet.thought,
        "takes": takes,
    }


def _same(first: Answer | None, second: Answer | None, varied: bool) -> Taken:
    """Whether a field is taken that makes two replies the same, which otherwise vary."""
    if first is None or second is None:
        return "refused"
    if first.text != second.text:
        return "ignored"
    return "taken" if varied else "unknown"


def told(found: Mapping[str, Any]) -> list[str]:
    """What of a request the server does not do, in words, from what `explore` found."""
    takes: Mapping[str, Taken] = found["takes"]
    lines = []
    for state in ("ignored", "refused"):
        names = [text for name, text in _TOLD.items() if takes[name] == state]
        if names:
            lines.append(f"{'ignores' if state == 'ignored' else 'refuses'} {', '.join(names)}")
    if takes["seed"] == "unknown":
        lines.append("gave the same reply to two seeds, so whether it takes them is not known")
    if found["thinks"] and not found["quiet"]:
        lines.append("thinks before every reply, within the token budget: raise --max-new-tokens")
    return lines


def refused_error(session: Session, refused: Refused) -> ModelError:
    """The error for a request that the server does not take."""
    address = session.client.address
    if refused.status == 404:
        return ModelError(
            f"{address.name}: the server has no such model or no such path ({refused})",
            expected="a model that the server has, and its base address, which often ends in /v1",
            fix="correct MODEL or the address in --generator",
        )
    return ModelError(
        f"{address.name} refuses a request ({refused})",
        expected="a server that takes chat completions with temperature, top_p and a token budget",
        fix="do what the message says; if a prompt is too long, give the server a longer context or split the text",
    )
