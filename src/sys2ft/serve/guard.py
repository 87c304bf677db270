"""What every request passes before it reaches a route: host, origin, key and size; and headers of every response.

A browser that visits another site must not use a server on this machine: requests with a foreign `Host` (DNS
rebinding) or `Origin` are refused, bodies must be declared as JSON, and no CORS header is ever sent.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sys2ft.serve.failures import ApiError
from sys2ft.serve.settings import ServeSettings

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware. `public`: paths that need no API key, such as those of a page without data.

    A response that sets one of the headers itself keeps its own.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, public: Collection[str] = ()) -> None:
        self.app, self.settings, self.public = app, settings, frozenset(public)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope["method"], scope["path"], Headers(scope=scope))
        except ApiError as error:
            await JSONResponse(error.body(), error.status, error.headers)(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)

    def _check(self, method: str, path: str, headers: Headers) -> None:
        """Raise ApiError for a request that is refused."""
        host = headers.get("host", "")
        if self.settings.loopback and not _names_loopback(host):
            raise ApiError(403, f"The host {host!r} is not this server's.", code="foreign_host")
        reads = method in ("GET", "HEAD") and not path.startswith("/v1/")
        origin = headers.get("origin")
        foreign = origin is not None and _place(origin) != host.lower()
        if not reads and (foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin")):
            raise ApiError(403, "Requests from other sites are refused.", code="cross_site")
        if self.settings.api_key is not None and path not in self.public:
            scheme, _, key = headers.get("authorization", "").partition(" ")
            right = hmac.compare_digest(key.strip().encode(), self.settings.api_key.encode())
            if scheme.lower() != "bearer" or not right:
                raise ApiError(
                    401,
                    "A valid API key is needed: send it as the header 'Authorization: Bearer KEY'.",
                    code="invalid_api_key",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        if method == "POST":
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise ApiError(415, "The body must be JSON, with the header 'Content-Type: application/json'.")
            length = headers.get("content-length", "")
            if length.isascii() and length.isdigit() and int(length[:20]) > self.settings.max_body:
                raise too_large(self.settings.max_body)


def too_large(most: int) -> ApiError:
    return ApiError(413, f"The body is larger than {most} bytes.", code="body_too_large")


def _place(origin: str) -> str | None:
    """Host and port of an origin; None if it has none."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _names_loopback(host: str) -> bool:
    """Whether a Host header names this machine by a loopback address."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
