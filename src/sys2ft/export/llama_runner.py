"""Asks a GGUF file, with or without a LoRA file, through llama.cpp's server (the wheel `xllamacpp`)."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sys2ft.errors import SettingsError, Sys2ftError
from sys2ft.export.proof import Item, Written
from sys2ft.models import ChatFormat
from sys2ft.models.chat import Message

_BIAS = 1000.0  # makes a token certain to be sampled; the log-probabilities are reported without it
_WAIT = 600.0  # seconds for one answer, of a large model on a slow machine


class LlamaRunner:
    """A llama.cpp server on the loopback interface, and the chat format that its prompts are written in."""

    def __init__(self, address: str, key: str, chat: ChatFormat, tokenizer: Any) -> None:
        where = urlsplit(address)
        assert where.hostname is not None
        self._connection = http.client.HTTPConnection(where.hostname, where.port, timeout=_WAIT)
        self._key, self._chat, self._tokenizer = key, chat, tokenizer

    def likelihoods(self, messages: Sequence[Message], options: Sequence[str]) -> list[float]:
        """Log-likelihood of each option, token by token: a bias makes the server sample the token that is asked for."""
        prompt = self._chat.prompt_ids(messages)
        known: dict[tuple[int, ...], float] = {}  # options that begin alike share their first tokens
        totals = []
        for option in options:
            ids = self._chat.continuation_ids(option)
            total = 0.0
            for end, token in enumerate(ids):
                path = (*ids[:end], token)
                if path not in known:
                    known[path] = self._token([*prompt, *ids[:end]], token)
                total += known[path]
            totals.append(total)
        return totals

    def _token(self, prompt: list[int], token: int) -> float:
        """The log-probability of one token after a prompt, under the unchanged distribution."""
        said = self._post(
            "/completion",
            prompt=prompt,
            n_predict=1,
            n_probs=1,
            temperature=0.0,
            logit_bias=[[token, _BIAS]],
            cache_prompt=True,
        )
        found = said["completion_probabilities"][0]
        if found["id"] != token:
            raise Sys2ftError(
                f"llama.cpp's server answered with token {found['id']} where {token} was forced",
                expected="a server that obeys `logit_bias`",
                fix="install the version of xllamacpp that the extra `export` names",
            )
        return float(found["logprob"])

    def write(self, messages: Sequence[Message], max_new_tokens: int) -> Written:
        """The greedy reply."""
        said = self._post(
            "/completion",
            prompt=self._chat.prompt_ids(messages),
            n_predict=max_new_tokens,
            temperature=0.0,
            stop=list(self._chat.stop_texts),
            cache_prompt=True,
        )
        return Written(said["content"].strip(), said["stop_type"] in ("eos", "word"), said["tokens_predicted"])

    def input_differs(self, items: Sequence[Item]) -> list[str]:
        """What llama.cpp reads differently from the same conversation: its tokenizer, its chat template."""
        found = []
        for name, differs in (("tokenizer", self._ids_differ), ("chat template", self._text_differs)):
            wrong = [item for item in items if differs(item)]
            if wrong:
                found.append(
                    f"the file's {name} gives another input than the base's for {len(wrong)} of {len(items)} "
                    f"questions, such as {wrong[0].name}"
                )
        return found

    def _ids_differ(self, item: Item) -> bool:
        text = self._chat.prompt_text([Message("user", item.asked)])
        said = self._post("/tokenize", content=text, add_special=False, parse_special=True)
        return bool(said["tokens"] != self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _text_differs(self, item: Item) -> bool:
        if not self._chat.has_template or self._chat.date is not None:
            return False  # nothing to compare, or a template that writes today's date
        said = self._post("/apply-template", messages=[{"role": "user", "content": item.asked}])
        return bool(said["prompt"] != self._chat.prompt_text([Message("user", item.asked)]))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _post(self, path: str, **body: Any) -> Any:
        try:
            self._connection.request(
                "POST", path, json.dumps(body), {"Content-Type": "application/json", "Authorization": self._key}
            )
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Sys2ftError(
                f"llama.cpp's server went away during {path}: {type(error).__name__}: {error}",
                expected="an answer",
                fix="is there memory for the model? A smaller type (--quantise q8_0) needs less",
            ) from error
        if answer.status != 200:
            raise Sys2ftError(
                f"llama.cpp's server answered {path} with {answer.status}: {text[:300]!r}",
                expected="an answer",
                fix="report this with the model's name",
            )
        return json.loads(text)


def require_llama() -> None:
    """Raise SettingsError if llama.cpp is not installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise SettingsError(
            "llama.cpp is not installed, so a GGUF file cannot be asked again",
            expected="the wheel xllamacpp",
            fix="pip install 'sys2ft[export]'",
        )


@contextlib.contextmanager
def llama_server(
    model: Path, chat: ChatFormat, tokenizer: Any, *, context: int, lora: Path | None = None
) -> Iterator[LlamaRunner]:
    """A server in a process of its own that has loaded `model`, and the LoRA file if one is given.

    `context`: tokens of the longest prompt with its answer. Raises Sys2ftError if the file cannot be loaded.
    """
    import torch

    key = secrets.token_urlsafe(24)
    command = [sys.executable, "-m", "sys2ft.export.llama_worker", model, context, torch.get_num_threads(), key]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(word) for word in (*command, *([] if lora is None else [lora]))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                process.wait()
                log.seek(0)
                words = log.read().decode("utf-8", "replace").strip().splitlines() or ["it printed nothing"]
                raise Sys2ftError(
                    f"llama.cpp cannot load {model.name}{'' if lora is None else f' with {lora.name}'}:\n  "
                    + "\n  ".join(words[-5:]),
                    expected="a GGUF file that llama.cpp can run",
                    fix="is there memory for the model? Otherwise export with --to merged",
                )
            runner = LlamaRunner(json.loads(line)["address"], f"Bearer {key}", chat, tokenizer)
            try:
                yield runner
            finally:
                runner.close()
        finally:
            process.kill()
            process.communicate()  # waits, and closes the pipes
