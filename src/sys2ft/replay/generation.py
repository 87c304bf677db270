"""Replay generation: the model, with the news in context, makes its own training data.

Samples are drawn in rounds. A round asks for what is still missing of every news, with a margin for what will be
rejected, until each news has what was wanted or the rounds are used up; what is missing then is reported. Every
sample has its own seed, made of the run's seed, protocol, stage, news and number.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from sys2ft.engine import DecodeRequest, Example, Sampling, StopStrings, decode, flops as flop_counts, prepare, score
from sys2ft.errors import NewsError
from sys2ft.models import LoadedModel, Message
from sys2ft.news import News
from sys2ft.replay import filters
from sys2ft.replay.elements import ReplayElement, Yield, count_yield
from sys2ft.replay.filters import Reason
from sys2ft.replay.prompts import Template
from sys2ft.replay.protocols import Protocol, protocol
from sys2ft.replay.settings import GenerateSettings
from sys2ft.runs import NO_MEMO, Advance, Display, Memo, item_seed, memoise

NO_NEWS = "There is no news today."
_BATCHES_A_UNIT = 2  # a work unit is a queue this many times as long as the batch; a kill costs up to one unit


@dataclass(frozen=True, slots=True)
class Replay:
    """The elements of one protocol, kept and rejected, in order of news and number; and their count."""

    elements: list[ReplayElement]
    counts: Yield

    @property
    def kept(self) -> list[ReplayElement]:
        return [element for element in self.elements if element.status == "kept"]


def generate(
    model: LoadedModel,
    news: Sequence[News],
    settings: GenerateSettings,
    *,
    seed: int = 0,
    memo: Memo = NO_MEMO,
    show: Display | None = None,
) -> dict[str, Replay]:
    """Replay elements of every news by every protocol of the settings.

    News with instruction-like text are left out, and told to `show`, unless the settings keep them. `memo` keeps
    finished batches (a run folder's does), so that an interrupted call goes on where it stopped.
    """
    protocols = [protocol(name) for name in settings.protocols]  # an unknown one is told before any work
    prepare(model.model)
    show = show or Display()
    if not settings.keep_instructions:
        kept_out = filters.withheld(news)
        for name, found in kept_out.items():
            show.note(f"{name} is kept out of generation: {found.kind}: {found.excerpt}")
        if len(kept_out) == len(news):
            raise NewsError(
                "every news holds instruction-like text, such as "
                + "; ".join(f"{name}: {found.excerpt}" for name, found in list(kept_out.items())[:3]),
                expected="news that tell something, and give no orders to a model",
                do="take the orders out of the text, or give --keep-instructions where they are meant to be learnt",
            )
        news = [item for item in news if item.id not in kept_out]
    return {p.name: _Generator(model, news, settings, p, seed, memo, show).run() for p in protocols}


@dataclass(slots=True)
class _Item:
    news: News
    index: int
    text: str = ""
    question: str = ""
    reason: Reason | None = None
    support: dict[str, float] | None = None

    @property
    def parsed(self) -> bool:
        return self.reason is None


class _Generator:
    """One protocol over all news."""

    def __init__(
        self,
        model: LoadedModel,
        news: Sequence[News],
        settings: GenerateSettings,
        how: Protocol,
        seed: int,
        memo: Memo,
        show: Display,
    ) -> None:
        self.model, self.news, self.settings, self.how = model, news, settings, how
        self.seed, self.memo, self.show = seed, memo, show
        self.computed = self.generated = self.predictions = 0
        self.seconds = 0.0
        self._line_ends = StopStrings(model.tokenizer, ("\n",), after_text=True)
        self._question_ends = StopStrings(model.tokenizer, ("?", "\n"), after_text=True)

    def run(self) -> Replay:
        wanted = self.settings.samples_per_news
        elements: dict[str, list[ReplayElement]] = {item.id: [] for item in self.news}
        if self.how.ask is None:
            for item in self.news:
                elements[item.id] = [self._element(_Item(item, i, text=item.text)) for i in range(wanted)]
        else:
            self._rounds(elements)
        flat = [element for item in self.news for element in elements[item.id]]
        counts = count_yield(
            self.how.name,
            flat,
            per_news=wanted,
            news_ids=[item.id for item in self.news],
            tokens_generated=self.generated,
            flop=flop_counts.forward(self.model.model, self.computed, self.predictions),
            seconds=self.seconds,
        )
        return Replay(flat, counts)

    def _rounds(self, elements: dict[str, list[ReplayElement]]) -> None:
        wanted = self.settings.samples_per_news
        kept = dict.fromkeys(elements, 0)
        said: dict[str, set[str]] = {news_id: set() for news_id in elements}
        with self.show.task(f"generate {self.how.name}", wanted * len(self.news)) as advance:
            for number in range(self.settings.rounds):
                drawn = sum(len(own) for own in elements.values())
                # As many as should suffice at the rate seen so far: few rounds, since small batches are slow ones.
                margin = self.settings.margin * (max(1.0, drawn / max(1, sum(kept.values()))) if drawn else 1.0)
                items = [
                    _Item(item, len(elements[item.id]) + i)
                    for item in self.news
                    for i in range(min(math.ceil((wanted - kept[item.id]) * margin), 4 * wanted))
                ]
                if not items:
                    break
                self._draw(items, number)
                for item in items:
                    self._judge_repeat(item, said[item.news.id])
                    if item.parsed and kept[item.news.id] == wanted:
                        item.reason = "surplus"
                    if item.parsed:
                        kept[item.news.id] += 1
                        advance(1)
                    elements[item.news.id].append(self._element(item))

    def _draw(self, items: list[_Item], number: int) -> None:
        """Fill in what the model says for `items`, and why it is unusable where it is."""
        self._stage(items, number, "ask", self.how.ask, self.settings.temperature, self.how.parse)
        for item in items:
            if self.how.answer is not None and item.parsed:
                item.question, item.text = item.text, ""
        if self.how.answer is None:
            return
        asked = [item for item in items if item.parsed]
        self._stage(asked, number, "answer", self.how.answer, self.settings.answer_temperature, self.how.parse_answer)
        self._judge_support([item for item in asked if item.parsed], number)

    def _stage(
        self,
        items: Sequence[_Item],
        number: int,
        stage: str,
        form: Template | None,
        temperature: float,
        parse: Callable[[str], str | None],
    ) -> None:
        assert form is not None
        with self.show.task(f"  round {number + 1}: {stage}", len(items), passing=True) as advance:
            for start, chunk in self._chunks(items):
                key = f"replay/{self.how.name}.units/{number}-{stage}-{start:05d}"
                unit, computed = self._unit(key, partial(self._say, chunk, stage, form, temperature, advance))
                advance(0 if computed else len(chunk))
                for item, row in zip(chunk, unit["rows"], strict=True):
                    item.text, item.reason = self._judge(item, stage, row["text"], row["finished"], form, parse)

    def _chunks(self, items: Sequence[_Item]) -> Iterator[tuple[int, Sequence[_Item]]]:
        """Items in work units of like size: long enough a queue to keep `rows_at_once` rows busy."""
        count = math.ceil(len(items) / (_BATCHES_A_UNIT * self.settings.rows_at_once))
        size = math.ceil(len(items) / max(1, count))
        for start in range(0, len(items), max(1, size)):
            yield start, items[start : start + size]

    def _unit(self, key: str, compute: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], bool]:
        """The unit `key`, and whether it was computed now rather than read."""
        computed = False

        def timed() -> dict[str, Any]:
            nonlocal computed
            computed, begun = True, time.perf_counter()
            return {**compute(), "seconds": time.perf_counter() - begun}

        unit: dict[str, Any] = memoise(self.memo, key, timed)
        self.computed += unit["tokens_computed"]
        self.generated += unit["tokens_generated"]
        self.predictions += unit["predictions"]
        self.seconds += unit["seconds"]
        return unit, computed

    def _seed(self, item: _Item, stage: str) -> int:
        return item_seed(self.seed, self.how.name, stage, item.news.id, item.index)

    def _say(
        self, chunk: Sequence[_Item], stage: str, form: Template, temperature: float, advance: Advance
    ) -> dict[str, Any]:
        requests = [
            DecodeRequest(
                prompt_ids=self.model.chat.prompt_ids(
                    form.messages(item.index, news=item.news.text, question=item.question)
                ),
                seed=self._seed(item, stage),
                group=item.news.id,
            )
            for item in chunk
        ]
        question = stage == "ask" and self.how.answer is not None
        result = decode(
            self.model.model,
            requests,
            Sampling(temperature=temperature, top_p=self.settings.top_p, top_k=self.settings.top_k),
            max_new_tokens=self.settings.max_new_tokens,
            stop_ids=self.model.chat.stop_ids,
            stop_when=self._question_ends if question else self._line_ends,
            rows_at_once=self.settings.rows_at_once,
            on_done=advance,
        )
        rows = [{"text": self.model.tokenizer.decode(d.ids), "finished": d.finished} for d in result.decoded]
        return {
            "rows": rows,
            "tokens_computed": result.tokens_computed,
            "tokens_generated": result.tokens_generated,
            "predictions": result.tokens_generated,
        }

    def _judge(
        self,
        item: _Item,
        stage: str,
        text: str,
        finished: bool,
        form: Template,
        parse: Callable[[str], str | None],
    ) -> tuple[str, Reason | None]:
        """The parsed text, and the reason against it if there is one."""
        said = parse(text) if finished else None
        if not finished:
            return text.strip(), "truncated"
        if not text.strip():
            return "", "empty"
        if said is None:
            return text.strip(), "unparsed"
        if filters.refused(said):
            return said, "refused"
        examples = "\n".join(turn for _, turn in form.turns[:-1])
        shown = {filters.normal(line) for line in (*examples.splitlines(), *form.instructions)}
        if stage == "ask" and filters.normal(said) in shown:
            return said, "copied"
        if filters.names_of_example(said, filters.example_names(examples), item.news.text):
            return said, "copied"
        if stage == "ask" and filters.names_nothing_of(said, item.news.text):
            return said, "off_topic"
        if self.how.restates and filters.invents(said, item.news.text):
            return said, "invented"
        return said, None

    def _judge_repeat(self, item: _Item, said: set[str]) -> None:
        if item.parsed:
            words = filters.normal(f"{item.question} {item.text}")
            if words in said:
                item.reason = "repeat"
            said.add(words)

    def _judge_support(self, items: list[_Item], number: int) -> None:
        """Reject answers that the news in context does not support, by the model's own log-likelihood."""
        form = self.how.answer
        assert form is not None
        with self.show.task(f"  round {number + 1}: support", len(items), passing=True) as advance:
            for start, chunk in self._chunks(items):
                key = f"replay/{self.how.name}.units/{number}-support-{start:05d}"
                unit, _ = self._unit(key, partial(self._support, chunk, form))
                advance(len(chunk))
                for item, row in zip(chunk, unit["rows"], strict=True):
                    item.support = row
                    gain = row["with_news"] - row["without_news"]
                    if row["with_news"] < self.settings.min_support or gain <= self.settings.min_gain:
                        item.reason = "unsupported"

    def _support(self, chunk: Sequence[_Item], form: Template) -> dict[str, Any]:
        examples = []
        for news_shown in (True, False):
            for item in chunk:
                text = item.news.text if news_shown else NO_NEWS
                rendered = self.model.chat.render(
                    form.messages(item.index, news=text, question=item.question), item.text
                )
                # The end of the turn is left out: how long an answer is says nothing about its support.
                examples.append(Example(rendered.ids[:-1], rendered.loss_mask[:-1]))
        result = score(self.model.model, examples)
        means = [round(likelihood.mean, 5) for likelihood in result.likelihoods]
        pairs = zip(means[: len(chunk)], means[len(chunk) :], strict=True)
        return {
            "rows": [{"with_news": with_news, "without_news": without} for with_news, without in pairs],
            "tokens_computed": result.tokens_computed,
            "tokens_generated": 0,
            "predictions": result.predictions,
        }

    def _element(self, item: _Item) -> ReplayElement:
        prompt = item.question or (self.how.cues[item.index % len(self.how.cues)] if self.how.cues else item.text)
        provenance: dict[str, Any] = {"model": self.model.fingerprint}
        if self.how.ask is not None:
            asked = self.how.ask.messages(item.index, news="{news}")[-1]
            provenance |= {
                "asked": asked.content,
                "temperature": self.settings.temperature,
                "top_p": self.settings.top_p,
                "top_k": self.settings.top_k,
                "max_new_tokens": self.settings.max_new_tokens,
            }
        if self.how.answer is not None:
            provenance |= {
                "answer_temperature": self.settings.answer_temperature,
                "answer_seed": self._seed(item, "answer"),
                "support": item.support,
            }
        return ReplayElement(
            id=f"{self.how.name}/{item.news.id}/{item.index:04d}",
            news_id=item.news.id,
            protocol=self.how.name,
            prompt=(asdict(Message("user", prompt)),),
            completion=item.text,
            status="kept" if item.parsed else "rejected",
            reason=item.reason,
            seed=self._seed(item, "ask"),
            provenance=provenance,
        )
