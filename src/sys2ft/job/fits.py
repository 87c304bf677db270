"""Refuses, before any work, what a model cannot read or a question cannot list.

A text fits if its prompt and the room for the reply have no more tokens than the model has positions. Beyond them a
model fails (learned positions), or writes without sense (rotary ones).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sys2ft.errors import NewsError
from sys2ft.evaluation import EvaluateSettings, Questions, Subject
from sys2ft.evaluation.answerable import too_many_choices
from sys2ft.evaluation.ask import messages, option_letters
from sys2ft.evaluation.probes import Asked
from sys2ft.languages import language_of
from sys2ft.models import Message
from sys2ft.models.positions import Reader
from sys2ft.news import News
from sys2ft.probing import ProbeSettings
from sys2ft.probing.writing import PROMPTS, prompt
from sys2ft.replay import GenerateSettings, parts_of, protocols_for
from sys2ft.replay.facts import Fact, facts_in
from sys2ft.replay.judging import build
from sys2ft.replay.stages import Protocol
from sys2ft.replay.units import Sample, UnitMaker
from sys2ft.training import AdapterJob, messages_of
from sys2ft.training.settings import IN_CONTEXT

_SHOWN = 10
_SPARE = 8  # tokens: a news item in a prompt may be split into other tokens than alone
_VARIANTS = 32  # samples of which the longest prompt is taken: instructions and cues take turns
_LEAST_PASSAGE = 32  # tokens: a shorter one says nothing


@dataclass(frozen=True, slots=True)
class Need:
    """What a news item needs at most: tokens of a prompt with its reply, and what for."""

    news_id: str
    tokens: int
    use: str


@dataclass(frozen=True, slots=True)
class _Text:
    """One prompt and the room for its reply, in tokens or as texts of which the longest counts."""

    news_id: str
    use: str
    prompt: tuple[Message, ...]
    room: int = 0
    replies: Sequence[str] = ()
    thinking: bool = False

    def tokens(self, reader: Reader) -> int:
        """Tokens of the prompt and the reply."""
        said = max((len(reader.chat.continuation_ids(reply)) for reply in self.replies), default=0)
        return len(reader.chat.prompt_ids(self.prompt, thinking=self.thinking)) + said + self.room

    @property
    def size(self) -> int:
        """An upper bound of its tokens, without the chat format's own: no token is shorter than a byte."""
        said = max((len(reply.encode()) for reply in self.replies), default=0)
        return sum(len(message.content.encode()) for message in self.prompt) + said + self.room


def require_fit(
    reader: Reader,
    news: Sequence[News],
    *,
    generate: GenerateSettings | None = None,
    evaluate: EvaluateSettings | None = None,
    probe: ProbeSettings | None = None,
) -> None:
    """Raise NewsError that names the news items which do not fit into the model, for the work with these settings.

    Also raises NewsError for questions with more choices than there are letters, if they are asked by letter.
    """
    if evaluate is not None:
        require_letters(news, evaluate)
    _refuse(reader, too_long(reader, news, generate=generate, evaluate=evaluate, probe=probe), news)


def require_elements_fit(reader: Reader, jobs: Sequence[AdapterJob]) -> None:
    """Raise NewsError that names the adapters of training examples which do not fit into the model."""
    _refuse(reader, _over(reader, (text for job in jobs for text in _trained(job))), ())


def _trained(job: AdapterJob) -> Iterator[_Text]:
    """A job's examples, and what a teacher reads of them, with the room for the end of the turn, or for a sample."""
    sampled = job.settings.sample_tokens if job.lesson and job.lesson.sampled else 0
    uses = {False: "a training example"}
    if job.lesson or job.settings.stop_on == IN_CONTEXT:
        uses[True] = "a training example with the news item in context"
    for item in job.items:
        for in_context, use in uses.items():
            turns = tuple(messages_of(item, in_context=in_context))
            yield _Text(job.key, use, turns, room=1, replies=(item.completion,))
            if sampled:
                yield _Text(job.key, f"{use} with a sample of {sampled} tokens", turns, room=sampled + 1)


def require_letters(news: Sequence[News], settings: EvaluateSettings) -> None:
    """Raise NewsError for questions with more choices than there are letters, if they are asked by letter."""
    many = too_many_choices(news)
    if many and "letter" in settings.scorings:
        raise NewsError(
            "; ".join(many[:_SHOWN]) + (f"; and {len(many) - _SHOWN} more" if len(many) > _SHOWN else ""),
            expected="no more choices than can be lettered (A to Z, AA to ZZ), since --scorings include letter",
            fix="remove wrong choices, or leave out the scoring: --scorings "
            + (" ".join(scoring for scoring in settings.scorings if scoring != "letter") or "cloze"),
        )


def too_long(
    reader: Reader,
    news: Sequence[News],
    *,
    generate: GenerateSettings | None = None,
    evaluate: EvaluateSettings | None = None,
    probe: ProbeSettings | None = None,
) -> list[Need]:
    """The greatest need of each news item that does not fit, in the order of the news items."""
    texts: list[_Text] = []
    if not news or reader.positions is None:
        return []
    if generate is not None:
        parts = parts_of(protocols_for(generate))
        texts += [text for one in parts for text in _generated(one, news, generate)]
    if evaluate is not None:
        texts += _asked(news, evaluate)
    if probe is not None:
        texts += _probed(news, probe)
    return _over(reader, texts)


