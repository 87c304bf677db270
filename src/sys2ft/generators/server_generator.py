"""The generator over an OpenAI-compatible server: every reply is kept in a file as soon as it is there.

Servers cut the stop off a reply, say not which it was, and count leading white space. So no stops are sent: a reply is
ended here, at its first stop, and the tokens after it are counted as the server does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sys2ft.errors import ModelError, SettingsError
from sys2ft.files import damage_named, digest, read_json, write_json
from sys2ft.generators.server_client import Client, Refused, Session, nonsense
from sys2ft.generators.server_probe import QUIET, explore, refused_error, told
from sys2ft.generators.server_reply import Answer
from sys2ft.generators.server_settings import Address, ServerSettings
from sys2ft.generators.types import Generated, Likelihoods, Pair, Request, SamplingParams, Usage
from sys2ft.runs import Advance, Display

RECORD = "server.json"
_AGAIN = "delete it and give the same command again: the server is asked again"
_SEEDS = 2**31  # servers take seeds of 32 bits, some with a sign
# What names a model among the fields of a server's list; others change from one start of a server to the next.
_SAID = ("id", "owned_by", "root", "parent")
_SAID_OF_FILE = ("n_params", "size", "ftype", "n_vocab", "n_embd")


class ServerGenerator:
    """Writes with a model on a server, many requests at a time. It computes no log-likelihoods.

    `replies` is the folder of the replies: what it has is not asked again, and with all replies in it no server is
    needed. Without one nothing is kept. The server is asked what it is when the generator is made, unless the folder
    knows; then before the first request. Raises ModelError for a server that is away, refuses the key, answers
    something else, or has become another one.
    """

    def __init__(
        self,
        address: Address,
        settings: ServerSettings | None = None,
        *,
        replies: Path | None = None,
        show: Display | None = None,
    ) -> None:
        self.address, self.settings, self.replies = address, settings or ServerSettings(), replies
        self.show = show or Display()
        self._client = Client(address, self.settings, self.show)
        kept = self._kept(RECORD)
        if kept and kept.get("name") != address.name:
            kept = None  # of another run in this folder, which will be refused
        self._checked = kept is None
        self.record: dict[str, Any] = kept or self._client.call(self._introduce)
        """What the server says it is, and what it takes."""
        for line in told(self.record):
            self.show.note(f"{address.name} {line}")
        if self._client.key and address.is_open:
            self.show.note(f"{address.name}: the key passes the network unencrypted")

    @property
    def identity(self) -> str:
        """The model's name, the server's address, and a digest of what the server says it is."""
        return f"{self.address.name} {digest([self.record['said'], self.record['model']])[:12]}"

    def generate(
        self, requests: Sequence[Request], sampling: SamplingParams, *, advance: Advance | None = None
    ) -> Generated:
        """A reply to each request. Requests that differ in nothing are made once."""
        if any(request.slot >= 0 for request in requests):
            raise SettingsError(
                f"{self.address.name} is asked to answer with an adapter",
                expected="requests to the base model: adapters are not on the server",
                fix="evaluate with the model that was trained",
            )
        bodies = [self.body(request, sampling) for request in requests]
        keys = [digest([self.identity, body])[:24] for body in bodies]
        times = Counter(keys)
        found = {key: answer for key in times if (answer := self._answer(f"{key}.json"))}
        count = advance or (lambda units=1: None)
        count(sum(times[key] for key in found))
        missing = {key: body for key, body in zip(keys, bodies, strict=True) if key not in found}

        def done(key: str, answer: Answer) -> None:
            self._write(f"{key}.json", answer.to_dict())
            found[key] = answer
            count(times[key])

        if missing:
            self._write(RECORD, self.record)
            self._client.call(lambda session: self._ask(session, missing, done))
        replies = [found[key].reply(sampling.stops) for key in keys]
        written = sum(answer.tokens_written for answer in found.values())
        computed = written + sum(answer.tokens_read for answer in found.values())
        return Generated(replies, Usage(tokens_computed=computed, tokens_generated=written))

    def loglik(self, pairs: Sequence[Pair]) -> Likelihoods | None:
        """None: a server's chat does not score given texts."""
        return None

    def body(self, request: Request, sampling: SamplingParams) -> dict[str, Any]:
        """What is sent for a request, besides the model's name."""
        takes = self.record["takes"]
        body: dict[str, Any] = {
            "messages": [{"role": one.role, "content": one.content} for one in request.messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self.record["limit"]: sampling.max_new_tokens,
        }
        if takes["seed"] != "refused":
            body["seed"] = (request.seed ^ (request.seed >> 32)) % _SEEDS
        if takes["top_k"] == "taken":
            body["top_k"] = sampling.top_k
        if takes["min_p"] == "taken":
            body["min_p"] = 0.0  # llama.cpp's default is another one
        if self.record["quiet"] and not request.thinking:
            body |= QUIET
        return body

    def spent(self) -> dict[str, Any]:
        """What the server has written for this folder: replies, tokens, their price, and by how many versions of it."""
        names = [file.name for file in self.replies.glob("*.json")] if self.replies else []
        answers = [one for name in names if name != RECORD and (one := self._answer(name))]
        read, written = sum(one.tokens_read for one in answers), sum(one.tokens_written for one in answers)
        found: dict[str, Any] = {"replies": len(answers), "tokens_read": read, "tokens_written": written}
        if self.settings.price_read or self.settings.price_written:
            found["cost"] = self.settings.cost(read, written)
        return found | {"versions_of_the_server": len({one.fingerprint for one in answers})}

    async def _introduce(self, session: Session) -> dict[str, Any]:
        said = await self._said(session)
        return {"name": self.address.name, "said": said, **await explore(session)}

    async def _said(self, session: Session) -> dict[str, Any]:
        """What the server says of the model; empty if it does not say anything."""
        rows = await session.models()
        for row in rows:
            names = [row.get("id"), *(row.get("aliases") or [])]
            if self.address.model in names or len(rows) == 1:
                meta = row.get("meta") if isinstance(row.get("meta"), dict) else {}
                named = {name: row[name] for name in _SAID if name in row}
                return named | {name: meta[name] for name in _SAID_OF_FILE if name in meta}
        if rows:
            names = [str(row.get("id")) for row in rows]
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            raise ModelError(
                f"{self.address.name}: the server has no model of that name",
                expected=f"one of {', '.join(names[:10])}{more}",
                fix="correct MODEL in --generator",
            )
        return {}

    async def _ask(
        self,
        session: Session,
        missing: Mapping[str, Mapping[str, Any]],
        done: Callable[[str, Answer], None],
    ) -> None:
        """Ask for the missing replies; `done` gets each as soon as it is there. The first error ends all requests."""
        if not self._checked:
            self._require_same("says", await self._said(session), self.record["said"])
            self._checked = True

        async def one(key: str, body: Mapping[str, Any]) -> None:
            try:
                raw = await session.chat(body)
            except Refused as refused:
                raise refused_error(session, refused) from None
            answer = Answer.read(raw)
            if answer is None:
                raise nonsense(self.address, raw)
            self._require_same("answers as", answer.model, self.record["model"])
            done(key, answer)

        tasks = [asyncio.ensure_future(one(key, body)) for key, body in missing.items()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _require_same(self, what: str, now: Any, before: Any) -> None:
        if now != before:
            raise ModelError(
                f"{self.address.name} now {what} {now!r}, and {before!r} before",
                expected="the model that wrote the first replies",
                fix="restore it on the server, or start a new run folder",
            )

    def _answer(self, name: str) -> Answer | None:
        kept = self._kept(name)
        if kept is None:
            return None
        with damage_named(self._file(name), _AGAIN):
            return Answer(**kept)

    def _kept(self, name: str) -> dict[str, Any] | None:
        if self.replies is None or not self._file(name).is_file():
            return None
        with damage_named(self._file(name), _AGAIN):
            kept: dict[str, Any] = read_json(self._file(name))
            if not isinstance(kept, dict):
                raise TypeError(f"{type(kept).__name__} in place of an object")
        return kept

    def _write(self, name: str, row: Mapping[str, Any]) -> None:
        if self.replies is not None:
            write_json(self._file(name), row)

    def _file(self, name: str) -> Path:
        assert self.replies is not None
        return self.replies / name
