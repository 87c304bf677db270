"""Listening: the socket, the HTTP server, and its end by a signal."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from sys2ft.errors import SettingsError
from sys2ft.serve.service import Service
from sys2ft.serve.settings import ServeSettings

_GRACE = 3  # seconds that open connections have after the server was asked to stop


class Listening:
    """A bound socket, so that the address is known, and taken, before a model is loaded."""

    def __init__(self, settings: ServeSettings) -> None:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            with contextlib.ExitStack() as undo:
                self.socket = undo.enter_context(socket.socket(family, kind, protocol))
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.socket.bind(address)
                self.socket.listen(1024)
                undo.pop_all()
        except OSError as error:
            why = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            raise SettingsError(
                f"cannot listen on {settings.host}, port {settings.port}: {why}",
                expected="an address of this machine and a free port",
                fix="choose another with --port; --port 0 takes any free one",
            ) from error
        self.host = settings.host
        self.port: int = self.socket.getsockname()[1]

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def close(self) -> None:
        self.socket.close()


class _Server(uvicorn.Server):
    """Ends running answers when it is asked to stop, instead of waiting for them."""

    def __init__(self, config: uvicorn.Config, service: Service, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.service, self.ready = service, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.service.worker.stop()
        await super().shutdown(sockets)


def server_of(service: Service, app: Starlette, ready: Callable[[], None] = lambda: None) -> uvicorn.Server:
    """The HTTP server of an application: `run([socket])` answers requests until SIGINT or SIGTERM, which is raised
    again in the end, or until `should_exit` is set. `ready` is called when requests are answered."""
    config = uvicorn.Config(
        app, http="h11", ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        proxy_headers=False, timeout_graceful_shutdown=_GRACE,
    )  # fmt: skip
    return _Server(config, service, ready)