def _over(reader: Reader, texts: Iterable[_Text]) -> list[Need]:
    most = reader.positions
    if most is None:
        return []
    # Few texts come near the limit: only they are divided into tokens.
    own = len(reader.chat.prompt_ids([Message("user", "")]))
    worst: dict[str, Need] = {}
    for text in texts:
        if text.size + own * len(text.prompt) <= most:
            continue
        need = Need(text.news_id, text.tokens(reader), text.use)
        known = worst.get(text.news_id)
        if need.tokens > most and (known is None or need.tokens > known.tokens):
            worst[text.news_id] = need
    return list(worst.values())


def _generated(one: Protocol, news: Sequence[News], settings: GenerateSettings) -> Iterator[_Text]:
    """The longest prompt of each stage for each news item; without stages, the elements themselves."""
    maker = UnitMaker(one, settings, seed=0, generator="")
    if not one.stages:
        made = [build(maker, Sample(news[0], index)) for index in range(_VARIANTS)]
        longest = max(range(_VARIANTS), key=lambda index: _characters(pair.messages for pair in made[index]))
        for item in news:
            for pair in build(maker, Sample(item, longest)):
                yield _Text(item.id, f"{one.name}: an element", pair.messages, room=1, replies=(pair.text,))
    earlier: dict[str, int] = {}
    for stage in one.stages:
        variants = maker.requests([Sample(news[0], index, _marked(earlier)) for index in range(_VARIANTS)], stage)
        longest = max(range(_VARIANTS), key=lambda index: _characters([variants[index].messages]))
        shown = "".join(message.content for message in variants[longest].messages)
        said = sum(room for name, room in earlier.items() if _marked(earlier)[name] in shown)
        room = maker.sampling(stage).max_new_tokens
        for item in news:
            (request,) = maker.requests([Sample(item, longest, dict.fromkeys(earlier, ""))], stage)
            use = f"{one.name}: stage {stage.name}"
            yield _Text(item.id, use, request.messages, room=said + room, thinking=stage.thinking)
            if settings.aim and stage.aimed is not None:
                fact = max(facts_in(item.text, maker.language(item).code), key=_size_of_aim, default=None)
                (request,) = maker.requests([Sample(item, longest, dict.fromkeys(earlier, ""), fact=fact)], stage)
                yield _Text(item.id, use, request.messages, room=said + room, thinking=stage.thinking)
        earlier[stage.name] = room


def _size_of_aim(fact: Fact) -> int:
    return len(fact.gap) + len(fact.answer) if fact.answer else len(fact.statement)


def _marked(earlier: Mapping[str, int]) -> dict[str, str]:
    """What earlier stages said, as marks to find in a prompt."""
    return {name: f"<<{name}>>" for name in earlier}


def _characters(conversations: Iterable[Sequence[Message]]) -> int:
    return sum(len(message.content) for messages in conversations for message in messages)


def _asked(news: Sequence[News], settings: EvaluateSettings) -> Iterator[_Text]:
    """Every question as evaluation asks it in context, where it is longest."""
    listed = [one for one in news if not too_many_choices([one])]  # the others are refused by `require_letters`
    rooms = {"direct": settings.direct_tokens, "reasoned": settings.reasoned_tokens}
    for unit in Questions(settings, conditions=("in_context",)).units(Subject(), listed, seed=0):
        for row in unit.inputs["asked"]:
            one = Asked.from_dict(row)
            room = rooms.get(one.scoring)
            replies = option_letters(len(one.options)) if one.scoring == "letter" else one.options
            yield _Text(
                one.news_id,
                f"question {one.index + 1}, {one.condition.replace('_', ' ')}, by {one.scoring}",
                tuple(messages(one.text)),
                room=room or 0,
                replies=() if room else replies,
            )


def _probed(news: Sequence[News], settings: ProbeSettings) -> Iterator[_Text]:
    """The prompts by which questions are written for the news items that have none."""
    room = settings.max_new_tokens + 2 * settings.answer_tokens  # what earlier stages said, and the reply
    for item in news:
        code = language_of(item.text, settings.language).code
        for name in PROMPTS if not item.questions else ():
            shown = item.text if name == "about" else ""  # the text again, with a gap
            yield _Text(
                item.id,
                f"writing questions: stage {name}",
                tuple(prompt(name, code).messages(0, news=item.text, question=shown)),
                room=room,
            )


def _refuse(reader: Reader, found: Sequence[Need], news: Sequence[News]) -> None:
    if not found:
        return
    what, verb = ("adapters with training examples", "have") if not news else ("news items", "need")
    shown = [f"  {need.news_id}: {need.tokens:,} tokens ({need.use})" for need in found[:_SHOWN]]
    if len(found) > _SHOWN:
        shown.append(f"  ... and {len(found) - _SHOWN} more")
    head = f"{what} that {verb} more tokens than the {reader.positions:,} positions of {reader.name}: {len(found)}"
    raise NewsError(
        "\n".join([head, *shown]),
        expected=f"prompt and reply of at most {reader.positions:,} tokens together",
        fix="; or ".join(["shorten them", *_split(reader, found, news), "use a model with more positions"]),
    )


def _split(reader: Reader, found: Sequence[Need], news: Sequence[News]) -> list[str]:
    """The command that splits the news items into passages that fit, if there are such passages."""
    texts = {one.id: one.text for one in news}
    around = [need.tokens - len(reader.chat.plain_ids(texts[need.news_id])) for need in found if texts]
    left = (reader.positions or 0) - max(around, default=0) - _SPARE
    if not texts or left < _LEAST_PASSAGE:
        return []
    name = shlex.quote(reader.name)
    return [f"split them: sys2ft news import NEWS --max-tokens {left} --tokenizer {name} --out SPLIT.jsonl"]
