"""Tokens a second of `sys2ft serve` with one client, and with many at once.

    python -m benchmarks.serve --model smollm2-135m-instruct --clients 64

The server is this package's application over HTTP on a loopback port; its clients are threads of another process, with
OpenAI's client. Two adapters with random weights and the base take turns, so that a batch holds all three. Every client
asks its own question and gets up to `--tokens` tokens, streamed. The time runs from the first request to the last
token, and only tokens that came are counted. The two kinds of rounds alternate, and the median of each is reported.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import openai
import torch

from sys2ft.engine import AdapterBank, prepare
from sys2ft.models import load_model
from sys2ft.serve import Catalogue, Listening, Served, ServeSettings, Service, build_app, server_of

_NAMES = ("base", "one", "two")


def main() -> None:
    options = _options()
    model = load_model(options.model, dtype=options.dtype, device=options.device)
    prepare(model.model)
    bank = AdapterBank(model.model, 2, rank=options.rank, alpha=2 * options.rank)
    for slot in range(2):
        bank.initialise(slot, slot)
        for b_KOr in bank.b.values():
            b_KOr[slot].normal_(0.0, 0.01)
    served = {name: Served(name, slot - 1) for slot, name in enumerate(_NAMES)}
    settings = ServeSettings(port=0, max_queue=options.clients, rows_at_once=2 * options.clients)
    listening, service = Listening(settings), Service(Catalogue(model, bank, served), settings)
    service.start()
    up = threading.Event()
    server = server_of(service, build_app(service), up.set)
    threading.Thread(target=server.run, args=([listening.socket],), daemon=True).start()
    up.wait()
    try:
        with multiprocessing.get_context("spawn").Pool(1) as other:
            ask = partial(other.apply, _round)
            ask((listening.url, 1, 2))
            rounds = [
                (ask((listening.url, 1, options.tokens)), ask((listening.url, options.clients, options.tokens)))
                for _ in range(options.rounds)
            ]
    finally:
        server.should_exit = True
        service.close()
        listening.close()
    alone, together = (
        {name: statistics.median(one[name] for one in own) for name in own[0]} for own in zip(*rounds, strict=True)
    )
    print(
        json.dumps(
            {
                "model": options.model,
                "dtype": str(model.dtype).removeprefix("torch."),
                "device": str(model.device),
                "threads": torch.get_num_threads(),
                "tokens of an answer": options.tokens,
                "clients": options.clients,
                "tokens a second, one client": round(alone["rate"], 1),
                f"tokens a second, {options.clients} clients": round(together["rate"], 1),
                "times as many": round(together["rate"] / alone["rate"], 1),
                "median seconds to the first token, one client": round(alone["first"], 3),
                f"median seconds to the first token, {options.clients} clients": round(together["first"], 3),
            },
            indent=1,
        )
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="embedded name, folder, GGUF file or hub id")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=32, help="tokens of every answer")
    parser.add_argument("--rank", type=int, default=16, help="of the two adapters")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each kind")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def _round(url: str, clients: int, tokens: int) -> dict[str, float]:
    """Tokens a second of all clients together, and the median time to a client's first token."""
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=3600)
    with client, ThreadPoolExecutor(clients) as pool:
        begun = time.perf_counter()
        said = list(pool.map(lambda number: _ask(client, number, tokens, begun), range(clients)))
    seconds = time.perf_counter() - begun
    return {"rate": sum(count for count, _ in said) / seconds, "first": statistics.median(first for _, first in said)}


def _ask(client: openai.OpenAI, number: int, tokens: int, begun: float) -> tuple[int, float]:
    """Tokens of one streamed answer, and when its first came."""
    chunks: Any = client.completions.create(
        model=_NAMES[number % len(_NAMES)],
        prompt=f"Report number {number}. The committee met on Monday and",
        max_tokens=tokens,
        temperature=1.0,
        seed=number,
        stream=True,
        stream_options={"include_usage": True},
    )
    first, count = 0.0, 0
    for chunk in chunks:
        first = first or time.perf_counter() - begun
        count = chunk.usage.completion_tokens if chunk.usage else count
    return count, first


if __name__ == "__main__":
    main()
