"""The server over HTTP: OpenAI's own client, many clients at once, bad requests, and who is let in."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai", reason="the extra `test`")
pytest.importorskip("starlette", reason="the extra `serve`")

import httpx2
import openai
import psutil
from hypothesis import HealthCheck, assume, given, settings, strategies as st

from conftest import build_tokenizer
from sys2ft.cli.main import call
from sys2ft.engine import AdapterBank, prepare, save_adapter
from sys2ft.errors import ModelError, SettingsError
from sys2ft.job import open_run as open_job
from sys2ft.models import LoadedModel, load_model
from sys2ft.news import News
from sys2ft.runs import Run, write_json
from sys2ft.serve import ApiError, Listening, ServeSettings, Service, build_app, open_peft, open_run, server_of
from sys2ft.serve.asking import AskedChat, AskedText, read_body
from sys2ft.serve.writer import Writer
from test_decode_queue import Counting

ASKED = ["Paris", "France the town", "the news the system", "the capital", "Paris the system"]


def save_random_adapter(model: LoadedModel, folder: Path, *, rank: int, alpha: float, seed: int) -> None:
    """An adapter that changes what the model says."""
    import torch

    bank = AdapterBank(model.model, 1, rank=rank, alpha=alpha)
    bank.initialise(0, seed)
    generator = torch.Generator().manual_seed(seed)
    for b_KOr in bank.b.values():
        b_KOr[0].normal_(0.0, 0.3, generator=generator)
    save_adapter(bank, 0, folder, base_name=model.source.name)
    bank.close()


@pytest.fixture(scope="module")
def run_folder(model: LoadedModel, news: list[News], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a joint adapter, and two of single news items with another rank and scaling."""
    folder = tmp_path_factory.mktemp("served") / "run"
    prepare(model.model)
    open_job(folder, model, news, seed=1)
    adapters = folder / "adapters"
    save_random_adapter(model, adapters / "naive" / "joint", rank=4, alpha=8, seed=1)
    save_random_adapter(model, adapters / "paraphrase" / "town", rank=8, alpha=8, seed=2)
    save_random_adapter(model, adapters / "paraphrase" / "system", rank=8, alpha=8, seed=3)
    write_json(folder / "training" / "naive.json", {"names": ["joint"]})
    write_json(folder / "training" / "paraphrase.json", {"names": ["town", "system"]})
    write_json(folder / "training" / "refused.json", {"names": ["joint"]})
    return folder


@lru_cache
def plain_http() -> httpx2.Client:
    """One for all clients: each would read the certificates of the machine, which takes longer than an answer."""
    return httpx2.Client(verify=False, trust_env=False, limits=httpx2.Limits(max_connections=100), timeout=60)


@dataclass(frozen=True)
class Server:
    """A server that runs in a thread of this process."""

    url: str
    port: int
    service: Service
    folder: Path

    def client(self, **changes: Any) -> openai.OpenAI:
        settings = {"base_url": f"{self.url}/v1", "api_key": "none", "max_retries": 0, "http_client": plain_http()}
        return openai.OpenAI(**{**settings, **changes})


@contextlib.contextmanager
def serving(folder: Path, model: LoadedModel, **settings: Any) -> Iterator[Server]:
    chosen = ServeSettings(port=0, **settings)
    listening = Listening(chosen)
    service = Service(open_run(Run.open(folder), model), chosen)
    service.start()
    up = threading.Event()
    server = server_of(service, build_app(service), up.set)
    thread = threading.Thread(target=server.run, args=([listening.socket],))
    thread.start()
    assert up.wait(20)
    try:
        yield Server(listening.url, listening.port, service, folder)
    finally:
        server.should_exit = True
        thread.join(20)
        service.close()
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def server(run_folder: Path, model: LoadedModel) -> Iterator[Server]:
    with serving(run_folder, model) as one:
        yield one


def ask(client: openai.OpenAI, model: str, text: str, **how: Any) -> Any:
    settings = {"temperature": 0, "max_tokens": 24, **how}
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **settings)


def test_models_are_listed(server: Server) -> None:
    names = [one.id for one in server.client().models.list()]
    assert names == ["base", "base+news", "naive", "paraphrase/town", "paraphrase/system"]
    assert server.service.catalogue.left_out == ["refused"]
    assert server.client().models.retrieve("paraphrase/town").id == "paraphrase/town"
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        ask(server.client(), "nonsense", "Paris")


