"""The server over HTTP: OpenAI's own client, many clients at once, bad requests, and who is let in."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai", reason="the extra `test`")
pytest.importorskip("starlette", reason="the extra `serve`")

import openai

from sys2ft.engine import AdapterBank, prepare, save_adapter
from sys2ft.job import open_run as open_job
from sys2ft.models import LoadedModel
from sys2ft.news import News
from sys2ft.runs import Run, write_json
from sys2ft.serve import Listening, ServeSettings, Service, build_app, open_run, server_of

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
    return folder


@dataclass(frozen=True)
class Server:
    """A server that runs in a thread of this process."""

    url: str
    port: int
    service: Service

    def client(self, **changes: Any) -> openai.OpenAI:
        return openai.OpenAI(**{"base_url": f"{self.url}/v1", "api_key": "none", "max_retries": 0, **changes})


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
        yield Server(listening.url, listening.port, service)
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
    with ThreadPoolExecutor(64) as pool:
        got = list(pool.map(lambda one: ask(server.client(), *one).choices[0].message.content, asked))
    assert got == [alone[one] for one in asked]
