"""Replay: parsers, filters, templates, protocols, and the count of how every sample ended."""

from __future__ import annotations

import importlib.metadata
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memos import DictMemo
from sys2ft.errors import SettingsError
from sys2ft.generators import engine_generator
from sys2ft.models import LoadedModel, Message, load_model
from sys2ft.news import News
from sys2ft.replay import (
    REASONS,
    GenerateSettings,
    Protocol,
    Replay,
    ReplayElement,
    count_yield,
    generate,
    protocol,
    protocol_names,
)
from sys2ft.replay.filters import content_words, names_nothing_of, normal, refused
from sys2ft.replay.parsers import one_paragraph, one_question, short_answer
from sys2ft.replay.prompts import parse_template, template
from sys2ft.replay.protocols.registry import BUNDLED as REGISTERED
from sys2ft.replay.subject import subject_of

BUNDLED = ("naive", "paraphrase", "implication", "self_qa")
GENERATED = BUNDLED[1:]
SETTINGS = GenerateSettings(
    protocols=("naive", "paraphrase", "implication", "self_qa"), samples_per_news=5, max_new_tokens=32, rounds=3,
    checks=("gain",), min_gain=0.1, min_statement_support=-9.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def replays(model: LoadedModel, news: list[News]) -> dict[str, Replay]:
    return generate(model, news, SETTINGS, seed=1)


# Parsers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "parsed"),
    [
        ("The town is new.", "The town is new."),
        ("  The town\nis new.  ", "The town is new."),
        ("First.\n\nSecond.", "First."),
        ("First.\n  \t\nSecond.", "First."),
        ("News: The town is new.", "The town is new."),
        ("HEADLINE : It is new.", "It is new."),
        ("Answer: it is new", "it is new"),
        ('"It is new."', "It is new."),
        ("“It is new.”", "It is new."),
        ("**It is new.**", "It is new."),
        ("The answer: it is new", "The answer: it is new"),
        ("\n\n", None),
        ("", None),
        ('""', None),
        ("News:", None),
    ],
)
def test_one_paragraph(said: str, parsed: str | None) -> None:
    assert one_paragraph(said) == parsed


@pytest.mark.parametrize(
    ("said", "parsed"),
    [
        ("What is it?", "What is it?"),
        ("What is it? It is new.", "What is it?"),
        ("What is it? Why?", "What is it?"),
        ("What\nis it?", "What is it?"),
        ("Question: What is it?", "What is it?"),
        ("Question 12: What is it?", "What is it?"),
        ("The question: What is it?", "What is it?"),
        ("3. What is it?", "What is it?"),
        ("3) What is it?", "What is it?"),
        ("- What is it?", "What is it?"),
        ('"What is it?"', "What is it?"),
        ("In 1984, was 3.5 the number?", "In 1984, was 3.5 the number?"),
        ("It is new.", None),
        ("", None),
    ],
)
def test_one_question(said: str, parsed: str | None) -> None:
    assert one_question(said) == parsed


@pytest.mark.parametrize(
    ("said", "parsed"),
    [
        ("Paris", "Paris"),
        (" Paris \nbecause it is.", "Paris"),
        ("Answer: Paris", "Paris"),
        ("The answer is: Paris", "Paris"),
        ("'Paris'", "Paris"),
        ("The answer is Paris.", "The answer is Paris."),
        ("-3", "-3"),
        ("\n\nParis", "Paris"),
        ("", None),
        ("Answer:", None),
    ],
)
def test_short_answer(said: str, parsed: str | None) -> None:
    assert short_answer(said) == parsed


# Filters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_refusal"),
    [
        ("I'm sorry, but I cannot help.", True),
        ("I am unable to say.", True),
        ("I can't tell.", True),
        ("I don't know.", True),
        ("As an AI language model, I have no opinion.", True),
        ("as a language model", True),
        ("As an assistant, I help.", True),
        ("The news does not mention it.", True),
        ("the news doesn't say", True),
        ("It is not specified in the news.", True),
        ("Not mentioned in the text", True),
        ("AI is an area of research.", False),
        ("The town cannot grow.", False),
        ("She said that she was sorry.", False),
        ("The news says nothing new.", False),
        ("An assistant was hired.", False),
        ("", False),
    ],
)
def test_refusals(text: str, is_refusal: bool) -> None:
    assert refused(text) is is_refusal


