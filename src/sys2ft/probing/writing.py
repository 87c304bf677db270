"""Candidates are written in stages: question and answer, in either order, then wrong answers beside it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from importlib import resources
from typing import Any

from sys2ft.engine import DecodeRequest, Sampling, decode
from sys2ft.models import LoadedModel, Message
from sys2ft.probing.candidates import Candidate, against_answer, against_question, alike_in, with_gap, wrong_choices
from sys2ft.probing.settings import ProbeSettings
from sys2ft.replay import filters
from sys2ft.replay.prompts import Template, parse_template
from sys2ft.replay.protocols import one_question, short_answer
from sys2ft.runs import Memo, item_seed, memoise

PROMPTS = ("question", "about", "answer", "wrong")


@lru_cache(maxsize=len(PROMPTS))
def prompt(name: str) -> Template:
    """The bundled prompt of a stage, one of PROMPTS."""
    file = resources.files("sys2ft.probing") / "prompts" / f"{name}.txt"
    return parse_template(file.read_text(encoding="utf-8"), f"probing/{name}")


class Writer:
    """Fills candidates in, stage by stage; every stage is cut into units of fixed content."""

    def __init__(self, model: LoadedModel, settings: ProbeSettings, seed: int, memo: Memo) -> None:
        self.model, self.settings, self.seed, self.memo = model, settings, seed, memo

    def write(self, fresh: Sequence[Candidate], number: int, made: dict[str, list[Candidate]]) -> None:
        """Questions, answers and wrong choices of one round; `made` holds the candidates of earlier ones."""
        self._questions([c for c in fresh if not c.given], "question", number)
        self._questions([c for c in fresh if c.given], "about", number)
        asked = {news_id: {filters.normal(c.question) for c in own} for news_id, own in made.items()}
        for candidate in fresh:
            words = filters.normal(candidate.question)
            if candidate.alive and words in asked[candidate.news.id]:
                candidate.reason = "repeat"
            asked[candidate.news.id].add(words)
        self._answers([c for c in fresh if c.alive and not c.given], number)
        for candidate in fresh:
            if candidate.alive:
                candidate.reason = against_answer(candidate.answer, candidate)
        self._wrong([c for c in fresh if c.alive], number)

    def _questions(self, candidates: Sequence[Candidate], stage: str, number: int) -> None:
        said = self._say([(candidate, 0) for candidate in candidates], stage, number)
        for candidate, (text, finished) in zip(candidates, said, strict=True):
            question = one_question(text) if finished else None
            candidate.question = question or text.strip()
            candidate.answer = candidate.given
            if question is None:
                candidate.reason = "unparsed" if finished else "truncated"
            else:
                candidate.reason = against_question(question, candidate.news, prompt(stage))

    def _answers(self, candidates: Sequence[Candidate], number: int) -> None:
        said = self._say([(candidate, 0) for candidate in candidates], "answer", number)
        for candidate, (text, finished) in zip(candidates, said, strict=True):
            candidate.answer = (short_answer(text) or "").rstrip(".")
            if not finished or not candidate.answer:
                candidate.reason = "unparsed" if finished else "truncated"

    def _wrong(self, candidates: Sequence[Candidate], number: int) -> None:
        """Wrong choices: what stands in the news and is of the answer's kind, then what the model invents."""
        wanted = self.settings.choices - 1
        for candidate in candidates:
            candidate.wrong = wrong_choices(alike_in(candidate, self.seed), candidate, wanted)
        short = [candidate for candidate in candidates if len(candidate.wrong) < wanted]
        drawn = [(candidate, n) for candidate in short for n in range(self.settings.wrong_samples)]
        said = iter(self._say(drawn, "wrong", number))
        form = prompt("wrong")
        for candidate in short:
            texts = [next(said) for _ in range(self.settings.wrong_samples)]
            invented = [answer.rstrip(".") for text, finished in texts if finished and (answer := short_answer(text))]
            own = [one for one in invented if against_question(one, candidate.news, form) in (None, "off_topic")]
            candidate.wrong = wrong_choices([*candidate.wrong, *own], candidate, wanted)
            if len(candidate.wrong) < wanted:
                candidate.reason = "few_choices"

    def _say(self, items: Sequence[tuple[Candidate, int]], stage: str, number: int) -> list[tuple[str, bool]]:
        """What the model says to each candidate and sample number at a stage, and whether it came to an end."""
        said: list[tuple[str, bool]] = []
        size = self.settings.rows_at_once
        for start in range(0, len(items), size):
            key = f"probe.units/{number}-{stage}-{start:06d}"
            unit = memoise(self.memo, key, partial(self._decode, items[start : start + size], stage))
            said += [(text, finished) for text, finished in unit["rows"]]
        return said

    def _decode(self, items: Sequence[tuple[Candidate, int]], stage: str) -> dict[str, Any]:
        settings, chat = self.settings, self.model.chat
        greedy = stage == "answer"
        requests = [
            DecodeRequest(
                prompt_ids=chat.prompt_ids(self._messages(candidate, stage, sample)),
                seed=item_seed(self.seed, "probe", stage, candidate.news.id, candidate.index, sample),
                group=candidate.news.id,
            )
            for candidate, sample in items
        ]
        result = decode(
            self.model.model,
            requests,
            Sampling(temperature=0.0 if greedy else settings.temperature, top_p=settings.top_p, top_k=settings.top_k),
            max_new_tokens=settings.answer_tokens if stage in ("answer", "wrong") else settings.max_new_tokens,
            stop_ids=chat.stop_ids,
            stop_when=self._line_ends,
            rows_at_once=settings.rows_at_once,
        )
        return {"rows": [[self.model.tokenizer.decode(d.ids), d.finished] for d in result.decoded]}

    def _messages(self, candidate: Candidate, stage: str, sample: int) -> list[Message]:
        shown = candidate.question
        if stage == "about":
            shown = with_gap(candidate.news.text, candidate.given)
        elif stage == "wrong":
            shown = f"{candidate.question}\nRight answer: {candidate.answer}"
        return prompt(stage).messages(candidate.index // 2 + sample, news=candidate.news.text, question=shown)

    def _line_ends(self, ids: list[int]) -> bool:
        return "\n" in self.model.tokenizer.decode(ids).lstrip()
