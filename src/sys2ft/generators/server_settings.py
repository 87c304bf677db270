"""How a server that writes is named (`openai:MODEL@URL`), and how it is asked: the settings of requests to it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from sys2ft.errors import SettingsError

KIND = "openai"
KEYS = ("SYS2FT_GENERATOR_KEY", "OPENAI_API_KEY")
"""Environment variables with a server's key; the first that is set counts, and may be empty."""

_FORM = "openai:MODEL@URL, such as openai:qwen2.5-7b-instruct@http://127.0.0.1:8080/v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings:
    """How a server that writes elements is asked. None of these settings changes what it replies."""

    requests_at_once: int = 8
    """Requests to a server (`--generator openai:...`) whose replies are awaited at the same time."""
    requests_per_minute: float = 0.0
    """Requests to a server that begin in a minute, at most; 0: no limit but that of the server."""
    request_seconds: float = 120.0
    """Time after which a request to a server is given up and repeated."""
    attempts: int = 6
    """How often a request is made in all before it ends the work. The waits in between double from half a second, or
    are those that the server asks for."""
    price_read: float = 0.0
    """Price of a million tokens that a server reads, in any currency; the run then records what its replies cost."""
    price_written: float = 0.0
    """The same for the tokens that it writes."""

    def __post_init__(self) -> None:
        least = {"requests_at_once": 1, "attempts": 1, "requests_per_minute": 0, "price_read": 0, "price_written": 0}
        wrong = [f"{name}={getattr(self, name)}" for name, low in least.items() if not low <= getattr(self, name)]
        wrong += [f"{name}=inf" for name in least if getattr(self, name) == math.inf]
        if not 0 < self.request_seconds < math.inf:
            wrong.append(f"request_seconds={self.request_seconds}")
        if wrong:
            raise SettingsError(
                ", ".join(wrong),
                expected="requests_at_once and attempts at least 1, request_seconds above 0, the others at least 0",
                fix="correct the setting that is out of range",
            )

    def cost(self, read: int, written: int) -> float:
        """The price of so many tokens."""
        return (read * self.price_read + written * self.price_written) / 1e6


@dataclass(frozen=True, slots=True)
class Address:
    """A model on a server: its name there, and the server's base URL."""

    model: str
    url: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """From MODEL@URL, the part of a generator's name after 'openai:'. A URL without a path gets /v1.

        Raises SettingsError for another form, and for a URL with a user name, a query or a fragment: keys belong into
        the environment, and the message does not repeat them.
        """
        found = re.search(r"@https?://", text)  # the first: an address may have an '@' in it
        if not found or not found.start():
            shown = f"{KIND}:{text}" if "//" not in text else f"{KIND}:... without MODEL@ or with another address"
            raise SettingsError(f"the generator {shown}", expected=_FORM, fix="correct --generator")
        model, url = text[: found.start()], text[found.start() + 1 :]
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = None, None
        if parts is not None and (parts.username or parts.password or parts.query or parts.fragment):
            raise SettingsError(
                f"the address of {KIND}:{model} has a user name, a key or a query in it",
                expected="an address without; it is recorded, and a key must not be",
                fix=f"remove it from --generator, and set the environment variable {KEYS[0]}",
            )
        if parts is None or not parts.hostname or re.search(r"\s", url):
            raise SettingsError(f"the address of {KIND}:{model} is no URL", expected=_FORM, fix="correct --generator")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        place = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
        return cls(model, place + (parts.path.rstrip("/") or "/v1"))

    @property
    def name(self) -> str:
        """As `--generator` takes it."""
        return f"{KIND}:{self.model}@{self.url}"

    @property
    def is_open(self) -> bool:
        """Whether what is sent passes a network unencrypted."""
        parts = urlsplit(self.url)
        local = parts.hostname in ("localhost", "::1") or (parts.hostname or "").startswith("127.")
        return parts.scheme == "http" and not local
