"""A small HTTP server with OpenAI's interface, which answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
Raw = tuple[int, dict[str, str], str]
"""Status, headers, text."""


def completion(text: str | None, ended: str = "stop", **message: Any) -> Body:
    """A chat completion."""
    return {
        "model": "writer-2026",
        "system_fingerprint": "f1",
        "choices": [{"message": {"role": "assistant", "content": text, **message}, "finish_reason": ended}],
        "usage": {"prompt_tokens": 30, "completion_tokens": 10, "total_tokens": 40},
    }


def obedient(body: Body) -> Body:
    """A server that takes everything: the text depends on the seed unless sampling is greedy."""
    greedy = body.get("top_k") == 1 or body.get("min_p") == 1.0 or body["temperature"] == 0
    number = 0 if greedy else body.get("seed", 7) % 97
    asked = body["messages"][-1]["content"]
    made = completion(f"Paris had {number} people in {len(asked)} towns.")
    made["choices"] *= body.get("n", 1)
    if body.get("logprobs"):
        made["choices"] = [
            {**one, "logprobs": {"content": [{"token": "Paris", "logprob": -1.0}]}} for one in made["choices"]
        ]
    return made


def is_probe(body: Body) -> bool:
    """Whether a request is one of those that find out what the server takes."""
    return bool(body["messages"][-1]["content"] == "Write one sentence about an animal.")


@dataclass
class Small:
    """The running server."""

    url: str = ""
    answer: Callable[[Body], Body | Raw] = obedient
    """The answer to a chat completion; in a thread of each request."""
    models: Body | Raw = field(default_factory=lambda: {"data": [{"id": "writer", "owned_by": "test", "created": 1}]})
    asked: list[Body] = field(default_factory=list)
    """Bodies of the requests for chat completions, without those of the probe."""
    began: list[float] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    at_once: int = 0
    most_at_once: int = 0
    lock: Any = field(default_factory=threading.Lock)


@contextlib.contextmanager
def serving(**changes: Any) -> Iterator[Small]:
    """A small server on a free port of this machine."""
    small = Small(**changes)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            small.keys.add(self.headers.get("Authorization", ""))
            self.send(small.models)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with small.lock:
                small.keys.add(self.headers.get("Authorization", ""))
                if not is_probe(body):
                    small.asked.append(body)
                    small.began.append(time.monotonic())
                small.at_once += 1
                small.most_at_once = max(small.most_at_once, small.at_once)
            try:
                answer = small.answer(body)
            finally:
                with small.lock:
                    small.at_once -= 1
            with contextlib.suppress(OSError):  # the client has given up
                self.send(answer)

        def send(self, answer: Body | Raw) -> None:
            status, headers, text = answer if isinstance(answer, tuple) else (200, {}, json.dumps(answer))
            data = text.encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(data)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    small.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield small
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
