"""Writing candidates in stages: question and answer, in either order, then wrong choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sys2ft.generators import Context, Request, SamplingParams
from sys2ft.generators.work import generate
from sys2ft.languages import ENGLISH, language, language_of
from sys2ft.models import Message
from sys2ft.probing.candidates import Candidate, against_answer, against_question, alike_in, wrong_choices
from sys2ft.probing.settings import ProbeSettings
from sys2ft.replay import filters
from sys2ft.replay.facts import with_gap
from sys2ft.replay.parsers import one_question, short_answer
from sys2ft.replay.prompts import Template, template
from sys2ft.runs import Executor, Memo, Unit, compute_units, item_seed
from sys2ft.text import SENTENCE_ENDS

PROMPTS = ("question", "about", "answer", "wrong")


def prompt(name: str, code: str = ENGLISH) -> Template:
    """The bundled prompt of a stage, one of PROMPTS, in a language; English if it has no prompts."""
    return template(f"probe_{name}", language(code).prompts.code)


class Writer:
    """Fills candidates in, stage by stage. Every stage is split into units of fixed content."""

    def __init__(self, settings: ProbeSettings, seed: int, memo: Memo, executor: Executor) -> None:
        self.settings, self.seed, self.memo, self.executor = settings, seed, memo, executor

    def write(self, fresh: Sequence[Candidate], number: int, made: dict[str, list[Candidate]]) -> None:
        """Questions, answers and wrong choices of one round; `made` holds the candidates of earlier ones."""
        for candidate in fresh:
            candidate.language = language_of(candidate.news.text, self.settings.language).code
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
                code = candidate.language
                candidate.reason = against_question(question, candidate.news, prompt(stage, code), code)

    def _answers(self, candidates: Sequence[Candidate], number: int) -> None:
        said = self._say([(candidate, 0) for candidate in candidates], "answer", number)
        for candidate, (text, finished) in zip(candidates, said, strict=True):
            candidate.answer = (short_answer(text) or "").rstrip(SENTENCE_ENDS)
            if not finished or not candidate.answer:
                candidate.reason = "unparsed" if finished else "truncated"

    def _wrong(self, candidates: Sequence[Candidate], number: int) -> None:
        """Wrong choices: spans of the news item that are of the answer's kind, then what the model invents."""
        wanted = self.settings.choices - 1
        for candidate in candidates:
            candidate.wrong = wrong_choices(alike_in(candidate, self.seed), candidate, wanted)
        short = [candidate for candidate in candidates if len(candidate.wrong) < wanted]
        drawn = [(candidate, n) for candidate in short for n in range(self.settings.wrong_samples)]
        said = iter(self._say(drawn, "wrong", number))
        for candidate in short:
            texts = [next(said) for _ in range(self.settings.wrong_samples)]
            said_wrong = [short_answer(text) for text, finished in texts if finished]
            invented = [answer.rstrip(SENTENCE_ENDS) for answer in said_wrong if answer]
            code = candidate.language
            form = prompt("wrong", code)
            own = [one for one in invented if against_question(one, candidate.news, form, code) in (None, "off_topic")]
            candidate.wrong = wrong_choices([*candidate.wrong, *own], candidate, wanted)
            if len(candidate.wrong) < wanted:
                candidate.reason = "few_choices"

    def _say(self, items: Sequence[tuple[Candidate, int]], stage: str, number: int) -> list[tuple[str, bool]]:
        """The reply for each candidate and sample number at a stage, and whether it is finished."""
        size = self.settings.rows_at_once
        sampling = self.sampling(stage).to_dict()
        units = [
            Unit(
                key=f"probe.units/{number}-{stage}-{start:06d}",
                function="sys2ft.probing.writing:say",
                inputs={
                    "requests": [self.request(*item, stage).to_dict() for item in items[start : start + size]],
                    "sampling": sampling,
                },
            )
            for start in range(0, len(items), size)
        ]
        results = compute_units(units, self.executor, self.memo)
        return [(text, finished) for result, _ in results for text, finished in result["rows"]]

    def sampling(self, stage: str) -> SamplingParams:
        """How the replies of a stage are sampled."""
        settings = self.settings
        return SamplingParams(
            temperature=0.0 if stage == "answer" else settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            max_new_tokens=settings.answer_tokens if stage in ("answer", "wrong") else settings.max_new_tokens,
            stops=("\n",),
        )

    def request(self, candidate: Candidate, sample: int, stage: str) -> Request:
        """What is asked for a candidate at a stage; samples of one candidate differ in seed and instruction."""
        return Request(
            messages=tuple(self._messages(candidate, stage, sample)),
            seed=item_seed(self.seed, "probe", stage, candidate.news.id, candidate.index, sample),
            group=candidate.news.id,
        )

    def _messages(self, candidate: Candidate, stage: str, sample: int) -> list[Message]:
        shown = candidate.question
        if stage == "about":
            shown = with_gap(candidate.news.text, candidate.given)
        elif stage == "wrong":
            right = language(candidate.language).prompts.filled("right_answer", answer=candidate.answer)
            shown = f"{candidate.question}\n{right}"
        return prompt(stage, candidate.language).messages(
            candidate.index // 2 + sample, news=candidate.news.text, question=shown
        )


def say(context: Context, requests: Sequence[Mapping[str, Any]], sampling: Mapping[str, Any]) -> dict[str, Any]:
    """The text of each reply, and whether it is finished."""
    result = generate(context, requests, sampling)
    return {"rows": [[row["text"], row["finished"]] for row in result["rows"]]}
