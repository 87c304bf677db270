"""Held-out probes: the model writes questions with choices, and those are kept that only a reader of the news answers.

A question is written and answered with the news in context, by prompts and from seeds that the training data never
use. It is then checked as evaluation will ask it. With the news in context the model has to pick the answer among the
choices and to give it in at least two sampled answers; without the news it must pick a wrong choice, or give the answer
a share that chance would give it, and give it in no more samples than chance. The choice that is kept is a selection:
on these questions the untouched model is right in context and wrong without it by construction.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import resources
from typing import Any

from sys2ft.engine import DecodeRequest, Sampling, decode, prepare
from sys2ft.evaluation import EvaluateSettings, Prediction, evaluate
from sys2ft.models import LoadedModel, Message
from sys2ft.news import News
from sys2ft.probing.candidates import Candidate, against_answer, against_question, wrong_choices
from sys2ft.probing.settings import ProbeSettings
from sys2ft.replay import filters
from sys2ft.replay.prompts import Template, parse_template
from sys2ft.replay.protocols import one_question, short_answer
from sys2ft.runs import Display, item_seed
from sys2ft.runs.folder import Once, compute_always

_LEAST_RIGHT = 2
"""Samples with the news in context that have to be right."""


@dataclass(frozen=True, slots=True)
class Probes:
    """The news with their probes, every candidate with what became of it, and the news that were left alone."""

    news: list[News]
    candidates: list[Candidate]
    withheld: dict[str, str]
    """News with instruction-like text, by id, and that text."""

    @property
    def kept(self) -> list[Candidate]:
        """Candidates that became probes."""
        return [candidate for candidate in self.candidates if candidate.alive]

    def reasons(self) -> dict[str, int]:
        """How many candidates were rejected, by reason."""
        return dict(Counter(candidate.reason for candidate in self.candidates if candidate.reason is not None))


@lru_cache(maxsize=8)
def prompt(name: str) -> Template:
    """The bundled prompt `question`, `answer` or `wrong`."""
    file = resources.files("sys2ft.probing") / "prompts" / f"{name}.txt"
    return parse_template(file.read_text(encoding="utf-8"), f"probing/{name}")


def probe(
    model: LoadedModel,
    news: Sequence[News],
    settings: ProbeSettings,
    *,
    seed: int = 0,
    once: Once = compute_always,
    show: Display | None = None,
) -> Probes:
    """Probes for every news without questions; the other news are passed on as they are.

    News with instruction-like text are left alone unless the settings keep them. `once` keeps finished batches (a run
    folder's does), so that an interrupted call goes on where it stopped.
    """
    prepare(model.model)
    withheld = {} if settings.keep_instructions else filters.withheld(news)
    bare = [item for item in news if not item.questions and item.id not in withheld]
    writer = _Writer(model, settings, seed, once)
    made: dict[str, list[Candidate]] = {item.id: [] for item in bare}
    wanted = settings.probes_per_news
    with (show or Display()).task("probe", wanted * len(bare)) as advance:
        for number in range(settings.rounds):
            fresh = [
                Candidate(item, len(made[item.id]) + i)
                for item in bare
                if _kept(made[item.id]) < wanted
                for i in range(settings.candidates)
            ]
            if not fresh:
                break
            writer.write(fresh, number, made)
            writer.check([candidate for candidate in fresh if candidate.alive], number)
            for candidate in fresh:
                if candidate.alive and _kept(made[candidate.news.id]) == wanted:
                    candidate.reason = "surplus"
                advance(int(candidate.alive))
                made[candidate.news.id].append(candidate)
    name = model.source.name
    with_probes = [
        item.model_copy(update={"questions": tuple(c.as_question(seed, name) for c in made[item.id] if c.alive)})
        if item.id in made
        else item
        for item in news
    ]
    told = {name: f"{found.kind}: {found.excerpt}" for name, found in withheld.items()}
    return Probes(with_probes, [candidate for own in made.values() for candidate in own], told)


def _kept(candidates: Sequence[Candidate]) -> int:
    return sum(candidate.alive for candidate in candidates)


class _Writer:
    """Fills candidates in, stage by stage; every stage is cut into units of fixed content."""

    def __init__(self, model: LoadedModel, settings: ProbeSettings, seed: int, once: Once) -> None:
        self.model, self.settings, self.seed, self.once = model, settings, seed, once

    def write(self, fresh: Sequence[Candidate], number: int, made: dict[str, list[Candidate]]) -> None:
        """Questions, their answers, and wrong choices; `made` holds the candidates of earlier rounds."""
        settings = self.settings
        form = prompt("question")
        for candidate, (said, finished) in zip(fresh, self._say(fresh, "question", number), strict=True):
            question = one_question(said) if finished else None
            candidate.question = question or said.strip()
            candidate.reason = "truncated" if not finished else "unparsed" if question is None else None
            candidate.reason = candidate.reason or against_question(candidate.question, candidate.news, form)
        asked = {news_id: {filters.normal(c.question) for c in own} for news_id, own in made.items()}
        for candidate in fresh:
            words = filters.normal(candidate.question)
            if candidate.alive and words in asked[candidate.news.id]:
                candidate.reason = "repeat"
            asked[candidate.news.id].add(words)
        alive = [candidate for candidate in fresh if candidate.alive]
        for candidate, (said, finished) in zip(alive, self._say(alive, "answer", number), strict=True):
            answer = short_answer(said) if finished else None
            candidate.answer = (answer or said.strip()).rstrip(".")
            candidate.reason = "truncated" if not finished else "unparsed" if not candidate.answer else None
            candidate.reason = candidate.reason or against_answer(candidate.answer, candidate)
        alive = [candidate for candidate in alive if candidate.alive]
        drawn = [candidate for candidate in alive for _ in range(settings.wrong_samples)]
        texts = self._say(drawn, "wrong", number)
        for i, candidate in enumerate(alive):
            own = texts[i * settings.wrong_samples : (i + 1) * settings.wrong_samples]
            said_wrong = [short.rstrip(".") for said, finished in own if finished and (short := short_answer(said))]
            candidate.wrong = wrong_choices(said_wrong, candidate, settings.choices - 1)
            if len(candidate.wrong) < settings.choices - 1:
                candidate.reason = "few_choices"

    def check(self, candidates: Sequence[Candidate], number: int) -> None:
        """Ask every candidate as evaluation will, with the news and without it, and reject what anybody can answer."""
        by_news: dict[str, list[Candidate]] = {}
        for candidate in candidates:
            by_news.setdefault(candidate.news.id, []).append(candidate)
        asked = [
            own[0].news.model_copy(
                update={"questions": tuple(c.as_question(self.seed, self.model.source.name) for c in own)}
            )
            for own in by_news.values()
        ]
        choice = self._ask(asked, EvaluateSettings(scorings=("cloze",)), f"probe-{number}", 0)
        free = EvaluateSettings(
            scorings=("direct",),
            headline="direct",
            free_text_temperature=self.settings.check_temperature,
            direct_tokens=self.settings.answer_tokens,
        )
        samples = [self._ask(asked, free, f"probe-{number}-{n}", n) for n in range(1, self.settings.samples + 1)]
        for news_id, own in by_news.items():
            for index, candidate in enumerate(own):
                self._judge(candidate, choice, samples, news_id, index)

    def _ask(
        self, news: Sequence[News], settings: EvaluateSettings, subject: str, number: int
    ) -> dict[tuple[str, int, str], Prediction]:
        seed = item_seed(self.seed, "probe", "check", number)
        rows = evaluate(self.model, news, settings, subject=subject, seed=seed, once=self.once)
        return {(row.news_id, row.question, row.condition): row for row in rows}

    def _judge(
        self,
        candidate: Candidate,
        choice: dict[tuple[str, int, str], Prediction],
        samples: Sequence[dict[tuple[str, int, str], Prediction]],
        news_id: str,
        index: int,
    ) -> None:
        with_news, without = ((news_id, index, condition) for condition in ("in_context", "closed_book"))
        right = sum(bool(sample[with_news].correct) for sample in samples)
        known = sum(bool(sample[without].correct) for sample in samples)
        share = _share(choice[without], candidate.answer)
        candidate.evidence = {
            "samples": len(samples),
            "right_in_context": right,
            "right_closed_book": known,
            "chosen_in_context": choice[with_news].said,
            "chosen_closed_book": choice[without].said,
            "share_closed_book": round(share, 4),
        }
        chance = 1 / self.settings.choices
        picked = choice[without].correct and share > chance + self.settings.chance_margin
        if right < _LEAST_RIGHT or not choice[with_news].correct:
            candidate.reason = "unsupported"
        elif picked or known > chance * len(samples):
            candidate.reason = "known"

    def _say(self, candidates: Sequence[Candidate], stage: str, number: int) -> list[tuple[str, bool]]:
        """What the model says to each candidate at a stage, and whether it came to an end."""
        said: list[tuple[str, bool]] = []
        size = self.settings.rows_at_once
        for start in range(0, len(candidates), size):
            chunk = list(enumerate(candidates))[start : start + size]
            unit = self.once(f"probe.units/{number}-{stage}-{start:06d}", partial(self._decode, chunk, stage))
            said += [(text, finished) for text, finished in unit["rows"]]
        return said

    def _decode(self, chunk: Sequence[tuple[int, Candidate]], stage: str) -> dict[str, Any]:
        settings, chat = self.settings, self.model.chat
        greedy = stage == "answer"
        requests = [
            DecodeRequest(
                prompt_ids=chat.prompt_ids(self._messages(candidate, stage, place)),
                seed=item_seed(self.seed, "probe", stage, candidate.news.id, candidate.index, place),
                group=candidate.news.id,
            )
            for place, candidate in chunk
        ]
        result = decode(
            self.model.model,
            requests,
            Sampling(temperature=0.0 if greedy else settings.temperature, top_p=settings.top_p),
            max_new_tokens=settings.max_new_tokens if stage == "question" else settings.answer_tokens,
            stop_ids=chat.stop_ids,
            stop_when=self._line_ends,
            rows_at_once=settings.rows_at_once,
        )
        return {"rows": [[self.model.tokenizer.decode(d.ids), d.finished] for d in result.decoded]}

    def _messages(self, candidate: Candidate, stage: str, place: int) -> list[Message]:
        question = candidate.question
        if stage == "wrong":
            question = f"{question}\nRight answer: {candidate.answer}"
        turn = place if stage == "wrong" else candidate.index
        return prompt(stage).messages(turn, news=candidate.news.text, question=question)

    def _line_ends(self, ids: list[int]) -> bool:
        return "\n" in self.model.tokenizer.decode(ids).lstrip()


def _share(prediction: Prediction, answer: str) -> float:
    """The answer's share among the choices, by the mean log-likelihood a token of each."""
    totals: dict[str, float] = prediction.detail["choices"]
    means = {choice: total / n for (choice, total), n in zip(totals.items(), prediction.detail["tokens"], strict=True)}
    top = max(means.values())
    weights = {choice: math.exp(mean - top) for choice, mean in means.items()}
    return weights[answer] / sum(weights.values())
