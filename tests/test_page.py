"""The page in a real browser (Debian's Chromium), and what it asks of the server; skipped where no browser is."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra `serve`")
pytest.importorskip("playwright", reason="the extra `test`")

from playwright import sync_api

from sys2ft.evaluation import EvaluateSettings
from sys2ft.job import run as run_job
from sys2ft.models import LoadedModel
from sys2ft.news import news_from_dict
from sys2ft.replay import GenerateSettings
from sys2ft.runs import Run
from sys2ft.serve import Listening, ServeSettings, Service, build_app, open_run, server_of
from sys2ft.serve.page import PUBLIC, Launches, Site
from sys2ft.training import TrainSettings
from talking import NEWS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
HOSTILE = "<img src=x onerror='window.hit=1'><script>window.hit=1</script>"
KEY = "a-key"
AXE = "axe.run(document, {resultTypes: ['violations']})"


@dataclass(frozen=True)
class Server:
    """A server with the page, in a thread of this process."""

    url: str
    service: Service
    launches: Launches


@contextlib.contextmanager
def serving(folder: Path, model: LoadedModel, runs: Path, api_key: str | None = None) -> Iterator[Server]:
    chosen = ServeSettings(port=0, api_key=api_key)
    listening = Listening(chosen)
    service = Service(open_run(Run.open(folder), model), chosen)
    launches = Launches(runs, model)
    site = Site(service, launches, run=folder, ledger=None, studies=())
    service.start()
    up = threading.Event()
    server = server_of(service, build_app(service, extra_routes=site.routes, public=PUBLIC), up.set)
    thread = threading.Thread(target=server.run, args=([listening.socket],))
    thread.start()
    assert up.wait(60)
    try:
        yield Server(listening.url, service, launches)
    finally:
        server.should_exit = True
        thread.join(60)
        launches.close()
        service.close()


@pytest.fixture(scope="module")
def run_folder(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, with markup in a news item, a question and its answers."""
    question = {"question": f"What is {HOSTILE}?", "answer": HOSTILE, "choices": [HOSTILE, "<b>Paris</b>"]}
    hostile = {"id": "markup", "news": f"The town of Paris says {HOSTILE} in 1984.", "questions": [question]}
    folder = tmp_path_factory.mktemp("page") / "run"
    run_job(
        [news_from_dict(row) for row in [*NEWS, hostile]],
        model=model,
        out=folder,
        generate=GenerateSettings(protocols=("naive",), samples_per_news=2),
        train=TrainSettings(rank=4),
        evaluate=EvaluateSettings(scorings=("cloze",), controls=("none",)),
    )
    return folder


