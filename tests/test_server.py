"""Elements written by a server: a real one in a process of its own, and small ones that misbehave."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import sys2ft
from displays import Notes
from servers import Body, Small, completion, is_probe, obedient, serving
from sys2ft.cli.main import call
from sys2ft.errors import ModelError, SettingsError
from sys2ft.generators import Address, Pair, Request, SamplingParams, ServerGenerator, ServerSettings, open_generator
from sys2ft.generators.server_client import asked_wait
from sys2ft.job import open_writer
from sys2ft.models import EMBEDDED, Message, resolve
from sys2ft.runs import read_json, read_jsonl
from talking import NEWS, write_news_file

pytest.importorskip("openai", reason="the extra `openai` is not installed")

KEY = "sk-7f3a-very-secret"
QUICK = ServerSettings(requests_at_once=4, attempts=2, request_seconds=5)
SAMPLING = SamplingParams(temperature=1.0, top_p=0.95, top_k=50, max_new_tokens=12)
WRITING = [
    *("paraphrase", "--samples-per-news", "1", "--rounds", "1", "--margin", "1", "--max-new-tokens", "12"),
    *("--checks", "gain", "--dtype", "float32", "--device", "cpu"),
]
PARAPHRASE = sys2ft.GenerateSettings(protocols=("paraphrase",), samples_per_news=3, rounds=1, margin=1.0)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYS2FT_GENERATOR_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def small() -> Iterator[Small]:
    with serving() as running:
        yield running


def writer(small: Small, settings: ServerSettings = QUICK, **how: Any) -> ServerGenerator:
    return ServerGenerator(Address("writer", small.url), settings, **how)


def requests(count: int, **changes: Any) -> list[Request]:
    return [Request(messages=(Message("user", f"Say it: {n}"),), seed=2**40 * n + n, **changes) for n in range(count)]


def holds_key(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and KEY.encode() in file.read_bytes()]


# A real server ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def llama_server() -> Iterator[str]:
    """The address of llama.cpp's server with the embedded model, in a process of its own."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    file = resolve(next(iter(EMBEDDED))).path
    command = [sys.executable, str(Path(__file__).with_name("llama_server.py")), str(file), KEY]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin and process.stdout
    try:
        lines = iter(process.stdout.readline, "")
        yield next(line.strip() for line in lines if line.startswith("http"))
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def test_a_real_server_writes_what_another_model_learns(
    llama_server: str, tmp_path: Path, talking_model_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    news_file, out = write_news_file(tmp_path / "one.jsonl", NEWS[:1]), tmp_path / "run"
    command = ["generate", str(news_file), "--model", str(talking_model_dir), "--out", str(out), "--protocols"]
    command += [*WRITING, "--generator", f"openai:smollm2@{llama_server}"]
    command += ["--price-read", "1", "--price-written", "2"]
    assert call(command) == 0
    printed = capfd.readouterr()
    record, counts = read_json(out / "run.json"), read_json(out / "replay" / "paraphrase.yield.json")
    about = record["generator"]
    # Who writes and who learns differ, and the run says so; what the writer cannot judge, the learner does.
    assert record["identity"]["generator"] == about["identity"] == counts["generator"]
    assert counts["generator"].startswith(f"openai:smollm2@{llama_server}/v1 ")
    assert counts["judge"] == record["model"]["sha256"] and counts["checks"] == ["gain"]
    assert "writes the elements" in printed.err and "the model to train judges" in printed.err
    elements = read_jsonl(out / "replay" / "paraphrase.jsonl")
    assert {element["provenance"]["model"] for element in elements} == {about["identity"]}
    # llama.cpp takes seed, top_k and min_p, says what it is, and counts tokens.
    assert {about["takes"][name] for name in ("seed", "top_k", "min_p", "usage")} == {"taken"}
    assert about["said"]["n_params"] == 134515008
    replies = [read_json(file) for file in (out / "replay" / "server-replies").glob("*.json")]
    replies = [reply for reply in replies if "text" in reply]
    assert about["replies"] == len(replies) == counts["asked"] == 1
    assert about["tokens_written"] == sum(reply["tokens_written"] for reply in replies) == counts["tokens_generated"]
    assert about["cost"] == pytest.approx((about["tokens_read"] + 2 * about["tokens_written"]) / 1e6)
    # The key is written nowhere, and printed nowhere.
    assert not holds_key(tmp_path) and KEY not in printed.out + printed.err
    # The same command asks for nothing, and changes nothing.
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    assert call(command) == 0
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before
    # Another writer in the same folder is refused.
    assert call([*command[:-6], *command[-4:]]) == 2
    assert "generator" in capfd.readouterr().err


def test_a_real_server_keeps_the_promises_of_a_generator(llama_server: str) -> None:
    alone = ServerSettings(requests_at_once=1)  # replies computed together are equal up to rounding only
    made = ServerGenerator(Address("smollm2", f"{llama_server}/v1"), alone)
    (one,) = requests(1)
    two = replace(one, seed=one.seed + 5)
    first, again = made.generate([one, two], SAMPLING).replies, made.generate([two, one], SAMPLING).replies
    assert first == again[::-1]
    assert first[0].text != first[1].text
    short = replace(SAMPLING, max_new_tokens=1)
    assert [reply.finished for reply in made.generate([one], short).replies] == [False]
    stop = first[0].text.split()[1]
    (stopped,) = made.generate([one], replace(SAMPLING, stops=(stop,))).replies
    assert stopped.finished and stopped.text.endswith(stop) and first[0].text.startswith(stopped.text)
    assert made.loglik([]) is None


# Replies are kept -------------------------------------------------------------------------------------------------


def test_a_stopped_call_asks_for_what_is_missing_only(small: Small, tmp_path: Path) -> None:
    def failing(body: Body) -> Any:
        broken = not is_probe(body) and body["messages"][-1]["content"] == "Say it: 6"
        return (400, {}, '{"error": {"message": "too long"}}') if broken else obedient(body)

    small.answer = failing
    one_by_one = replace(QUICK, requests_at_once=1)
    with pytest.raises(ModelError, match=r"refuses a request \(400: too long\)"):
        writer(small, one_by_one, replies=tmp_path / "r").generate(requests(9), SAMPLING)
    kept = {file: file.read_bytes() for file in (tmp_path / "r").iterdir()}
    assert len(kept) >= 1 + 6 and not list(tmp_path.rglob("*.tmp"))
    small.answer, small.asked = obedient, []
    found = writer(small, replies=tmp_path / "r").generate(requests(9), SAMPLING)
    assert len(small.asked) == 9 - (len(kept) - 1)
    assert all(file.read_bytes() == data for file, data in kept.items())
    assert found.usage.tokens_generated == 90 and found.usage.tokens_computed == 360


def test_with_all_replies_no_server_is_needed(tmp_path: Path) -> None:
    with serving() as small:
        first = writer(small, replies=tmp_path / "r").generate(requests(4), SAMPLING)
    later = writer(small, replies=tmp_path / "r")
    assert later.generate(requests(4), SAMPLING) == first
    with pytest.raises(ModelError, match="no reply in 2 attempts"):
        later.generate(requests(5), SAMPLING)


def test_a_server_that_has_become_another_is_refused(small: Small, tmp_path: Path) -> None:
    writer(small, replies=tmp_path / "r").generate(requests(2), SAMPLING)
    small.models = {"data": [{"id": "writer", "owned_by": "test", "root": "other", "created": 2}]}
    with pytest.raises(ModelError, match="now says"):
        writer(small, replies=tmp_path / "r").generate(requests(3), SAMPLING)
    small.models = {"data": [{"id": "writer", "owned_by": "test", "created": 3}]}
    small.answer = lambda body: {**obedient(body), "model": "writer-2027"}
    with pytest.raises(ModelError, match="now answers as 'writer-2027'"):
        writer(small, replies=tmp_path / "r").generate(requests(3), SAMPLING)


def test_a_damaged_reply_is_named(small: Small, tmp_path: Path) -> None:
    writer(small, replies=tmp_path / "r").generate(requests(1), SAMPLING)
    file = next(file for file in (tmp_path / "r").iterdir() if file.name != "server.json")
    for text in ("{", "[]", '{"text": "x"}'):
        file.write_text(text)
        with pytest.raises(SettingsError, match=re.escape(f"{file} is damaged")):
            writer(small, replies=tmp_path / "r").generate(requests(1), SAMPLING)


def test_equal_requests_are_made_once(small: Small) -> None:
    (one,) = requests(1)
    counted: list[int] = []
    found = writer(small).generate([one, one, one], SAMPLING, advance=lambda units=1: counted.append(units))
    assert len(small.asked) == 1 and sum(counted) == 3
    assert len(set(found.replies)) == 1


# Requests ---------------------------------------------------------------------------------------------------------


def test_requests_are_concurrent_within_the_bound(small: Small) -> None:
    def slow(body: Body) -> Body:
        time.sleep(0.0 if is_probe(body) else 0.05)
        return obedient(body)

    small.answer = slow
    writer(small, replace(QUICK, requests_at_once=3)).generate(requests(12), SAMPLING)
    assert small.most_at_once == 3
    assert len(small.asked) == 12


def test_a_server_that_is_asked_too_often_is_left_alone_as_long_as_it_says(small: Small) -> None:
    refused: list[float] = []

    def busy(body: Body) -> Any:
        if is_probe(body) or refused:
            return obedient(body)
        refused.append(time.monotonic())
        return 429, {"Retry-After": "1"}, '{"error": {"message": "slow down"}}'

    small.answer = busy
    notes = Notes()
    made = writer(small, replace(QUICK, requests_at_once=1), show=notes)
    made.generate(requests(3), SAMPLING)
    assert len(small.asked) == 4
    assert all(began - refused[0] >= 1 for began in small.began if began > refused[0])


def test_the_rate_is_kept(small: Small) -> None:
    made = writer(small)
    made.settings = made._client.settings = replace(QUICK, requests_per_minute=600)
    made.generate(requests(4), SAMPLING)
    assert min(b - a for a, b in zip(small.began, small.began[1:], strict=False)) > 0.07


def test_errors_of_the_server_are_passing(small: Small) -> None:
    answers = iter([(503, {}, "loading"), (500, {}, "oops")])

    def shaky(body: Body) -> Any:
        return obedient(body) if is_probe(body) else next(answers, None) or obedient(body)

    small.answer = shaky
    made = writer(small, replace(QUICK, requests_at_once=1, attempts=3))
    assert made.generate(requests(2), SAMPLING).replies
    small.answer = lambda body: (500, {}, "oops")
    with pytest.raises(ModelError, match=r"no reply in 2 attempts \(500: oops\)"):
        writer(small)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
    ],
)
def test_the_wait_that_a_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait(headers) == seconds


