"""Settings of `sys2ft serve`. Nothing here imports torch, which keeps `sys2ft --help` fast."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Literal

from sys2ft.errors import SettingsError


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeSettings:
    """Where the server listens, what it offers, and its limits."""

    host: str = "127.0.0.1"
    """Address to listen on. Any but a loopback address needs an API key."""
    port: int = 8000
    """Port to listen on; 0: any free one."""
    api_key: str | None = field(default=None, repr=False)
    """Key that every request must carry (Authorization: Bearer KEY). The environment variable SYS2FT_API_KEY sets it
    without showing it in the list of processes."""
    only: tuple[str, ...] = ()
    """Adapters to offer, by their model names; empty: all."""
    news_in_context: Literal["retrieved", "whole"] = "retrieved"
    """What the model `base+news` reads before a question: the news item that BM25 finds for it, or all news items."""
    max_tokens: int = 512
    """Tokens of an answer whose request names no limit."""
    max_queue: int = 256
    """Answers that run or wait at a time; requests beyond it are refused with 429."""
    rows_at_once: int = 128
    """Answers that are computed at a time."""
    max_body: int = 2**20
    """Bytes of a request's body; larger ones are refused with 413."""
    time_limit: float = 600.0
    """Seconds until a request is given up."""

    def __post_init__(self) -> None:
        least = {"max_tokens": 1, "max_queue": 1, "rows_at_once": 1, "max_body": 1}
        wrong = [f"{name}={getattr(self, name)}" for name, low in least.items() if getattr(self, name) < low]
        wrong += [] if self.time_limit > 0 else [f"time_limit={self.time_limit}"]
        wrong += [] if 0 <= self.port < 2**16 else [f"port={self.port}"]
        if wrong:
            raise SettingsError(
                ", ".join(wrong),
                expected="at least 1, a time limit above 0, and a port from 0 to 65535",
                fix="change the setting that is out of range",
            )
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable() and self.api_key):
            raise SettingsError(
                "an API key that is empty or has characters that a header cannot carry",
                expected="printable ASCII characters",
                fix="choose another key, such as the output of: openssl rand -hex 24",
            )
        if not self.loopback and self.api_key is None:
            raise SettingsError(
                f"--host {self.host} without an API key: other machines could use the model",
                expected="a loopback address (127.0.0.1, ::1, localhost), or a key",
                fix="leave out --host, or set the environment variable SYS2FT_API_KEY (or --api-key)",
            )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
