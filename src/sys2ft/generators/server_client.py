"""Requests to an OpenAI-compatible server: bounded concurrency, retries with back-off, rate limits, clear errors.

The key comes from the environment. It is sent, and nothing else: where a server repeats it, it is replaced before
the text is kept or shown.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sys2ft.errors import ModelError, SettingsError
from sys2ft.generators.server_settings import KEYS, Address, ServerSettings
from sys2ft.runs import Display

if TYPE_CHECKING:
    import openai

T = TypeVar("T")

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0  # seconds; between them the waits double
_MOST_ASKED = 600.0  # a server that asks for a longer wait than this ends the work
_WORTH_A_NOTE = 5.0
_RETRIED = (408, 409, 425, 429)  # and all from 500
_NO_KEY = "none"  # the client insists on one
_SHORTEST_KEY = 8  # a shorter one, such as EMPTY, is no secret, and may be a word of a text
_HIDDEN = "[key]"


def key_of_environment() -> str:
    """The server's key, or "" if there is none. Raises SettingsError for one that cannot be sent."""
    name = next((name for name in KEYS if name in os.environ), KEYS[0])
    key = os.environ.get(name, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise SettingsError(
            f"the environment variable {name} has characters that no key has",
            expected="the key alone, on one line",
            fix="set it again",
        )
    return key


class Refused(Exception):
    """The server answered that it does not take a request as it is."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class Client:
    """Asks a server, from any thread: `call` runs coroutines over a `Session` in a thread with an event loop."""

    def __init__(self, address: Address, settings: ServerSettings, show: Display) -> None:
        self.address, self.settings, self.show = address, settings, show
        self.key = key_of_environment()
        self.repeated = 0
        """Requests that were made again."""
        _imported()

    def call(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """What `work` returns. Ends at once, with all requests, when the caller's thread is interrupted."""
        from anyio.from_thread import start_blocking_portal

        async def within() -> T:
            library = _imported()
            async with library.AsyncOpenAI(
                base_url=self.address.url,
                api_key=self.key or _NO_KEY,
                max_retries=0,  # here, where waiting for one request holds back the others too
                timeout=self.settings.request_seconds,
            ) as connection:
                return await work(Session(self, connection))

        # A loop in a thread of its own also works where the caller's thread runs one already, as in a notebook.
        with start_blocking_portal() as portal:
            return portal.call(within)

    def hidden(self, value: Any) -> Any:
        """JSON data without the key."""
        if len(self.key) < _SHORTEST_KEY:
            return value
        if isinstance(value, str):
            return value.replace(self.key, _HIDDEN)
        if isinstance(value, Mapping):
            return {self.hidden(name): self.hidden(one) for name, one in value.items()}
        return [self.hidden(one) for one in value] if isinstance(value, list) else value


class Session:
    """Connections to the server, within an event loop."""

    def __init__(self, client: Client, connection: openai.AsyncOpenAI) -> None:
        import anyio

        self.client, self.connection = client, connection
        self._places = anyio.CapacityLimiter(client.settings.requests_at_once)
        self._next = 0.0  # earliest start of the next request (monotonic clock)
        self._noted = 0.0

    async def models(self) -> list[Any]:
        """What the server says of its models; empty if it does not list them."""
        try:
            listed = await self._asked(lambda: self.connection.models.with_raw_response.list(), opening=True)
        except Refused:
            return []
        rows = listed.get("data") if isinstance(listed, dict) else None
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []

    async def chat(self, body: Mapping[str, Any], *, opening: bool = False) -> Any:
        """The server's answer to a chat completion, as JSON data. Raises Refused, and ModelError if there is none."""
        rest = {name: value for name, value in body.items() if name != "messages"}
        create = self.connection.chat.completions.with_raw_response.create
        model = self.client.address.model
        return await self._asked(
            lambda: create(model=model, messages=body["messages"], extra_body=rest), opening=opening
        )

    async def _asked(self, send: Callable[[], Awaitable[Any]], *, opening: bool) -> Any:
        """`opening`: whether it is the first contact, at which an address without a server is not tried for long."""
        import anyio

        library, settings = _imported(), self.client.settings
        attempt, last, most = 0, "", settings.attempts
        while attempt < most:
            if attempt:
                self.client.repeated += 1
            attempt += 1
            wanted: float | None = None
            try:
                async with self._places:
                    await self._turn()
                    with anyio.fail_after(settings.request_seconds):
                        raw = await send()
                return self._read(raw)
            except library.APIStatusError as error:
                status, message = error.status_code, self._message(error)
                last = f"{status}: {message}"
                wanted = asked_wait(error.response.headers)
                spent = isinstance(error.body, dict) and error.body.get("code") == "insufficient_quota"
                if status in (401, 403):
                    raise self._key_refused(last) from None
                if spent or (status < 500 and status not in _RETRIED):
                    raise Refused(status, message) from None
                if wanted is not None and wanted > _MOST_ASKED:
                    raise self._failed(attempt, f"{last}, and asks for a wait of {wanted:,.0f} s") from None
            except (library.APITimeoutError, TimeoutError):
                last = f"no reply within {settings.request_seconds:g} s"
            except library.APIConnectionError as error:
                last = self.client.hidden(f"no connection: {error.__cause__ or error}")
                most = min(most, 2) if opening else most
            if attempt < most:
                wait = min(_FIRST_WAIT * 2 ** (attempt - 1), _LONGEST_WAIT) * random.uniform(0.5, 1.0)
                if wanted is not None:
                    wait = wanted + wait / 8  # not all at the same moment
                    self._hold(wanted, last)
                await anyio.sleep(wait)
        raise self._failed(attempt, last)

    async def _turn(self) -> None:
        """Wait until a request may begin: after a wait that the server asked for, and within the rate."""
        import anyio

        rate = self.client.settings.requests_per_minute
        while (left := self._next - time.monotonic()) > 0:
            await anyio.sleep(left)
        if rate:
            self._next = time.monotonic() + 60 / rate

    def _hold(self, seconds: float, why: str) -> None:
        """Let no request begin for so long."""
        self._next = max(self._next, time.monotonic() + seconds)
        if seconds >= _WORTH_A_NOTE and time.monotonic() > self._noted:
            self._noted = self._next
            self.client.show.note(f"{self.client.address.name} asks for a wait of {seconds:.0f} s ({why})")

    def _read(self, raw: Any) -> Any:
        try:
            return self.client.hidden(json.loads(raw.text))
        except ValueError:
            raise nonsense(self.client.address, self.client.hidden(raw.text)) from None

    def _message(self, error: openai.APIStatusError) -> str:
        body = error.body
        said = body.get("message") if isinstance(body, dict) else None
        return shortened(str(self.client.hidden(said or error.response.text or error.message)))

    def _key_refused(self, last: str) -> ModelError:
        name = self.client.address.name
        given = "does not take the key" if self.client.key else "wants a key, and none is set"
        return ModelError(
            f"{name} {given} ({last})",
            expected=f"a key that the server knows, in the environment variable {KEYS[0]} (or {KEYS[1]})",
            fix="set it; it is sent to the server and written nowhere",
        )

    def _failed(self, attempts: int, last: str) -> ModelError:
        times = f"{attempts} attempts" if attempts > 1 else "one attempt"
        return ModelError(
            f"{self.client.address.name} gave no reply in {times} ({last})",
            expected="a server that replies",
            fix="start it, correct the address, or raise --attempts or --request-seconds; finished replies are kept, "
            "and the same command resumes",
        )


def nonsense(address: Address, answer: Any) -> ModelError:
    """The error for an answer that is not a chat completion."""
    shown = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return ModelError(
        f"{address.name} answered something else than a chat completion: {shortened(shown) or 'nothing'}",
        expected="JSON with `choices`, as OpenAI's API has it",
        fix="correct the address, which often ends in /v1, or use a server with that interface",
    )


def shortened(text: str, most: int = 200) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[:most] + "..."


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait before the next request, as a server asks for by Retry-After (seconds or a date)."""
    given = headers.get("retry-after", "").strip()
    try:
        if precise := headers.get("retry-after-ms"):
            return max(0.0, float(precise) / 1000)
        return max(0.0, float(given)) if given else None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(given).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _imported() -> Any:
    """The library `openai`. Raises SettingsError if it is not installed."""
    try:
        import openai
    except ImportError as error:
        raise SettingsError(
            "the generator openai:..., and the Python package `openai` is not installed",
            expected="the extra `openai`",
            fix="pip install 'sys2ft[openai]'",
        ) from error
    return openai