def test_a_call_that_is_interrupted_ends_at_once_and_keeps_what_is_there(small: Small, tmp_path: Path) -> None:
    release = threading.Event()

    def stuck(body: Body) -> Body:
        if body["messages"][-1]["content"] == "Say it: 3":
            release.wait(20)
        return obedient(body)

    class Enough(Exception):
        pass

    def enough(units: int = 1) -> None:
        done.append(units)
        if sum(done) == 3:
            raise Enough

    small.answer, done = stuck, []
    begun = time.monotonic()
    with pytest.raises(Enough):
        writer(small, replies=tmp_path / "r").generate(requests(4), SAMPLING, advance=enough)
    assert time.monotonic() - begun < 10
    release.set()
    assert len(list((tmp_path / "r").glob("*.json"))) == 1 + 3


# What cannot be used ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bad:
    named: str
    answer: Any = obedient
    models: Any = None


HTML = (200, {"Content-Type": "text/html"}, "<html><body>It works!</body></html>")
DENIED = (401, {}, '{"error": {"message": "Incorrect API key provided: ' + KEY + '"}}')
BAD = {
    "wrong key": Bad(r"does not take the key \(401: Incorrect API key provided: \[key\]\)", lambda body: DENIED),
    "html": Bad("something else than a chat completion: <html>", lambda body: HTML),
    "half": Bad("something else than a chat completion", lambda body: (200, {}, '{"choices": [')),
    "other json": Bad("something else than a chat completion", lambda body: {"choices": []}),
    "a list": Bad("something else than a chat completion", lambda body: (200, {}, "[1]")),
    "parts": Bad("something else than a chat completion", lambda body: completion([{"type": "text"}])),  # type: ignore[arg-type]
    "no such model": Bad(r"\(404: no model\)", lambda body: (404, {}, '{"error": {"message": "no model"}}')),
    "other models": Bad("no model of that name", models={"data": [{"id": "a"}, {"id": "b"}]}),
    "no money": Bad(
        "insufficient", lambda b: (429, {}, '{"error": {"message": "insufficient", "code": "insufficient_quota"}}')
    ),
    "a long wait": Bad("asks for a wait of 3,600 s", lambda body: (429, {"Retry-After": "3600"}, "{}")),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=list(BAD))
