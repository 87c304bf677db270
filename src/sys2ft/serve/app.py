"""The web application: the routes of OpenAI's API, and those that others add.

A route reads a body, asks the service, and sends what comes through the job's queue. A client that goes away, a time
limit and an error end the job, so that its rows leave the batch.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from sys2ft.serve.answers import DONE, Form, Said, event
from sys2ft.serve.asking import AskedChat, AskedText, read_body
from sys2ft.serve.failures import ApiError, failed, out_of_time
from sys2ft.serve.guard import Guard, too_large
from sys2ft.serve.service import Service
from sys2ft.serve.settings import ServeSettings
from sys2ft.serve.worker import Job, Piece
from sys2ft.serve.writer import TokenText


def build_app(service: Service, *, extra_routes: Sequence[BaseRoute] = (), public: Collection[str] = ()) -> Starlette:
    """The application over a started service. `extra_routes` come after those of the API.

    `public`: paths that need no API key, where there is one. Every response has the headers of `guard` unless it sets
    them itself.
    """

    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": service.models()})

    async def model(request: Request) -> Response:
        return JSONResponse(service.described(request.path_params["name"]))

    async def chat(request: Request) -> Response:
        return await _answer(service, request, AskedChat)

    async def text(request: Request) -> Response:
        return await _answer(service, request, AskedText)

    routes = [
        Route("/v1/models", models, methods=["GET"]),
        Route("/v1/models/{name:path}", model, methods=["GET"]),
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/completions", text, methods=["POST"]),
        *extra_routes,
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, settings=service.settings, public=public)],
        exception_handlers={
            ApiError: _refused,
            HTTPException: _not_routed,
            ClientDisconnect: _nobody_reads,
            Exception: _crashed,
        },
    )


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body(), error.status, error.headers)


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{error.detail}: {request.method} {request.url.path}"
    return JSONResponse(ApiError(error.status_code, message).body(), error.status_code, error.headers)


async def _crashed(_: Request, __: Exception) -> Response:
    error = failed("the server failed; its log says why")  # the log has the traceback
    return JSONResponse(error.body(), error.status)


async def _answer(service: Service, request: Request, kind: type[AskedChat] | type[AskedText]) -> Response:
    deadline = asyncio.get_running_loop().time() + service.settings.time_limit
    asked = read_body(kind, await body_of(request, service.settings))
    job, form = await service.begin(asked)
    if asked.stream:
        return _Stream(service, job, form, deadline, with_usage=asked.with_usage)
    try:
        return await _whole(service, request, job, form, deadline)
    finally:
        service.worker.cancel(job)


async def body_of(request: Request, settings: ServeSettings) -> bytes:
    """The body. Raises ApiError if it is too large or does not come in time, ClientDisconnect if the client went."""
    try:
        return await asyncio.wait_for(_body(request, settings.max_body), settings.time_limit)
    except asyncio.TimeoutError:
        raise ApiError(408, "The body did not come within the server's time limit.", code="body_timeout") from None


async def _body(request: Request, most: int) -> bytes:
    parts, size = list[bytes](), 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise too_large(most)
        parts.append(part)
    return b"".join(parts)


async def _nobody_reads(_: Request, __: Exception) -> Response:
    """For a client that has closed its connection."""
    return Response(status_code=499)


async def _pieces(service: Service, job: Job, receive: Receive, deadline: float) -> AsyncIterator[Piece]:
    """The pieces of a job until all its answers have ended.

    Raises ApiError if it failed or took too long, and ClientDisconnect if the client went away.
    """
    loop = asyncio.get_running_loop()
    gone = loop.create_task(_gone(receive))
    left = len(job.choices)
    try:
        while left:
            said = loop.create_task(job.said.get())
            await asyncio.wait({said, gone}, timeout=deadline - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            if not said.done():
                said.cancel()
                raise ClientDisconnect if gone.done() else out_of_time(service.settings.time_limit)
            piece = said.result()
            if isinstance(piece, ApiError):
                raise piece
            left -= piece.ended is not None
            yield piece
    finally:
        gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _whole(service: Service, request: Request, job: Job, form: Form, deadline: float) -> Response:
    texts = ["" for _ in job.choices]
    tokens: list[list[TokenText]] = [[] for _ in job.choices]
    ended = ["" for _ in job.choices]
    async for piece in _pieces(service, job, request.receive, deadline):
        texts[piece.index] += piece.text
        tokens[piece.index] += piece.tokens
        ended[piece.index] = piece.ended or ""
    said = [Said(*one) for one in zip(texts, tokens, ended, strict=True)]
    return JSONResponse(form.answer(said, sum(choice.sampled for choice in job.choices)))


class _Stream(Response):
    """An answer as server-sent events. An error after the first event is an event too, and ends the stream."""

    def __init__(self, service: Service, job: Job, form: Form, deadline: float, *, with_usage: bool) -> None:
        super().__init__(media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.service, self.job, self.form, self.deadline, self.with_usage = service, job, form, deadline, with_usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            with contextlib.suppress(ClientDisconnect, OSError):  # the client has gone: nobody reads the rest
                async for part in self._events(receive):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self.service.worker.cancel(self.job)

    async def _events(self, receive: Receive) -> AsyncIterator[bytes]:
        form, sampled = self.form, 0
        extra = {"usage": None} if self.with_usage else {}
        places = [0 for _ in self.job.choices]
        for choice in self.job.choices:
            if opening := form.opening(choice.index):
                yield event({**opening, **extra})
        try:
            async for piece in _pieces(self.service, self.job, receive, self.deadline):
                if piece.text or piece.tokens or piece.ended:
                    sampled += piece.sampled if piece.ended else 0
                    at = places[piece.index]
                    places[piece.index] += len(piece.text)
                    yield event({**form.chunk(piece.index, piece.text, piece.tokens, piece.ended, at), **extra})
        except ApiError as error:
            yield event(error.body())
            return
        if self.with_usage:
            yield event(form.usage_chunk(sampled))
        yield DONE