@pytest.fixture(scope="module")
def server(run_folder: Path, model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(run_folder, model, tmp_path_factory.mktemp("runs")) as one:
        yield one


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield one
        one.close()


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The page, loaded; what its policy blocks and what its script throws fails the test."""
    with opened(browser, server.url) as one:
        yield one


@contextlib.contextmanager
def opened(browser: Any, url: str, ready: str = "#listed button", **how: Any) -> Iterator[Any]:
    context = browser.new_context(**how)
    one = context.new_page()
    one.set_default_timeout(60_000)
    wrong: list[str] = []
    one.on("pageerror", lambda error: wrong.append(str(error)))
    one.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    one.goto(url)
    one.wait_for_selector(ready)
    yield one
    context.close()
    assert wrong == []


def pick(page: Any, words: str) -> None:
    """Pick a question of the run, and wait until everything is answered."""
    page.locator("#listed button", has_text=words).first.click()
    page.wait_for_selector("#agreement:not([hidden])")
    page.wait_for_selector("#stop", state="hidden")


def called(server: Server, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Status and body of a request; `body`: what is sent as JSON by POST."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    asked = urllib.request.Request(server.url + path, data, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(asked, timeout=60) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


# In the browser -------------------------------------------------------------------------------------------------------


@needs_browser
def test_a_question_of_the_run_is_answered_three_times(page: Any, server: Server) -> None:
    pick(page, "What is the new capital?")
    for column in ("base", "context", "tuned"):
        card = page.locator(f"[data-column={column}]")
        assert card.locator(".said").inner_text().strip()
        assert "likely per token" in card.locator(".facts-line").inner_text().replace("\xa0", " ")
        assert card.locator(".grade").inner_text()[2:] in ("right", "wrong", "not graded")
        assert "right in the run" in card.locator(".rate").inner_text()
    assert page.locator(".read summary").inner_text() == "It read town"
    assert page.locator(".pairs dd").count() == 3
    rows = page.locator(".bars tbody tr")
    assert rows.locator("th").all_inner_texts() == ["Paris right", "France", "Rome"]
    for column in ("base", "context", "tuned"):
        shares = [int(text.rstrip("%")) for text in page.locator(f".bars td.{column} .share").all_inner_texts()]
        assert sum(shares) in (99, 100, 101)
        assert page.locator(f".bars td.{column}.top").count() == 1
    body = {"question": "What is the new capital?", "choices": ["Paris", "France", "Rome"], "models": ["base", "naive"]}
    _, found = called(server, "/api/score", body)
    means = [one["mean"] for one in json.loads(found)["nats"]["naive"]]
    top = page.locator(".bars tr", has=page.locator("td.tuned.top")).locator("th").inner_text()
    assert top.split()[0] == ["Paris", "France", "Rome"][means.index(max(means))]


@needs_browser
def test_tabs_by_keyboard_and_their_contents(page: Any) -> None:
    page.locator("#tab-ask").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#panel-facts").is_visible()
    assert page.locator("#tab-facts").get_attribute("aria-selected") == "true"
    page.wait_for_selector("#facts mark")
    page.keyboard.press("ArrowRight")
    count = page.frame_locator("#report iframe").locator("#f-count")  # its own script has written it
    sync_api.expect(count).to_have_text("7 of 7 questions", timeout=60_000)
    page.keyboard.press("ArrowRight")
    sync_api.expect(page.locator("#ledger .empty")).to_contain_text("no ledger")
    page.keyboard.press("End")
    assert page.locator("#panel-add").is_visible()
    page.keyboard.press("ArrowRight")
    assert page.locator("#panel-ask").is_visible()
    page.reload()
    assert page.locator("#panel-ask").is_visible()


@needs_browser
def test_markup_of_news_and_model_is_text(page: Any) -> None:
    said = f"{HOSTILE} **bold** &amp;"
    chunk = {"choices": [{"delta": {"content": said}, "finish_reason": "stop"}], "sys2ft": {"news": ["markup"]}}
    page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(
            body=f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n", content_type="text/event-stream"
        ),
    )
    pick(page, "onerror")
    for column in ("base", "context", "tuned"):
        assert page.locator(f"[data-column={column}] .said").inner_text() == said
    assert HOSTILE in page.locator("#expected").inner_text()
    assert page.locator(".bars th", has_text="onerror").count() == 1
    page.locator(".read summary").click()
    assert HOSTILE in page.locator(".read p").inner_text()
    page.locator("#tab-facts").click()
    sync_api.expect(page.locator("#facts")).to_contain_text("onerror")
    assert page.evaluate("[window.hit, document.images.length, document.scripts.length]") == [None, 0, 1]


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility_and_nothing_overflows(browser: Any, server: Server, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python", reason="the extra `test`")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    how = {"color_scheme": scheme, "bypass_csp": True, "viewport": {"width": 375, "height": 800}}
    with opened(browser, server.url, **how) as page:
        page.evaluate(script)
        for tab in ("ask", "facts", "report", "ledger", "studies", "add"):
            page.locator(f"#tab-{tab}").click()
            if tab == "ask":
                pick(page, "What is the town?")
            page.wait_for_timeout(200)
            faults = [one for one in page.evaluate(AXE)["violations"] if one["impact"] in ("serious", "critical")]
            assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in faults] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= 375


@needs_browser
def test_a_browser_that_leaves_in_mid_stream(browser: Any, server: Server) -> None:
    body = {
        "model": "base",
        "stream": True,
        "temperature": 2,
        "n": 100,
        "max_tokens": 400,
        "messages": [{"role": "user", "content": "Paris"}],
    }
    with opened(browser, server.url) as page:
        page.evaluate(
            """async (body) => {
              const headers = {"Content-Type": "application/json"};
              const reply = await fetch("/v1/chat/completions", {method: "POST", headers, body: JSON.stringify(body)});
              await reply.body.getReader().read();
            }""",
            body,
        )
    assert waited(lambda: server.service.worker.open == 0)
    with opened(browser, server.url) as page:
        pick(page, "How many people")


@needs_browser
def test_a_run_is_started_stopped_and_resumed(page: Any, server: Server) -> None:
    page.locator("#tab-add").click()
    page.fill("#add-news", "The town of Paris had 12 people in 1984.")
    page.fill("#add-question", "How many people had the town?")
    page.fill("#add-answer", "12")
    page.fill("#add-wrong", "67\n3")
    page.check("[name=protocol][value=naive]")
    page.click("#start")
    run = page.locator("[data-run='0001']")
    run.get_by_role("button", name="Stop").click()
    state = run.locator(".state")
    sync_api.expect(state).to_have_text("stopped", timeout=60_000)
    run.get_by_role("button", name="Resume").click()
    sync_api.expect(state).to_have_text("running", timeout=60_000)
    status, refused = called(
        server, "/api/runs", {"items": [{"id": "a", "news": "b", "questions": [{"question": "c?", "answer": "d"}]}]}
    )
    assert status == 400
    assert "one run at a time" in refused["error"]["message"]
    sync_api.expect(state).to_have_text("finished", timeout=120_000)
    assert run.locator("progress").count() >= 3
    run.get_by_role("button", name="Show its report").click()
    sync_api.expect(page.frame_locator("#run-report iframe").locator("#f-count")).to_have_text(
        "1 of 1 questions", timeout=60_000
    )
    launch = server.launches.get("0001")
    assert launch is not None
    again = Launches(launch.folder.parent, server.service.model).get("0001")  # as the next server finds it
    assert again is not None
    assert again.state == "finished"
    assert again.about["verdict"]


@needs_browser
def test_the_key_is_asked_for(browser: Any, run_folder: Path, model: LoadedModel, tmp_path: Path) -> None:
    with serving(run_folder, model, tmp_path, api_key=KEY) as locked, opened(browser, locked.url, "#key") as page:
        assert "Paris" not in page.content()
        assert called(locked, "/api/run")[0] == called(locked, "/api/runs", {"items": []})[0] == 401
        page.fill("#key", "wrong")
        page.keyboard.press("Enter")
        sync_api.expect(page.locator("#key-said")).to_contain_text("not the server's key")
        page.fill("#key", KEY)
        page.keyboard.press("Enter")
        page.wait_for_selector("#listed button")
        page.locator("#tab-report").click()
        sync_api.expect(page.frame_locator("#report iframe").locator("#f-count")).to_contain_text("7 of 7")


# Without a browser ----------------------------------------------------------------------------------------------------


def waited(true: Any, seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(true())


ITEM = {"id": "n", "news": "A town.", "questions": [{"question": "What?", "answer": "a town"}]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        ([], "no list of news items"),
        ({"items": []}, "0 news items"),
        ({"items": [ITEM] * 26}, "26 news items"),
        ({"items": [ITEM, ITEM]}, "ids that repeat"),
        ({"items": [{"id": "../n", "news": "A town."}]}, "id"),
        ({"items": [{"id": "n", "news": "A town."}]}, "no question"),
        ({"items": [{**ITEM, "news": "a " * 11_000}]}, "21,999 characters"),
        ({"items": [ITEM], "protocol": "--out"}, "'--out'"),
        ({"items": [ITEM], "epochs": True}, "epochs True"),
    ],
)
def test_what_cannot_be_run_is_refused(server: Server, body: Any, said: str) -> None:
    before = len(server.launches.all)
    status, refused = called(server, "/api/runs", body)
    assert status == 400
    assert said in refused["error"]["message"]
    assert len(server.launches.all) == before


def test_nothing_of_a_request_becomes_a_path(server: Server, run_folder: Path) -> None:
    for name in ("..%2f..%2frun", "%2e%2e", "0001%00", run_folder.name):
        assert called(server, f"/api/runs/{name}/events")[0] == 404
        assert called(server, f"/frame?of={name}")[0] == 404
        assert called(server, f"/api/runs/{name}/stop", {})[0] == 404


def test_other_sites_are_refused(server: Server) -> None:
    for path in ("/api/runs", "/api/score", "/api/agreement", "/api/runs/0001/stop"):
        assert called(server, path, {}, Origin="https://elsewhere.example")[0] == 403
        assert called(server, path, {}, **{"Content-Type": "text/plain"})[0] == 415


def test_a_stored_page_gets_no_rights(server: Server) -> None:
    token = json.loads(called(server, "/api/run")[1])["report"]
    with urllib.request.urlopen(f"{server.url}/frame?of={token}") as reply:
        rules = reply.headers["content-security-policy"]
        assert "'sha256-" in rules
    assert "sandbox allow-scripts" in rules
    assert "allow-same-origin" not in rules
    assert rules.startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/score", {"question": "q", "choices": ["a"], "models": ["base"]}),
        ("/api/score", {"question": "q", "choices": ["a", ""], "models": ["base"]}),
        ("/api/score", {"question": "q " * 1999, "choices": ["a", "b"], "models": ["base"]}),
        ("/api/agreement", {"question": "q", "texts": {}}),
        ("/api/agreement", {"question": "q", "texts": {"base": "a"}, "item": {"news_id": "town", "question": 9}}),
    ],
)
def test_bad_comparisons_are_refused(server: Server, path: str, body: Any) -> None:
    status, refused = called(server, path, body)
    assert status == 400
    assert refused["error"]["message"]


def test_an_unknown_model_is_refused(server: Server) -> None:
    assert called(server, "/api/score", {"question": "q", "choices": ["a", "b"], "models": ["x"]})[0] == 404