def test_a_server_that_cannot_be_used_is_one_clear_error(bad: Bad, small: Small, tmp_path: Path) -> None:
    small.answer = bad.answer
    small.models = bad.models or small.models
    with pytest.raises(ModelError, match=bad.named) as caught:
        writer(small, replies=tmp_path / "r")
    assert KEY not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_answer_that_never_comes_is_given_up(small: Small) -> None:
    release = threading.Event()

    def never(body: Body) -> Body:
        release.wait(20)
        return obedient(body)

    small.answer = never
    with pytest.raises(ModelError, match=r"no reply in 2 attempts \(no reply within 0.3 s\)"):
        writer(small, replace(QUICK, request_seconds=0.3))
    release.set()


def test_a_server_that_is_away_leaves_nothing_behind(
    tmp_path: Path, news_file: Path, talking_model_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving() as gone:
        pass
    out = tmp_path / "run"
    command = ["run", str(news_file), "--model", str(talking_model_dir), "--out", str(out)]
    assert call([*command, "--device", "cpu", "--generator", f"openai:writer@{gone.url}"]) == 2
    shown = capfd.readouterr().err
    assert "no connection" in shown and "fix:" in shown and "Traceback" not in shown
    assert not out.exists()


@pytest.mark.parametrize(
    "name",
    [
        *("openai:writer", "openai:@http://x/v1", "openai:writer@localhost:80", "openai:writer@ftp://me:hidden@x"),
        *("openai:w@http://me:hidden@x/v1", "openai:w@http://x/v1?key=hidden", "openai:w@http://x:port/v1"),
        *("openai:w@http:///v1", "other:thing"),
    ],
)
def test_names_that_cannot_be_opened(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        open_generator(name)
    assert "hidden" not in str(caught.value)


def test_an_address() -> None:
    assert Address.parse("org/m:7b@http://127.0.0.1:8080/").url == "http://127.0.0.1:8080/v1"
    assert Address.parse("m@https://x.org/openai/v1/").name == "openai:m@https://x.org/openai/v1"
    assert [Address("m", url).is_open for url in ("http://10.0.0.1/v1", "http://[::1]/v1", "https://x/v1")] == [
        *(True, False, False)
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"requests_at_once": 0}, {"attempts": 0}, {"request_seconds": 0.0}, {"price_read": -1.0}),
        *({"request_seconds": float("nan")}, {"requests_per_minute": float("inf")}),
    ],
)
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        ServerSettings(**wrong)