def test_a_streamed_answer_is_the_whole_one(server: Server) -> None:
    client = server.client()
    whole = ask(client, "naive", "Paris").choices[0]
    chunks = list(ask(client, "naive", "Paris", stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == whole.message.content
    assert chunks[-2].choices[0].finish_reason == whole.finish_reason
    assert chunks[-1].usage.completion_tokens > 0
    assert whole.message.content


def test_many_clients_of_several_adapters_get_the_answers_they_would_get_alone(server: Server) -> None:
    client = server.client()
    names = ("naive", "paraphrase/town", "base")
    alone = {(name, text): ask(client, name, text).choices[0].message.content for name in names for text in ASKED}
    assert len({alone[name, ASKED[0]] for name in names}) == 3, "the adapters should differ"
    asked = [(names[n % 3], ASKED[n % 5]) for n in range(64)]
    with ThreadPoolExecutor(64) as pool, Counting(server.service.model.model) as passes:
        got = list(pool.map(lambda one: ask(server.client(), *one).choices[0].message.content, asked))
    assert got == [alone[one] for one in asked]
    assert max(rows for rows, tokens in passes.shapes if tokens == 1) > 8, "they share a batch"


def test_the_answer_is_that_of_the_evaluation_with_the_news_in_context(server: Server, model: LoadedModel) -> None:
    from sys2ft.evaluation.ask import asked
    from sys2ft.generators import EngineGenerator, Request, SamplingParams
    from sys2ft.job import news_of
    from sys2ft.models import Message

    item = news_of(Run.open(server.folder))[0]
    question = item.questions[1]
    got = ask(server.client(), "base+news", question.text)
    prompt = (Message("user", asked(item, question, "in_context", "cloze")),)
    writer = EngineGenerator(model, skip_special_tokens=True)
    said = writer.generate([Request(messages=prompt, seed=0)], SamplingParams(temperature=0, max_new_tokens=24))
    assert got.choices[0].message.content == said.replies[0].text
    assert got.sys2ft == {"news": ["town"]}
    assert got.usage.prompt_tokens == len(model.chat.prompt_ids(prompt))


def test_sampling_follows_the_seed_and_n_answers_differ(server: Server) -> None:
    client = server.client()
    how = {"temperature": 1.3, "n": 3, "seed": 11}
    first, again = (ask(client, "naive", "Paris", **how) for _ in range(2))
    texts = [one.message.content for one in first.choices]
    assert texts == [one.message.content for one in again.choices]
    assert len(set(texts)) > 1
    streamed = ["", "", ""]
    for chunk in ask(client, "naive", "Paris", stream=True, **how):
        streamed[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert streamed == texts
    other = ask(client, "naive", "Paris", **{**how, "seed": 12})
    assert [one.message.content for one in other.choices] != texts


def test_a_stop_text_ends_the_answer_and_is_never_shown(server: Server) -> None:
    client = server.client()
    whole = ask(client, "base", "Paris").choices[0].message.content
    stop = whole[3:6]
    expected = whole[: whole.index(stop)]
    got = ask(client, "base", "Paris", stop=["nowhere", stop]).choices[0]
    assert (got.message.content, got.finish_reason) == (expected, "stop")
    chunks = list(ask(client, "base", "Paris", stop=stop, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected
    assert ask(client, "base", "Paris", max_tokens=2).choices[0].finish_reason == "length"


def test_logprobs_come_with_the_tokens(server: Server) -> None:
    client = server.client()
    how = {"logprobs": True, "top_logprobs": 3}
    whole = ask(client, "naive", "Paris", **how).choices[0]
    tokens = whole.logprobs.content
    assert "".join(one.token for one in tokens) == whole.message.content
    assert all(one.top_logprobs[0].logprob == one.logprob <= 0 for one in tokens), "greedy: the best is chosen"
    streamed = [chunk.choices[0].logprobs for chunk in ask(client, "naive", "Paris", stream=True, **how)]
    assert [one.token for part in streamed if part for one in part.content] == [one.token for one in tokens]


def test_completions_continue_texts_and_token_ids(server: Server, model: LoadedModel) -> None:
    client = server.client()
    how: dict[str, Any] = {"temperature": 0, "max_tokens": 8, "logprobs": 2}
    text = "Question: What is"
    ids = model.chat.plain_ids(text)
    both = client.completions.create(model="naive", prompt=[text, "The news"], n=2, **how)
    assert [one.index for one in both.choices] == [0, 1, 2, 3]
    assert both.choices[0].text == both.choices[1].text != both.choices[2].text
    by_ids = client.completions.create(model="naive", prompt=ids, **how)
    assert by_ids.choices[0].text == both.choices[0].text
    logprobs = by_ids.choices[0].logprobs
    assert [len(top) for top in logprobs.top_logprobs] == [2] * len(logprobs.tokens)
    chunks = list(client.completions.create(model="naive", prompt=ids, stream=True, **how))
    assert "".join(chunk.choices[0].text for chunk in chunks) == by_ids.choices[0].text
    assert [n for c in chunks for n in c.choices[0].logprobs.text_offset] == logprobs.text_offset


@pytest.mark.parametrize(
    ("how", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"temperature": 2.5}, "temperature"),
        ({"top_logprobs": 2}, None),
        ({"max_tokens": 5000}, "messages"),
        ({"extra_body": {"nonsense": 1}}, "nonsense"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(how: dict[str, Any], param: str | None, server: Server) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(server.client(), "base", "Paris", **how)
    assert refused.value.body["param"] == param  # type: ignore[index, call-overload]


def post(server: Server, body: Any, path: str = "/v1/chat/completions", **headers: str) -> httpx2.Response:
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return plain_http().post(server.url + path, content=content, headers=sent, timeout=30)


GOOD: dict[str, Any] = {"model": "base", "messages": [{"role": "user", "content": "Paris"}], "max_tokens": 2}
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted({*AskedChat.model_fields, *AskedText.model_fields, "tools", "logit_bias", "a b"})


@given(
    path=st.sampled_from(["/v1/chat/completions", "/v1/completions"]),
    changes=st.dictionaries(st.sampled_from(FIELDS), JUNK, min_size=1, max_size=3),
    cut=st.integers(0, 9),
    raw=st.none() | st.binary(max_size=40),
)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_malformed_requests_are_the_clients_fault(
    server: Server, path: str, changes: dict[str, Any], cut: int, raw: bytes | None
) -> None:
    body = raw if raw is not None else json.dumps(GOOD | changes).encode()[: None if cut else -3]
    assume(not readable(path, body))
    got = post(server, body, path)
    assert 400 <= got.status_code < 500, got.text
    assert set(got.json()["error"]) == {"message", "type", "param", "code"}


def readable(path: str, body: bytes) -> bool:
    """Whether a body that was changed at random is still one of the form that is asked for."""
    with contextlib.suppress(ApiError):
        return bool(read_body(AskedChat if path.endswith("chat/completions") else AskedText, body))
    return False


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "base", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b"[" * 100_000,
        b'{"model": "base", "messages": [], "seed": ' + b"9" * 5000 + b"}",
        b'{"model": "../../etc/passwd", "messages": [{"role": "user", "content": "a"}]}',
        b'{"model": "base", "messages": [{"role": "assistant", "content": "a"}]}',
        b'{"model": "base", "messages": [{"role": "user", "content": "a"}], "temperature": 1e999}',
    ],
)
def test_odd_bodies_are_refused(body: bytes, server: Server) -> None:
    got = post(server, body)
    assert 400 <= got.status_code < 500, got.text
    assert got.json()["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost"}, 200),
        ({"Content_Type": "text/plain"}, 415),
    ],
)
def test_other_sites_are_kept_out(headers: dict[str, str], status: int, server: Server) -> None:
    got = post(server, GOOD, **{name: value.format(port=server.port) for name, value in headers.items()})
    assert got.status_code == status, got.text
    assert "access-control-allow-origin" not in got.headers
    assert "default-src 'none'" in got.headers["content-security-policy"]
    assert got.headers["x-content-type-options"] == "nosniff"


def test_nothing_listens_beyond_loopback(server: Server) -> None:
    listening = [one for one in psutil.Process().net_connections("inet") if one.status == psutil.CONN_LISTEN]
    assert server.port in {one.laddr.port for one in listening}
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}


