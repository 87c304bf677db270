"""Answers requests: from a validated body to rows of the batch, and from their pieces to an answer."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any

from sys2ft.engine import Group, Row, Sampling, Uniforms, group_of
from sys2ft.errors import ModelError
from sys2ft.models import Message, Reader
from sys2ft.runs import item_seed
from sys2ft.serve.answers import Form
from sys2ft.serve.asking import AskedChat, AskedText
from sys2ft.serve.catalogue import Catalogue, Served
from sys2ft.serve.failures import ApiError, unknown_model
from sys2ft.serve.settings import ServeSettings
from sys2ft.serve.worker import Choice, Job, Worker
from sys2ft.serve.writer import Writer

_ROLES = {"developer": "system"}


class Service:
    """A catalogue of models and the thread that runs them. Answers requests between `start` and `close`."""

    def __init__(self, catalogue: Catalogue, settings: ServeSettings) -> None:
        self.catalogue, self.settings = catalogue, settings
        self.model = catalogue.model
        self.worker = Worker(
            self.model, catalogue.bank, rows_at_once=settings.rows_at_once, max_queue=settings.max_queue
        )
        self.positions = Reader.of(self.model).positions
        self.started = int(time.time())

    def start(self) -> None:
        self.worker.start()

    def close(self) -> None:
        """End all answers and the thread, and release the model."""
        self.worker.close()
        if self.catalogue.bank is not None:
            self.catalogue.bank.close()

    def models(self) -> list[dict[str, Any]]:
        """The models, as /v1/models lists them."""
        return [self.described(name) for name in self.catalogue.served]

    def described(self, name: str) -> dict[str, Any]:
        """One model, as /v1/models describes it. Raises ApiError if there is none of that name."""
        self._served(name)
        return {"id": name, "object": "model", "created": self.started, "owned_by": "sys2ft"}

    async def begin(self, asked: AskedChat | AskedText) -> tuple[Job, Form]:
        """Queue what a request asks for. Raises ApiError if it cannot be answered."""
        # In another thread: a long prompt takes a while to be split into tokens, and other answers go out meanwhile.
        prompts, news = await asyncio.to_thread(self._prompts, asked)
        form = Form(
            kind="chat" if isinstance(asked, AskedChat) else "text",
            model=asked.model,
            fingerprint=f"sys2ft-{self.model.fingerprint[:12]}",
            decode=lambda id: self.model.tokenizer.decode([id]),
            logprobs=asked.top is not None,
            prompt_tokens=sum(map(len, prompts)),
            news=news,
        )
        job = Job(self._choices(asked, prompts))
        self.worker.submit(job)
        return job, form

    def _served(self, name: str) -> Served:
        served = self.catalogue.served.get(name)
        if served is None:
            raise unknown_model(name, list(self.catalogue.served))
        return served

    def _prompts(self, asked: AskedChat | AskedText) -> tuple[list[list[int]], list[str] | None]:
        """The ids of each prompt, and the ids of the news items in context, if the model reads news."""
        served = self._served(asked.model)
        if isinstance(asked, AskedText):
            if served.reads_news:
                raise ApiError(400, f"{served.name} answers questions: use /v1/chat/completions", param="model")
            return [self._text_ids(prompt) for prompt in asked.prompts], None
        messages = [Message(_ROLES.get(turn.role, turn.role), turn.text) for turn in asked.messages]  # type: ignore[arg-type]
        news = None
        if served.reads_news and messages[-1].role == "user":
            assert self.catalogue.context is not None
            messages, news = self.catalogue.context.read(messages)
        try:
            return [self.model.chat.prompt_ids(messages, remember=False)], news
        except ModelError as error:
            message = f"messages: {error.found}; expected: {error.expected}"
            raise ApiError(400, message, param="messages", code="invalid_value") from error
        except Exception as error:  # a chat template refuses a conversation with any type of exception
            message = f"messages: the model's chat template refuses this conversation: {error}"
            raise ApiError(400, message, param="messages", code="invalid_value") from error

    def _text_ids(self, prompt: str | list[int]) -> list[int]:
        ids = self.model.chat.plain_ids(prompt) if isinstance(prompt, str) else prompt
        most = int(self.model.model.config.vocab_size)
        if not ids or not all(0 <= id < most for id in ids):
            raise ApiError(
                400,
                "prompt: it has no token" if not ids else f"prompt: token ids must be from 0 to {most - 1}",
                param="prompt",
                code="invalid_value",
            )
        return ids

    def _choices(self, asked: AskedChat | AskedText, prompts: Sequence[list[int]]) -> list[Choice]:
        served = self._served(asked.model)
        if asked.n * len(prompts) > self.settings.max_queue:
            raise ApiError(
                400,
                f"{asked.n * len(prompts)} answers in one request; the server takes {self.settings.max_queue} at most.",
                param="n",
                code="invalid_value",
            )
        stops = (*asked.stops, *(self.model.chat.stop_texts if isinstance(asked, AskedChat) else ()))
        strip = isinstance(asked, AskedChat) and not self.model.chat.has_template
        how = Sampling(temperature=asked.temperature, top_p=asked.top_p, top_k=asked.top_k)
        seed = secrets.randbits(62) if asked.seed is None else asked.seed
        choices = list[Choice]()
        for prompt in prompts:
            limit = self._limit(asked, len(prompt))
            group = Group(served.slot, 0) if asked.n == 1 else group_of(served.slot, [prompt] * asked.n)
            for _ in range(asked.n):
                writer = Writer(self.model.tokenizer, stops, strip=strip)
                uniforms = Uniforms(item_seed(seed, "served", len(choices)))
                row = Row(prompt, group, how, uniforms, limit, writer.push, asked.top)
                choices.append(Choice(len(choices), row, writer))
        return choices

    def _limit(self, asked: AskedChat | AskedText, prompt: int) -> int:
        """Tokens of an answer to a prompt of that length. Raises ApiError if the model cannot read so many."""
        room = None if self.positions is None else self.positions - prompt
        wanted = asked.limit
        if room is not None and (room < 1 or (wanted is not None and wanted > room)):
            raise ApiError(
                400,
                f"This model's maximum context length is {self.positions} tokens. The prompt has {prompt}"
                + (f", and {wanted} were asked for the answer." if wanted else "."),
                param="messages" if isinstance(asked, AskedChat) else "prompt",
                code="context_length_exceeded",
            )
        if wanted is None:
            wanted = self.settings.max_tokens if room is None else min(self.settings.max_tokens, room)
        return wanted