def test_a_key_that_cannot_be_sent(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYS2FT_GENERATOR_KEY", "sk-line\nfeed")
    with pytest.raises(SettingsError, match="SYS2FT_GENERATOR_KEY") as caught:
        writer(small)
    assert "sk-line" not in str(caught.value)
    monkeypatch.setenv("SYS2FT_GENERATOR_KEY", "")  # an empty one counts: no key is sent to this server
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    writer(small)
    monkeypatch.delenv("SYS2FT_GENERATOR_KEY")
    assert not any(KEY in sent for sent in small.keys)
    writer(small)
    assert f"Bearer {KEY}" in small.keys


def test_a_key_that_the_server_repeats_is_kept_nowhere(small: Small, tmp_path: Path) -> None:
    small.answer = lambda body: completion(f"Your key is {KEY}.", reasoning_content=KEY)
    made = writer(small, replies=tmp_path / "r").generate(requests(2), SAMPLING)
    assert [reply.text for reply in made.replies] == ["Your key is [key]."] * 2
    assert not holds_key(tmp_path)


def test_vllm_that_is_not_installed() -> None:
    with pytest.raises(SettingsError, match=r"pip install 'sys2ft\[vllm\]'"):
        open_generator("vllm:some/model")


# What a server takes ----------------------------------------------------------------------------------------------


def test_what_a_server_ignores_is_told_and_not_sent(small: Small) -> None:
    number = iter(range(1000))

    def careless(body: Body) -> Body:
        made = completion(f"{next(number)} cats.")
        del made["usage"]
        return made

    small.answer, notes = careless, Notes()
    made = writer(small, show=notes)
    assert {name for name, state in made.record["takes"].items() if state == "ignored"} == {
        *("seed", "top_k", "min_p", "n", "logprobs", "usage")
    }
    (line,) = [line for line in notes.lines if "ignores" in line]
    assert all(word in line for word in ("seed", "top_k", "n (", "logprobs", "token counts"))
    made.generate(requests(1), SAMPLING)
    assert "top_k" not in small.asked[0] and small.asked[0]["seed"] >= 0


def test_fields_that_a_server_refuses_are_left_out(small: Small) -> None:
    def strict(body: Body) -> Any:
        unknown = body.keys() - {"model", "messages", "temperature", "top_p", "max_completion_tokens"}
        message = f"Unsupported parameter: {sorted(unknown)}. Use 'max_completion_tokens' instead."
        return (400, {}, json.dumps({"error": {"message": message}})) if unknown else obedient(body)

    small.answer, notes = strict, Notes()
    made = writer(small, show=notes)
    assert any("refuses" in line and "seed" in line for line in notes.lines)
    made.generate(requests(1), SAMPLING)
    assert small.asked[0].keys() == {"model", "messages", "temperature", "top_p", "max_completion_tokens"}


def test_an_obedient_server_gets_everything(small: Small) -> None:
    notes = Notes()
    made = writer(small, show=notes)
    assert set(made.record["takes"].values()) == {"taken"}
    assert [line for line in notes.lines if "ignores" in line or "refuses" in line] == []
    made.generate(requests(2), SAMPLING)
    assert [(body["top_k"], body["min_p"], body["max_tokens"]) for body in small.asked] == [(50, 0.0, 12)] * 2
    assert all(0 <= body["seed"] < 2**31 for body in small.asked)
    assert len({body["seed"] for body in small.asked}) == 2


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "in marks"])
def test_a_thought_is_cut_and_where_it_can_be_prevented(apart: bool, small: Small) -> None:
    def thinker(body: Body) -> Body:
        if body.get("chat_template_kwargs") == {"enable_thinking": False}:
            return completion("Bees fly.\nThey do.")
        if apart:
            return completion("\n\nBees fly.\nThey do.", reasoning_content="Hm.\nBees?")
        return completion("<think>\nHm.\nBees?\n</think>\n\nBees fly.\nThey do.")

    small.answer = thinker
    made = writer(small)
    asked = [*requests(1), *requests(1, thinking=True)]
    found = made.generate(asked, replace(SAMPLING, stops=("\n",))).replies
    assert [reply.text.strip() for reply in found] == ["Bees fly."] * 2
    assert [reply.finished for reply in found] == [True, True]
    assert [("chat_template_kwargs" in body) for body in sorted(small.asked, key=len)] == [False, True]


