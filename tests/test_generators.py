"""Generators: plain data and back, the engine's generator, thoughts, and replay written by another generator."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from conftest import build_tokenizer
from memos import DictMemo
from sys2ft.engine import BASE, DecodeRequest, Example, Sampling, StopStrings, decode, score
from sys2ft.errors import SettingsError
from sys2ft.generators import (
    Context,
    EngineGenerator,
    Generated,
    Generator,
    Likelihoods,
    Pair,
    Reply,
    Request,
    SamplingParams,
    Usage,
    without_thought,
)
from sys2ft.generators.thinking import AfterThought
from sys2ft.generators.work import loglik
from sys2ft.models import LoadedModel, Message
from sys2ft.models.chat import ChatFormat
from sys2ft.news import News
from sys2ft.replay import GenerateSettings, Protocol, Said, Stage, Trail, generate, parse_template, plan
from sys2ft.replay.filters import refusal
from sys2ft.runs import Executor, LocalExecutor, Unit
from talking import NEWS

NEWS_ITEMS = [News(id=row["id"], text=row["news"]) for row in NEWS]
ASK = parse_template("## user\n{news}\n{instruction}\n## instructions\nSay it.\n", "ask")
TOPICS = ["What is the town?", "What is the news?", "In 1984, what was Paris?"]


def requests(**changes: Any) -> list[Request]:
    return [Request(messages=(Message("user", text),), seed=n, **changes) for n, text in enumerate(TOPICS)]


class Script:
    """A generator that says what it is given, in turn, and remembers what it was asked."""

    identity = "script"

    def __init__(self, *texts: str, finished: bool = True) -> None:
        self.texts, self.finished = texts, finished
        self.asked: list[Request] = []
        self.sampling: list[SamplingParams] = []

    def generate(self, requests: Sequence[Request], sampling: SamplingParams, *, advance: Any = None) -> Generated:
        replies = []
        for request in requests:
            replies.append(Reply(self.texts[len(self.asked) % len(self.texts)], self.finished, 1))
            self.asked.append(request)
            self.sampling.append(sampling)
        return Generated(replies, Usage(tokens_generated=len(replies)))

    def loglik(self, pairs: Sequence[Pair]) -> Likelihoods | None:
        return None


# Data -------------------------------------------------------------------------------------------------------------


def test_requests_survive_json() -> None:
    request = Request(
        messages=(Message("system", "s"), Message("user", "u")), seed=2**62, group="g", slot=3, thinking=True
    )
    assert Request.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    pair = Pair(messages=(Message("user", "u"),), text="t", slot=1)
    assert Pair.from_dict(json.loads(json.dumps(pair.to_dict()))) == pair
    sampling = SamplingParams(temperature=0.5, top_p=0.9, top_k=3, max_new_tokens=7, stops=("\n", "?"))
    assert SamplingParams.from_dict(json.loads(json.dumps(sampling.to_dict()))) == sampling
    assert Request(messages=(), seed=0).slot == Pair(messages=(), text="").slot == BASE


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1.0},
        {"top_p": 0.0},
        {"top_k": -1},
        {"max_new_tokens": 0},
        {"stops": ("",)},
        {"stops": "\n"},
        {"stops": ["\n"]},
    ],
    ids=str,
)
def test_sampling_is_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        SamplingParams(**wrong)


# The engine's generator -------------------------------------------------------------------------------------------


def test_the_engine_generator_is_decode_and_score(model: LoadedModel) -> None:
    engine = EngineGenerator(model)
    assert isinstance(engine, Generator)
    assert engine.identity == model.fingerprint
    seen: list[int] = []
    made = engine.generate(requests(), SamplingParams(max_new_tokens=16), advance=lambda units=1: seen.append(units))
    prompts = [model.chat.prompt_ids(request.messages) for request in requests()]
    direct = decode(
        model.model, [DecodeRequest(ids, n, "") for n, ids in enumerate(prompts)], Sampling(), max_new_tokens=16,
        stop_ids=model.chat.stop_ids,
    )  # fmt: skip
    assert [reply.text for reply in made.replies] == [model.tokenizer.decode(one.ids) for one in direct.decoded]
    assert [reply.tokens for reply in made.replies] == [len(one.ids) for one in direct.decoded]
    assert (made.usage.tokens_computed, made.usage.tokens_generated) == (
        direct.tokens_computed,
        direct.tokens_generated,
    )
    assert made.usage.flop > 0 and sum(seen) == 3

    pairs = [Pair(messages=request.messages, text="Paris is the town.") for request in requests()]
    found = engine.loglik(pairs)
    rendered = [model.chat.render(pair.messages, pair.text) for pair in pairs]
    scored = score(model.model, [Example(one.ids[:-1], one.loss_mask[:-1]) for one in rendered])
    assert [(one.total, one.tokens) for one in found.values] == [(one.total, one.tokens) for one in scored.likelihoods]
    assert engine.loglik([]).values == []


def test_a_stop_ends_a_reply_and_is_kept_in_it(model: LoadedModel) -> None:
    sampling = SamplingParams(max_new_tokens=32, stops=(" ",))
    replies = EngineGenerator(model).generate(requests(), sampling).replies
    assert all(reply.finished for reply in replies)
    assert any(reply.text.lstrip().count(" ") == 1 for reply in replies)
    assert all(reply.text.lstrip().count(" ") <= 1 for reply in replies)


def test_requests_that_think_keep_their_place_among_the_others(model: LoadedModel) -> None:
    plain, mixed = requests(), requests()
    mixed[1] = replace(mixed[1], thinking=True)  # the tiny template knows no thinking: the prompt is the same
    engine, sampling = EngineGenerator(model), SamplingParams(max_new_tokens=16)
    assert engine.generate(mixed, sampling).replies == engine.generate(plain, sampling).replies


def test_needs_bound_what_generation_computes(model: LoadedModel) -> None:
    engine, sampling = EngineGenerator(model), SamplingParams(max_new_tokens=8)
    usage = engine.generate(requests(group="g"), sampling).usage
    needs = engine.needs(requests(group="g"), sampling)
    assert usage.tokens_computed <= needs.tokens <= usage.tokens_computed + 3 * 8
    assert needs.flop >= usage.flop


def test_replies_for_evaluation_skip_special_tokens_and_end_at_the_chat_stops(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.chat, "stop_texts", ("e",))
    made = EngineGenerator(model, skip_special_tokens=True, chat_stops=True).generate(
        requests(), SamplingParams(max_new_tokens=16)
    )
    direct = decode(
        model.model,
        [DecodeRequest(model.chat.prompt_ids(request.messages), request.seed, "") for request in requests()],
        Sampling(),
        max_new_tokens=16,
        stop_ids=model.chat.stop_ids,
        stop_when=StopStrings(model.tokenizer, ("e",)),
    )
    texts = [model.tokenizer.decode(one.ids, skip_special_tokens=True).strip() for one in direct.decoded]
    assert [reply.text.strip() for reply in made.replies] == [text.partition("e")[0].strip() for text in texts]
    assert any("e" in text for text in texts)
    assert [(reply.finished, reply.tokens) for reply in made.replies] == [
        (one.finished, len(one.ids)) for one in direct.decoded
    ]


# Thoughts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Paris", "Paris"),
        ("<think>hm</think>Paris", "Paris"),
        ("hm\n</think>\n\nParis", "\n\nParis"),
        ("<think>hm", ""),
        ("<think>a</think><think>b</think>c", "c"),
        ("", ""),
    ],
)
def test_a_thought_is_cut(text: str, answer: str) -> None:
    assert without_thought(text) == answer


def test_the_chat_template_is_asked_for_a_thought() -> None:
    tokenizer, plain = build_tokenizer(), ChatFormat.of(build_tokenizer())
    no_thought = "{{ '<think></think>' }}"  # what Qwen3 writes before an answer without a thought
    tokenizer.chat_template = (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
        "{% if message['role'] == 'assistant' %}" + no_thought + "{% endif %}{{ message['content'] + '<|im_end|>\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
        "{% if not enable_thinking %}" + no_thought + "{% endif %}{% endif %}"
    )
    chat, ask = ChatFormat.of(tokenizer), [Message("user", "Who?")]
    assert chat.prompt_text(ask).endswith("<|im_start|>assistant\n<think></think>")
    assert chat.prompt_text(ask, thinking=True).endswith("<|im_start|>assistant\n")
    assert chat.prompt_ids(ask) != chat.prompt_ids(ask, thinking=True) == plain.prompt_ids(ask)
    assert plain.prompt_ids(ask) == plain.prompt_ids(ask, thinking=True)


def test_stops_count_after_the_thought_only(model: LoadedModel) -> None:
    tokenizer = model.tokenizer

    def inner(ids: list[int]) -> bool:
        return "\n" in tokenizer.decode(ids).lstrip()

    ends = AfterThought(tokenizer, inner)
    for text, ended in [
        ("one\ntwo\n", False),
        ("one\ntwo</think>", False),
        ("one\ntwo</think>\n\nParis", False),
        ("one\ntwo</think>\n\nParis\n", True),
    ]:
        assert ends(tokenizer(text, add_special_tokens=False)["input_ids"]) is ended, text


def test_a_stage_that_thinks_is_judged_without_the_thought() -> None:
    stage = Stage(name="ask", template=ASK, parser=str.strip, thinking=True)
    script = Script("<think>I'm sorry.\nHm.</think>\n\nParis is new.", "no end <think> of this")
    made = generate(
        script,
        NEWS_ITEMS[:1],
        GenerateSettings(samples_per_news=2, rounds=1, margin=1),
        protocols=[Protocol(name="p", version=3, stages=(replace(stage, filters=(refusal,)),), cues=("Well?",))],
    )["p"]
    assert all(request.thinking for request in script.asked)
    assert [(e.completion, e.reason) for e in made.elements] == [("Paris is new.", None), ("no end", None)]
    assert made.elements[0].provenance["protocol_version"] == 3
    assert made.elements[0].provenance["model"] == "script"


# Protocols by another generator -----------------------------------------------------------------------------------


def lines(text: str) -> str | None:
    return "\n".join(filter(None, map(str.strip, text.splitlines()))) or None


def split(trail: Trail) -> list[Pair]:
    ask = (Message("system", "Be brief."), Message("user", trail.cue))
    return [Pair(messages=ask, text=line) for line in trail.said["list"].splitlines() if line != "nothing"]


LIST = Protocol(
    name="lists", version=1, elements=split, cues=("A?", "B?"),
    stages=(Stage(name="list", template=ASK, parser=lines, stops=(), max_new_tokens=99, temperature=0.25),),
)  # fmt: skip


def test_one_sample_can_give_several_elements_or_none() -> None:
    script = Script("one\ntwo\n\nthree", "nothing", "two\nfour", "five\nsix")
    settings = GenerateSettings(samples_per_news=5, rounds=1, margin=1, checks=("none",))
    made = generate(script, NEWS_ITEMS[:1], settings, protocols=[LIST])["lists"]
    assert [(e.id.removeprefix("lists/town/"), e.completion, e.reason) for e in made.elements] == [
        ("0000", "one", None),
        ("0000-1", "two", None),
        ("0000-2", "three", None),
        ("0001", "nothing", "empty"),
        ("0002", "two", "repeat"),
        ("0002-1", "four", None),
        ("0003", "five", None),
        ("0003-1", "six", "surplus"),
        ("0004", "one", "repeat"),
        ("0004-1", "two", "repeat"),
        ("0004-2", "three", "repeat"),
    ]
    assert [turn["content"] for turn in made.elements[0].prompt] == ["Be brief.", "A?"]
    assert made.elements[4].prompt[1]["content"] == "A?"
    counts = made.counts
    assert (counts.asked, counts.kept, counts.shortfall) == (11, 5, {})
    assert counts.asked == counts.parsed == counts.kept + sum(counts.rejected.values())
    assert {(how.stops, how.max_new_tokens, how.temperature) for how in script.sampling} == {((), 99, 0.25)}


def test_each_stage_sees_what_the_earlier_ones_said() -> None:
    def checked(said: Said) -> str | None:
        return "my_reason" if said.earlier["b"] == "bad" else None

    def stage(name: str, text: str, **how: Any) -> Stage:
        form = parse_template(f"## user\n{text} {{news}}\n## instructions\nx\n", name)
        return Stage(name=name, template=form, parser=str.strip, **how)

    stages = (stage("a", "A"), stage("b", "B {a}"), stage("c", "C {a} {b}", filters=(checked,)))
    script = Script("one", "two", "good", "bad", "yes", "no")
    made = generate(
        script,
        NEWS_ITEMS[:1],
        GenerateSettings(samples_per_news=2, rounds=1, margin=1, temperature=0.9, answer_temperature=0.1),
        protocols=[Protocol(name="p", version=1, stages=stages)],
    )["p"]
    assert [request.messages[0].content.split(" The town")[0] for request in script.asked] == [
        "A", "A", "B one", "B two", "C one good", "C two bad",
    ]  # fmt: skip
    assert [(e.prompt[0]["content"], e.completion, e.reason) for e in made.elements] == [
        ("good", "yes", None),
        ("bad", "no", "my_reason"),
    ]
    assert [how.temperature for how in script.sampling] == [0.9, 0.9, 0.1, 0.1, 0.1, 0.1]
    assert {"b_temperature", "b_seed", "c_temperature", "c_seed"} <= made.elements[0].provenance.keys()


def test_implied_facts_need_likelihoods() -> None:
    with pytest.raises(SettingsError, match=r"(?s)implied facts.*log-likelihood.*'script'"):
        generate(Script("x"), NEWS_ITEMS, GenerateSettings(protocols=("naive",), implied_facts=2))
    with pytest.raises(SettingsError, match="'script'"):
        loglik(Context(Script("x")), [])


def test_only_a_model_or_a_generator_can_write() -> None:
    with pytest.raises(SettingsError, match="'smollm2' in place of a model"):
        generate("smollm2", NEWS_ITEMS, GenerateSettings(protocols=("naive",)))  # type: ignore[arg-type]


def change(stage: Stage | None = None, **changes: Any) -> dict[str, Any]:
    return {"name": "p", "version": 1, "cues": ("Well?",), "stages": (stage,) if stage else (), **changes}


GOOD = Stage(name="ask", template=ASK, parser=str.strip)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (change(GOOD, cues=()), "0 cues"),
        (change(stages=(GOOD, replace(GOOD, name="b"))), "2 stages and 1 cues"),
        (change(stages=(GOOD, GOOD), cues=()), "ask, ask"),
        (change(GOOD, cues="Well?"), "a text as its cues"),
        (change(GOOD, name="a/b"), "file name"),
        (change(replace(GOOD, name="news")), "'news'"),
        (change(replace(GOOD, name="Two words")), "'Two words'"),
        (change(replace(GOOD, stops="?")), "stops"),
        (change(replace(GOOD, max_new_tokens=0)), "max_new_tokens=0"),
        (change(replace(GOOD, temperature=-1.0)), "temperature=-1.0"),
        (change(replace(GOOD, filters=("refused",))), "not a function"),
        (change(replace(GOOD, template=replace(ASK, turns=(("user", "{news} {later}"),)))), "{later}"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_protocol_is_checked_when_it_is_defined(wrong: dict[str, Any], named: str) -> None:
    Protocol(**change(GOOD))
    with pytest.raises(SettingsError) as caught:
        Protocol(**wrong)
    assert named in str(caught.value)


def halves() -> Protocol:
    return Protocol(**change(GOOD))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (change(stages=(lambda: GOOD,)), "as its stages"),
        (change(stages=("ask",)), "('ask',) as its stages"),
        (change(stages=GOOD), "as its stages"),
        (change(replace(GOOD, template="## user")), "'## user' as the template of its stage 'ask'"),
        (change(replace(GOOD, filters=refusal)), "as the filters of its stage 'ask'"),
        (change(replace(GOOD, name=3)), "a stage called 3"),
        (change(GOOD, elements="split"), "'split' as its elements"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_fields_of_a_protocol_have_their_types(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Protocol(**wrong)
    assert "the protocol 'p'" in str(caught.value)
    assert named in str(caught.value)


@pytest.mark.parametrize("given", [[halves], ["paraphrase"], "paraphrase", halves()], ids=type)
def test_protocols_are_given_as_objects(given: Any) -> None:
    for work in (generate, plan):
        with pytest.raises(SettingsError, match=r"(?s)protocols=.*call the function.*GenerateSettings"):
            work(Script("x"), NEWS_ITEMS, SETTINGS, protocols=given)


def fails(*arguments: Any) -> Any:
    raise KeyError("gone")


def by_rule(returned: Any) -> dict[str, Any]:
    return change(GOOD, elements=lambda trail: returned)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (change(replace(GOOD, parser=fails)), "the parser failed: KeyError: 'gone'"),
        (change(replace(GOOD, parser=str.split)), "the parser returned ['one', 'two']"),
        (change(replace(GOOD, filters=(fails,))), "the filter 'fails' failed: KeyError: 'gone'"),
        (change(replace(GOOD, filters=(lambda said: True,))), "the filter '<lambda>' returned True"),
        (change(replace(GOOD, filters=(lambda said: "",))), "the filter '<lambda>' returned ''"),
        (change(GOOD, elements=fails), "`elements` failed: KeyError: 'gone'"),
        (change(GOOD, elements=lambda trail: (fails() for _ in "a")), "`elements` failed: KeyError: 'gone'"),
        (by_rule(None), "`elements` returned None"),
        (by_rule("text"), "`elements` returned 'text'"),
        (by_rule(["text"]), "`elements` returned 'text'"),
        (by_rule([Pair(messages=(), text="x")]), "`elements` returned Pair("),
        (by_rule([Pair(messages=(Message("user", "u"),), text=None)]), "`elements` returned Pair("),  # type: ignore[arg-type]
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_goes_wrong_in_a_protocol_is_named(wrong: dict[str, Any], named: str) -> None:
    settings = GenerateSettings(samples_per_news=1, rounds=1, margin=1)
    with pytest.raises(SettingsError) as caught:
        generate(Script("one two"), NEWS_ITEMS[:1], settings, protocols=[Protocol(**wrong)])
    assert f"the protocol 'p', stage 'ask', sample p/{NEWS_ITEMS[0].id}/0000: {named}" in str(caught.value)


def test_an_empty_text_from_a_parser_is_unparsed() -> None:
    stage = replace(GOOD, parser=lambda text: text.removeprefix("none").strip())
    settings = GenerateSettings(samples_per_news=2, rounds=1, margin=1)
    made = generate(Script("none", "some"), NEWS_ITEMS[:1], settings, protocols=[Protocol(**change(stage))])["p"]
    assert [(e.completion, e.reason) for e in made.elements] == [("none", "unparsed"), ("some", None)]


def test_a_generator_gives_one_result_for_each_input() -> None:
    class Short(Script):
        def generate(self, requests: Sequence[Request], sampling: SamplingParams, *, advance: Any = None) -> Generated:
            made = super().generate(requests, sampling)
            return replace(made, replies=made.replies[1:])

        def loglik(self, pairs: Sequence[Pair]) -> Likelihoods:
            return Likelihoods([], Usage())

    with pytest.raises(SettingsError, match="'script' returned 1 replies to 2 requests"):
        generate(Short("x"), NEWS_ITEMS[:1], replace(SETTINGS, samples_per_news=2, margin=1), protocols=[halves()])
    with pytest.raises(SettingsError, match="'script' returned 0 likelihoods to 1 pairs"):
        loglik(Context(Short("x")), [Pair(messages=(), text="x").to_dict()])


# Executors and plans ----------------------------------------------------------------------------------------------


class Posted:
    """An executor that sends everything through JSON, as another process would get it."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.units: list[Unit] = []

    def map(self, units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
        self.units += units
        sent = [replace(unit, inputs=json.loads(json.dumps(unit.inputs))) for unit in units]
        return (json.loads(json.dumps(result)) for result in self.executor.map(sent))


SETTINGS = GenerateSettings(
    protocols=("naive", "paraphrase", "implication", "self_qa"),
    samples_per_news=3,
    max_new_tokens=24,
    rounds=2,
    rows_at_once=4,
    min_gain=0.0,
)


@pytest.mark.slow
def test_any_executor_gives_the_same_elements(model: LoadedModel) -> None:
    ours = generate(model, NEWS_ITEMS, SETTINGS)
    posted = Posted(LocalExecutor(Context(EngineGenerator(model, rows_at_once=4))))
    theirs = generate(model, NEWS_ITEMS, SETTINGS, executor=posted)
    assert {name: made.elements for name, made in ours.items()} == {n: made.elements for n, made in theirs.items()}
    assert len(posted.units) > 6
    for name, made in ours.items():
        assert made.counts.flop == theirs[name].counts.flop


@pytest.mark.slow
def test_a_plan_lists_what_is_left(model: LoadedModel) -> None:
    memo = DictMemo()
    posted = Posted(LocalExecutor(Context(EngineGenerator(model, rows_at_once=4))))
    only = replace(SETTINGS, protocols=("naive", "self_qa"), rounds=1, checks=("gain",))
    planned = plan(model, NEWS_ITEMS, only, memo=memo)
    exact = [unit for unit in planned if "estimate" not in unit.key]
    assert [unit.key for unit in planned if unit not in exact] == [
        "replay/self_qa.units/0-answer-00000 (estimate)",
        "replay/self_qa.units/0-check_gain-00000 (estimate)",
    ]
    assert all(unit.needs.tokens > 0 and unit.needs.flop > 0 for unit in planned)
    generate(model, NEWS_ITEMS, only, memo=memo, executor=posted)
    asked = [unit for unit in posted.units if "-ask-" in unit.key]
    assert [(unit.key, unit.function, unit.inputs) for unit in exact] == [(u.key, u.function, u.inputs) for u in asked]
    assert plan(model, NEWS_ITEMS, only, memo=memo) == []
    del memo.kept[next(key for key in memo.kept if "-check_gain-" in key)]
    (left,) = plan(model, NEWS_ITEMS, only, memo=memo)
    assert "-check_gain-" in left.key and left.needs.tokens > 0
    unchecked = replace(SETTINGS, checks=("none",))
    assert [unit.needs.tokens > 0 for unit in plan(Script("x"), NEWS_ITEMS, unchecked, protocols=[LIST])] == [True] * 2