@pytest.mark.parametrize(
    ("text", "news", "off_topic"),
    [
        ("The trelk of 3 and 4 is 13.", "A new operation called the trelk.", False),
        ("TRELK!", "A new operation called the trelk.", False),
        ("Many trelks exist.", "A new operation called the trelk.", False),
        ("What is the news?", "The news says that it is new.", True),  # common words alone
        ("The weather is fine.", "A new operation called the trelk.", True),
        ("In 1984", "It was in 1984.", False),
        ("x", "x times y", True),  # one letter says nothing
        ("", "A trelk", True),
        ("São Tomé", "The coast of São Tomé", False),
        ("a state-of-the-art lab", "state-of-the-art", False),
    ],
)
def test_off_topic(text: str, news: str, off_topic: bool) -> None:
    assert names_nothing_of(text, news) is off_topic


def test_comparison_looks_at_words_only() -> None:
    assert normal("  The TRELK, of 3!\n") == normal("the trelk of (3)") == "the trelk of 3"
    assert normal("the trelk of 4") != normal("the trelk of 3")
    assert content_words("The Trelks of the glass") == {"trelk", "glas"} == content_words("glass trelk")


# Templates --------------------------------------------------------------------------------------------------------

TEMPLATE = """# a comment
## system
Be brief.
## user
News: {news}

{instruction}
## instructions
Say it.
Ask it about {news}.
"""


def test_a_template_is_filled_in_one_pass() -> None:
    made = parse_template(TEMPLATE, "mine.txt")
    odd = "braces {instruction} and {question} and {0} and {} stay"
    first, second, third = (made.messages(n, news=odd) for n in range(3))
    assert first == [Message("system", "Be brief."), Message("user", f"News: {odd}\n\nSay it.")]
    assert second[1].content.endswith("Ask it about {news}.")
    assert third == first, "instructions take turns"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no heading {news}",
        TEMPLATE.replace("## instructions", "## notes"),
        TEMPLATE.replace("News: {news}", "News: none"),
        TEMPLATE.partition("## instructions")[0] + "## instructions\n\n",
        TEMPLATE.replace("## instructions", "## assistant\nYes.\n## instructions"),
    ],
    ids=[
        "empty",
        "no heading",
        "no instructions",
        "no placeholder for the news",
        "empty instructions",
        "assistant last",
    ],
)
def test_a_template_that_cannot_be_used_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"the prompt template mine\.txt cannot be used") as caught:
        parse_template(text, "mine.txt")
    assert "a last user turn with {news}" in str(caught.value)


def test_a_template_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(TEMPLATE)
    assert template(str(tmp_path / "mine.txt")) == parse_template(TEMPLATE, "mine.txt")