@pytest.mark.parametrize(
    ("said", "ended", "text", "finished"),
    [
        ("\n\nWhat is it? Yes.\nMore", "length", "\n\nWhat is it?", True),
        ("It is\nthe ferry?", "length", "It is\n", True),
        ("It is", "length", "It is", False),
        ("It is", "stop", "It is", True),
        ("It is", "content_filter", "It is", False),
        (None, "stop", "", True),
    ],
)
def test_stops_as_a_generator_promises(said: str | None, ended: str, text: str, finished: bool, small: Small) -> None:
    small.answer = lambda body: completion(said, ended)
    (reply,) = writer(small).generate(requests(1), replace(SAMPLING, stops=("?", "\n"))).replies
    assert (reply.text, reply.finished) == (text, finished)
    assert "stop" not in small.asked[0]


def test_an_adapter_is_not_on_the_server(small: Small) -> None:
    with pytest.raises(SettingsError, match="adapter"):
        writer(small).generate(requests(1, slot=0), SAMPLING)


# In a run ---------------------------------------------------------------------------------------------------------


def test_support_is_judged_by_the_model_that_learns(small: Small, model: sys2ft.LoadedModel, news: Any) -> None:
    notes = Notes()
    restated = {"Paris": "Paris is now the capital.", "67 people": "67 people were had by a system of France."}

    def restating(body: Body) -> Body:
        asked = body["messages"][-1]["content"]
        return completion(next((said for word, said in restated.items() if word in asked), "The system was of France."))

    small.answer = restating
    settings = replace(PARAPHRASE, checks=("gain",), min_statement_support=-99.0)
    found = sys2ft.generate(writer(small), news, settings, learner=model, show=notes)["paraphrase"]
    assert found.counts.judge == model.fingerprint and found.counts.checks == ["gain"]
    assert found.kept and all("support" in one.provenance["truth"] for one in found.kept)
    prompt = (Message("user", "x"),)
    assert any("the model to train judges" in line for line in notes.lines)
    # Without it nothing can be judged, which is said; implied facts are refused by name.
    alone = sys2ft.generate(writer(small), news, settings, show=notes)["paraphrase"]
    assert alone.counts.checks == [] and alone.counts.judge == ""
    assert any("no checks by gain" in line for line in notes.lines)
    assert writer(small).loglik([Pair(messages=prompt, text="y")]) is None
    with pytest.raises(SettingsError, match="implied facts"):
        sys2ft.generate(writer(small), news, replace(settings, implied_facts=1))