def test_limits(run_folder: Path, model: LoadedModel) -> None:
    """A full queue, a large body, a slow answer; and a key."""
    with serving(run_folder, model, max_queue=2, max_body=400, time_limit=0.6, api_key="sesame") as one:
        client = one.client(api_key="sesame")
        with pytest.raises(openai.AuthenticationError):
            ask(one.client(api_key="wrong"), "base", "Paris")
        with pytest.raises(openai.APIStatusError) as large:
            ask(client, "base", "Paris " * 200)
        assert large.value.status_code == 413
        key = {"Authorization": "Bearer sesame"}
        assert post(one, iter([b" " * 300] * 2), **key).status_code == 413, "without a length that says so"
        held = hold_engine(one.service)
        with ThreadPoolExecutor(2) as pool:
            slow = [pool.submit(ask, client, "base", "Paris", stream=stream) for stream in (False, True)]
            until(lambda: one.service.worker.open == 2)
            with pytest.raises(openai.RateLimitError) as busy:
                ask(client, "base", "Paris")
            assert int(busy.value.response.headers["retry-after"]) > 0
            with pytest.raises(openai.InternalServerError, match="the server's limit"):
                slow[0].result()
            with pytest.raises(openai.APIError, match="the server's limit"):
                list(slow[1].result())
        held.release()
        until(lambda: one.service.worker.open == 0)
        assert ask(client, "base", "Paris").choices[0].message.content