@pytest.mark.parametrize("name", ["paraphrase", "implication", "self_qa_question", "self_qa_answer"])
def test_bundled_templates_ask_about_the_news(name: str) -> None:
    made = template(name)
    for index in range(len(made.instructions)):
        turns = made.messages(index, news="NEWS TEXT", ask="THE QUESTION")
        assert [turn.role for turn in turns][::2] == ["user"] * ((len(turns) + 1) // 2)
        assert "NEWS TEXT" in turns[-1].content
        assert made.instructions[index] in turns[-1].content
        assert ("THE QUESTION" in turns[-1].content) == (name == "self_qa_answer")
        assert not any("{" in turn.content for turn in turns)


# Protocols --------------------------------------------------------------------------------------------------------


def test_protocols_are_found_by_name() -> None:
    assert protocol_names()[:4] == list(BUNDLED)
    assert set(protocol_names()) == set(REGISTERED)
    for name in BUNDLED:
        made = protocol(name)
        assert isinstance(made, Protocol)
        assert made.name == name
        assert [stage.name for stage in made.stages] == {"naive": [], "self_qa": ["ask", "answer"]}.get(name, ["ask"])
        assert bool(made.cues) == (name != "self_qa")


def test_an_unknown_protocol_is_refused_before_any_work(
    model: LoadedModel, news: list[News], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_generator, "decode", None)
    with pytest.raises(SettingsError, match="unknown protocol 'paraphrasing'") as caught:
        generate(model, news, GenerateSettings(protocols=("paraphrase", "paraphrasing")))
    assert "naive, paraphrase, implication, self_qa" in str(caught.value)


def test_another_package_can_bring_a_protocol(
    model: LoadedModel, news: list[News], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Entry:
        name = "backwards"

        def load(self) -> Callable[[], Protocol]:
            return lambda: Protocol(name="backwards", version=1, cues=["Say it backwards."])

    plain = importlib.metadata.entry_points
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **how: [*plain(**how), Entry()])
    assert protocol_names() == [*REGISTERED, "backwards"]
    made = generate(model, news[:1], GenerateSettings(protocols=("backwards",), samples_per_news=2))
    assert [e.prompt[0]["content"] for e in made["backwards"].kept] == ["Say it backwards."] * 2


@pytest.mark.parametrize("returned", [None, Protocol(name="other", version=1, cues=["Well?"])], ids=["None", "other"])
def test_an_entry_point_must_return_its_protocol(returned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name = "mine"

        def load(self) -> Callable[[], Any]:
            return lambda: returned

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **how: [Entry()])
    with pytest.raises(SettingsError, match=r"'mine'.*returned"):
        protocol("mine")


# Elements and their counts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUNDLED)
def test_every_sample_is_accounted_for(replays: dict[str, Replay], news: list[News], name: str) -> None:
    made, counts = replays[name], replays[name].counts
    rejected = Counter(e.reason for e in made.elements if e.status == "rejected")
    assert counts.rejected == dict(rejected)
    assert rejected.keys() <= REASONS.keys()
    assert counts.asked == len(made.elements)
    assert counts.asked == counts.parsed + rejected["truncated"] + rejected["unparsed"]
    others = sum(n for reason, n in rejected.items() if reason not in ("truncated", "unparsed"))
    assert counts.parsed == counts.kept + others
    assert counts.wanted == SETTINGS.samples_per_news * len(news)
    kept = Counter(e.news_id for e in made.kept)
    assert sum(kept.values()) == counts.kept
    assert all(kept[item.id] + counts.shortfall.get(item.id, 0) == SETTINGS.samples_per_news for item in news)
    assert all(short > 0 for short in counts.shortfall.values())
    assert all((e.status == "kept") == (e.reason is None) for e in made.elements)
    assert len({e.id for e in made.elements}) == len(made.elements)
    if name in GENERATED:
        assert counts.flop > 0
        assert counts.tokens_generated > counts.asked
        assert counts.kept > 0


def test_samples_end_in_many_ways(replays: dict[str, Replay]) -> None:
    """Otherwise the counts above could be correct for the wrong reasons."""
    reasons = {e.reason for replay in replays.values() for e in replay.elements}
    assert {None, "unparsed", "off_topic", "repeat", "unsupported"} <= reasons
    assert any(replay.counts.shortfall for replay in replays.values())


def test_a_full_yield_is_met_exactly(model: LoadedModel, news: list[News]) -> None:
    patient = replace(
        SETTINGS, samples_per_news=3, rounds=30, temperature=1.5, protocols=GENERATED[:2], checks=("none",)
    )
    for made in generate(model, news, patient).values():
        assert made.counts.shortfall == {}
        assert Counter(e.news_id for e in made.kept) == {item.id: 3 for item in news}


def test_a_model_that_never_ends_is_all_truncated(tiny_model_dir: Path, news: list[News]) -> None:
    babbler = load_model(str(tiny_model_dir), dtype="float32", device="cpu")
    counts = generate(babbler, news, replace(SETTINGS, protocols=("paraphrase",), max_new_tokens=2, rounds=2))[
        "paraphrase"
    ].counts
    assert counts.rejected == {"truncated": counts.asked}
    assert (counts.parsed, counts.kept) == (0, 0)
    assert counts.shortfall == {item.id: 5 for item in news}


def test_the_count_of_made_up_elements() -> None:
    def element(news_id: str, reason: str | None) -> ReplayElement:
        return ReplayElement(
            id="i", news_id=news_id, protocol="p", prompt=(), completion="c", seed=0,
            status="rejected" if reason else "kept", reason=reason,
        )  # fmt: skip

    elements = [element("a", None), element("a", "truncated"), element("b", "unparsed"), element("b", "repeat")]
    counts = count_yield("p", elements, per_news=2, news_ids=["a", "b", "c"], seconds=1.23456)
    assert (counts.asked, counts.parsed, counts.kept, counts.wanted) == (4, 2, 1, 6)
    assert counts.rejected == {"repeat": 1, "truncated": 1, "unparsed": 1}
    assert counts.shortfall == {"a": 1, "b": 2, "c": 2}
    assert counts.seconds == 1.235


def test_kept_elements_pass_their_filters(replays: dict[str, Replay], news: list[News]) -> None:
    text = {item.id: item.text for item in news}
    for name in GENERATED:
        said: dict[str, set[str]] = {}
        for e in replays[name].kept:
            shown = e.prompt[0]["content"]
            about = shown if name == "self_qa" else e.completion
            assert not names_nothing_of(about, text[e.news_id])
            assert not refused(e.completion)
            key = normal(f"{shown if name == 'self_qa' else ''} {e.completion}")
            assert key not in said.setdefault(e.news_id, set()), "nothing is kept twice"
            said[e.news_id].add(key)
            if name == "self_qa":
                assert shown.endswith("?")
                assert e.provenance["truth"]["gain"] > SETTINGS.min_gain
            assert e.completion == e.completion.strip() != ""
            assert "\n" not in e.completion


def test_training_never_shows_the_news(replays: dict[str, Replay], news: list[News]) -> None:
    """Contextual shadowing: with the news text in the prompt, its completion would not be learnt."""
    for name, replay in replays.items():
        assert replay.kept
        for e in replay.kept:
            source = next(item for item in news if item.id == e.news_id)
            assert [turn["role"] for turn in e.prompt] == ["user"]
            shown = e.prompt[0]["content"]
            assert source.text not in shown
            assert "News:" not in shown
            if name != "self_qa":
                trail = protocol(name).trail(source, 0, {})
                assert shown in {trail.cue_for(place) for place in range(len(trail.cues))}
                assert subject_of(source) in shown or shown in trail.cues
            if name == "naive":
                assert e.completion == source.text


def test_the_model_is_asked_with_the_news_in_context(
    model: LoadedModel, news: list[News], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts: list[str] = []
    plain = engine_generator.decode

    def listen(network: Any, requests: Sequence[Any], *rest: Any, **how: Any) -> Any:
        prompts.extend(model.tokenizer.decode(r.prompt_ids) for r in requests)
        return plain(network, requests, *rest, **how)

    monkeypatch.setattr(engine_generator, "decode", listen)
    made = generate(model, news[:1], replace(SETTINGS, protocols=("paraphrase", "self_qa"), rounds=1))
    assert "{braces} stay" in news[0].text
    assert all(f"News: {news[0].text}" in prompt for prompt in prompts)
    answered = [e for e in made["self_qa"].elements if "?" in e.prompt[0]["content"]]
    assert any(f"Question: {e.prompt[0]['content']}" in prompt for e in answered for prompt in prompts)
    # The prompt is recorded with a placeholder for the news.
    assert all(e.provenance["asked"].count("{news}") == 1 for e in made["paraphrase"].elements)


def test_elements_know_where_they_come_from(replays: dict[str, Replay], model: LoadedModel) -> None:
    for e in replays["self_qa"].elements:
        assert e.provenance["model"] == model.fingerprint
        assert e.provenance["temperature"] == SETTINGS.temperature
        again = ReplayElement.from_dict(json.loads(json.dumps(e.to_dict())))
        assert again == e
    seeds = [e.seed for replay in replays.values() for e in replay.elements]
    assert len(set(seeds)) == len(seeds)


def stream(made: Replay, news_id: str) -> list[tuple[Any, ...]]:
    own = [e for e in made.elements if e.news_id == news_id]
    return [(e.id, e.seed, e.prompt, e.completion, e.reason) for e in own]


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATED)
def test_elements_do_not_depend_on_the_other_news_items(
    model: LoadedModel, news: list[News], replays: dict[str, Replay], name: str
) -> None:
    """Fewer news, another order, smaller batches: each sample depends on its own seed alone."""
    only = replace(SETTINGS, protocols=(name,))
    for company, how in ((news[1:], only), (news[::-1], only), (news, replace(only, rows_at_once=3))):
        other = generate(model, company, how, seed=1)[name]
        for item in company:
            ours, theirs = stream(replays[name], item.id), stream(other, item.id)
            common = min(len(ours), len(theirs))  # how many are asked at a time depends on the others' yield
            assert common >= SETTINGS.samples_per_news
            assert ours[:common] == theirs[:common]
    different = generate(model, news, only, seed=2)[name]
    assert stream(different, news[0].id) != stream(replays[name], news[0].id)


def test_the_same_seed_gives_the_same_elements(
    model: LoadedModel, news: list[News], replays: dict[str, Replay]
) -> None:
    again = generate(model, news, SETTINGS, seed=1)
    assert {n: r.elements for n, r in again.items()} == {n: r.elements for n, r in replays.items()}


def test_finished_units_are_not_computed_again(
    model: LoadedModel, news: list[News], replays: dict[str, Replay], monkeypatch: pytest.MonkeyPatch
) -> None:
    memo = DictMemo()
    first = generate(model, news, SETTINGS, seed=1, memo=memo)
    monkeypatch.setattr(engine_generator, "decode", None)
    monkeypatch.setattr(engine_generator, "score", None)
    second = generate(model, news, SETTINGS, seed=1, memo=memo)
    for name in BUNDLED:
        assert first[name].elements == second[name].elements == replays[name].elements
        assert first[name].counts == second[name].counts, "seconds and tokens are those of the first time"


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples_per_news": 0}, {"rounds": 0}, {"margin": 0.5}, {"max_new_tokens": 0}, {"temperature": -0.1},
        {"top_p": 0.0}, {"top_k": -1}, {"answer_temperature": -1.0}, {"protocols": ()},
        {"protocols": ("naive", "naive")},
    ],
    ids=str,
)  # fmt: skip
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="fix:"):
        GenerateSettings(**wrong)


def test_batches_hold_something() -> None:
    with pytest.raises(SettingsError, match="rows_at_once=0"):
        GenerateSettings(rows_at_once=0)
