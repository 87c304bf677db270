"""The page and what it asks of the server besides OpenAI's API.

Nothing of a request becomes a path: the page's own files are read when the server starts, stored pages are found by a
token, and runs by an id that is looked up. A page in a frame cannot send a key, so its token is what admits it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from sys2ft.errors import UserError
from sys2ft.languages import ENGLISH, language
from sys2ft.news import Question, news_from_dict
from sys2ft.serve.answers import event
from sys2ft.serve.app import body_of
from sys2ft.serve.asking import read_body
from sys2ft.serve.catalogue import BASE_NAME
from sys2ft.serve.failures import ApiError, out_of_time
from sys2ft.serve.guard import CONTENT_SECURITY_POLICY
from sys2ft.serve.page import views
from sys2ft.serve.page.comparing import AskedAgreement, AskedScore, Item, compared, examples, scored
from sys2ft.serve.page.framed import policy
from sys2ft.serve.page.launches import EPOCHS, PROTOCOLS, Launch, Launches, read_request
from sys2ft.serve.service import Service

_HERE = Path(__file__).resolve().parent
_TOKENS = _HERE.parents[1] / "pages" / "page.css"  # colours and type, shared with the stored pages
_FILES = {
    "/": ((_HERE / "page.html",), "text/html"),
    "/page.css": ((_TOKENS, _HERE / "page.css"), "text/css"),
    "/page.js": ((_HERE / "page.js",), "text/javascript"),
}
PUBLIC = (*_FILES, "/frame")
"""Paths that need no key: the page, which has no data, and stored pages, which need a token."""
_EVERY = 0.25  # seconds between two looks at a run in progress


class Site:
    """The routes of the page, for `build_app`. What it shows of folders is read once, when it is made.

    `run`, `ledger` and `studies` are the folders that are shown, as far as there are any. Raises UserError for one that
    is not what it should be.
    """

    def __init__(
        self, service: Service, launches: Launches, *, run: Path | None, ledger: Path | None, studies: Sequence[Path]
    ) -> None:
        self._service, self._launches = service, launches
        self._frames: dict[str, Path] = {}
        self._run = self._read_run(run)
        self._facts = views.facts_view(run) if run else {"news": []}
        self._ledger = views.ledger_view(ledger) if ledger else None
        pages = [self._token(folder / "study.html") for folder in studies]
        self._studies = [
            {**study, "page": page} for study, page in zip(views.studies_view(studies), pages, strict=True)
        ]
        self._questions = {
            (news.id, index): question
            for news in map(news_from_dict, views.news_rows(run) if run else ())
            for index, question in enumerate(news.questions)
        }

    @property
    def best(self) -> str | None:
        """Name of the run's best protocol, if its joint adapter is served."""
        best: str | None = self._run["best"]
        return best if best in self._run["adapters"] else None

    @property
    def routes(self) -> list[BaseRoute]:
        return [
            *(Route(path, _constant(*self._file(path))) for path in _FILES),
            Route("/frame", self._framed),
            Route("/api/run", _constant(_json(self._run), "application/json")),
            Route("/api/facts", _constant(_json(self._facts), "application/json")),
            Route("/api/ledger", _constant(_json(self._ledger), "application/json")),
            Route("/api/studies", _constant(_json(self._studies), "application/json")),
            Route("/api/score", self._score, methods=["POST"]),
            Route("/api/agreement", self._agreement, methods=["POST"]),
            Route("/api/runs", self._listed, methods=["GET"]),
            Route("/api/runs", self._start, methods=["POST"]),
            Route("/api/runs/{name}/events", self._events, methods=["GET"]),
            Route("/api/runs/{name}/stop", self._stop, methods=["POST"]),
            Route("/api/runs/{name}/resume", self._resume, methods=["POST"]),
        ]

    # What is read once ------------------------------------------------------------------------------------------------

    def _file(self, path: str) -> tuple[bytes, str]:
        files, kind = _FILES[path]
        return b"".join(file.read_bytes() for file in files), kind

    def _read_run(self, run: Path | None) -> dict[str, Any]:
        catalogue = self._service.catalogue
        nothing: dict[str, Any] = {"base": None, "in_context": None, "tuned": {}}
        view: dict[str, Any] = {"name": "sys2ft serve", "verdict": "", "best": None, "news": [], "rates": nothing}
        if run:
            view = views.run_view(run)
        named = catalogue.served.values()
        report = run / "report.html" if run else None
        return {
            **view,
            "model": catalogue.model.source.name,
            "adapters": [one.name for one in named if not one.reads_news and one.name != BASE_NAME],
            "reads_news": any(one.reads_news for one in named),
            "brief": language(ENGLISH).text("ask_direct"),
            "report": self._token(report) if report and report.is_file() else None,
            "offered": {"protocols": dict(PROTOCOLS), "epochs": list(EPOCHS)},
        }

    def _token(self, page: Path) -> str:
        """The token of a stored page, the same one each time."""
        known = next((token for token, path in self._frames.items() if path == page), None)
        token = known or secrets.token_urlsafe(24)
        self._frames[token] = page
        return token

    async def _framed(self, request: Request) -> Response:
        path = self._frames.get(request.query_params.get("of", ""))
        if path is None:
            raise ApiError(404, "There is no such page.", code="not_found")
        try:
            text = await asyncio.to_thread(path.read_text, encoding="utf-8")
        except OSError:
            raise ApiError(404, "This page is no longer there.", code="not_found") from None
        return Response(text, media_type="text/html", headers=policy(text))

    # Comparing --------------------------------------------------------------------------------------------------------

    async def _score(self, request: Request) -> Response:
        service = self._service
        asked = read_body(AskedScore, await self._body(request))
        made = await asyncio.to_thread(examples, service.catalogue, asked, service.positions)
        work = service.worker.call(partial(scored, service.catalogue, asked, made))
        try:
            nats = await asyncio.wait_for(asyncio.wrap_future(work), service.settings.time_limit)
        except asyncio.TimeoutError:
            raise out_of_time(service.settings.time_limit) from None
        return JSONResponse({"nats": nats})

    async def _agreement(self, request: Request) -> Response:
        asked = read_body(AskedAgreement, await self._body(request))
        return JSONResponse(await asyncio.to_thread(compared, asked, self._question(asked.item)))

    def _question(self, item: Item | None) -> Question | None:
        if item is None:
            return None
        question = self._questions.get((item.news_id, item.question))
        if question is None:
            raise ApiError(400, "The run has no such question.", param="item", code="invalid_value")
        return question

    # Runs -------------------------------------------------------------------------------------------------------------

    async def _listed(self, _: Request) -> Response:
        return JSONResponse([self._shown(launch) for launch in self._launches.all])

    async def _start(self, request: Request) -> Response:
        body = await self._body(request)
        try:
            news, protocol, epochs = await asyncio.to_thread(_read, body)
            launch = await asyncio.to_thread(self._launches.start, news, protocol, epochs)
        except UserError as error:
            raise ApiError(400, str(error), code="invalid_value") from error
        return JSONResponse(self._shown(launch), 201)

    async def _resume(self, request: Request) -> Response:
        launch = self._launch(request)
        try:
            await asyncio.to_thread(self._launches.resume, launch)
        except UserError as error:
            raise ApiError(409, str(error), code="busy") from error
        return JSONResponse(self._shown(launch))

    async def _stop(self, request: Request) -> Response:
        launch = self._launch(request)
        self._launches.stop(launch)
        return JSONResponse(self._shown(launch))

    async def _events(self, request: Request) -> Response:
        return StreamingResponse(self._progress(self._launch(request)), media_type="text/event-stream")

    async def _progress(self, launch: Launch) -> AsyncIterator[bytes]:
        last = None
        while True:
            live, now = launch.live, self._shown(launch)
            if now != last:
                yield event(now)
                last = now
            if not live:
                return
            await asyncio.sleep(_EVERY)

    def _launch(self, request: Request) -> Launch:
        launch = self._launches.get(request.path_params["name"])
        if launch is None:
            raise ApiError(404, "There is no such run.", code="not_found")
        return launch

    def _shown(self, launch: Launch) -> dict[str, Any]:
        return {**launch.shown(), "report": self._token(launch.report) if launch.report.is_file() else None}

    async def _body(self, request: Request) -> bytes:
        return await body_of(request, self._service.settings)


def _read(body: bytes) -> Any:
    """What a request to start a run asks for. Raises UserError, or ApiError for a body that is not JSON."""
    try:
        return read_request(json.loads(body))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise ApiError(400, f"The body is not JSON: {error}", code="invalid_json") from None


def _json(value: Mapping[str, Any] | Sequence[Any] | None) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def _constant(body: bytes, kind: str) -> Any:
    policy = (
        {"content-security-policy": f"{CONTENT_SECURITY_POLICY}; frame-src 'self'"} if kind == "text/html" else None
    )

    async def answer(_: Request) -> Response:
        return Response(body, media_type=kind, headers=policy)

    return answer