def test_another_local_model_writes(
    tiny_model_dir: Path, model: sys2ft.LoadedModel, news_file: Path, tmp_path: Path
) -> None:
    how: dict[str, Any] = {
        "generate": replace(PARAPHRASE, checks=("none",), max_new_tokens=8),
        "train": sys2ft.TrainSettings(epochs=1, rank=4),
        "evaluate": sys2ft.EvaluateSettings(scorings=("cloze",), controls=("none",)),
    }
    result = sys2ft.run(news_file, model=model, generator=str(tiny_model_dir), out=tmp_path / "run", **how)
    record = read_json(tmp_path / "run" / "run.json")
    other = resolve(str(tiny_model_dir)).fingerprint()
    assert record["identity"]["generator"] == record["generator"]["sha256"] == other != model.fingerprint
    assert f"written by {tiny_model_dir}, not by the model that was trained" in " ".join(result.summary.remarks)
    assert other in result.report.read_text(encoding="utf-8")
    # The model itself as generator is no other one.
    assert open_writer(model.source.name, model, how["generate"], out=tmp_path) is None


def test_a_budget_in_flop_is_refused(news_file: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["run", str(news_file), "--out", str(tmp_path / "run"), "--flop", "1e12"]
    assert call([*command, "--generator", "openai:w@http://127.0.0.1:9"]) == 2
    assert "FLOP are not known" in capfd.readouterr().err


def test_a_plan_of_what_a_server_writes(
    small: Small, news_file: Path, talking_model_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["run", str(news_file), "--model", str(talking_model_dir), "--out", str(tmp_path / "run"), "--dry-run"]
    command += ["--protocols", "paraphrase", "--samples-per-news", "2", "--device", "cpu", "--dtype", "float32"]
    assert call([*command, "--generator", f"openai:writer@{small.url}"]) == 0
    assert "+ server" in capfd.readouterr().out
    assert small.asked == [] and not (tmp_path / "run").exists()