def test_a_client_that_goes_away_frees_its_place(run_folder: Path, model: LoadedModel) -> None:
    with serving(run_folder, model) as one:
        held = hold_engine(one.service)
        for stream in (True, False):
            with contextlib.suppress(openai.APITimeoutError):
                answer = ask(one.client(timeout=0.3), "base", "Paris", stream=stream)
                until(lambda: one.service.worker.open == 1)
                answer.close()
            until(lambda: one.service.worker.open == 0)
        held.release()
        assert ask(one.client(), "base", "Paris").choices[0].finish_reason


def test_a_failing_engine_answers_500_and_lives(
    run_folder: Path, model: LoadedModel, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(run_folder, model) as one:
        hooked = model.model.get_input_embeddings().register_forward_hook(lambda *_: 1 / 0)
        with pytest.raises(openai.InternalServerError, match="the engine failed"):
            ask(one.client(), "base", "Paris")
        hooked.remove()
        assert ask(one.client(), "base", "Paris").choices[0].message.content
    assert "ZeroDivisionError" in capfd.readouterr().err


def hold_engine(service: Service) -> threading.Lock:
    """Let the engine wait before its next step until the lock is released."""
    held = threading.Lock()
    held.acquire()
    hook: list[Any] = []

    def wait(*_: Any) -> None:
        with held:
            hook[0].remove()

    hook.append(service.model.model.get_input_embeddings().register_forward_pre_hook(wait))
    return held


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_a_port_in_use_and_an_open_host_are_refused(server: Server) -> None:
    with pytest.raises(SettingsError, match="in use"):
        Listening(ServeSettings(port=server.port))
    with pytest.raises(SettingsError, match="API key"):
        ServeSettings(host="0.0.0.0")
    assert "sesame" not in repr(ServeSettings(host="0.0.0.0", api_key="sesame"))


def test_a_peft_folder_is_served_over_its_base_only(run_folder: Path, model: LoadedModel, tiny_model_dir: Path) -> None:
    folder = run_folder / "adapters" / "naive" / "joint"
    assert list(open_peft(folder, model).served) == ["base", "joint"]
    other = load_model(str(tiny_model_dir), dtype="float32", device="cpu")
    with pytest.raises(ModelError, match="was trained for"):
        open_peft(folder, other)
    with pytest.raises(SettingsError, match="no such adapter"):
        open_run(Run.open(run_folder), model, only=["nonsense"])


def test_the_command_serves_until_a_signal(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def use() -> None:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", http_client=plain_http())
        until(lambda: answers(client))
        stream = ask(client, "naive", "Paris", max_tokens=400, stream=True)
        next(iter(stream))
        os.kill(os.getpid(), signal.SIGTERM)
        with contextlib.suppress(openai.APIError, httpx2.HTTPError):  # or it was at its end
            list(stream)

    thread = threading.Thread(target=use)
    thread.start()
    code = call(["serve", str(run_folder), "--port", str(port), "--quiet"])
    thread.join()
    said, errors = capsys.readouterr()
    assert code == 128 + signal.SIGTERM, errors
    assert f"curl http://127.0.0.1:{port}/v1/chat/completions" in said
    assert "left out: refused" in errors
    assert "Traceback" not in errors


def answers(client: openai.OpenAI) -> bool:
    with contextlib.suppress(openai.APIConnectionError):
        return bool(client.models.list().data)
    return False


known_tokenizer = lru_cache(build_tokenizer)


@given(st.text(max_size=30), st.lists(st.text(min_size=1, max_size=3), max_size=2))
@settings(max_examples=60, deadline=None)
def test_text_comes_whole_and_without_its_stop(text: str, stops: list[str]) -> None:
    tokenizer = known_tokenizer()
    ids = tokenizer.encode(text, add_special_tokens=False)
    whole = tokenizer.decode(ids, skip_special_tokens=True)
    writer, parts = Writer(tokenizer, stops), []
    for n in range(1, len(ids) + 1):
        ended = writer.push(ids[:n])
        parts.append(writer.take(ids[:n], last=ended or n == len(ids))[0])
        if ended:
            break
    places = [place for stop in stops if (place := whole.find(stop)) >= 0]
    assert "".join(parts) == whole[: min(places)] if places else "".join(parts) == whole
