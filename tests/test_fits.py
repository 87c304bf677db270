"""What a model cannot read is refused before any work, by id; with advice that works."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers

from conftest import build_model, build_tokenizer
from sys2ft.cli.main import call
from sys2ft.errors import NewsError
from sys2ft.evaluation import EvaluateSettings, evaluate
from sys2ft.job.fits import require_elements_fit, require_fit, too_long
from sys2ft.models import Reader, load_model, position_limit
from sys2ft.news import News, read_news
from sys2ft.probing import ProbeSettings
from sys2ft.replay import GenerateSettings
from sys2ft.training import AdapterJob, TrainItem, TrainSettings

POSITIONS = 640


def config(kind: str, **settings: Any) -> Any:
    return getattr(transformers, f"{kind}Config")(**settings)


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 1024,
    "low_freq_factor": 1.0, "high_freq_factor": 4.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("found", "limit"),
    [
        (config("GPT2", n_positions=77), 77),
        (config("OPT", max_position_embeddings=77), 77),
        (config("GPTJ", n_positions=77), 77),
        (config("Llama", max_position_embeddings=77), 77),
        (config("Qwen2", max_position_embeddings=1024), 1024),
        (config("Qwen2", max_position_embeddings=1024, rope_scaling=YARN), 4096),
        (config("Llama", max_position_embeddings=4096, rope_scaling={"rope_type": "linear", "factor": 2.0}), 8192),
        (config("Llama", max_position_embeddings=8192, rope_scaling=LLAMA3), 8192),
        (config("Gemma3Text", max_position_embeddings=77, sliding_window=16), 77),  # some layers see all
        (config("Mistral", max_position_embeddings=77, sliding_window=16), None),  # no layer does
        (config("Mistral", max_position_embeddings=77, sliding_window=None), 77),
        (config("Bloom"), None),
        (config("Mpt"), None),
        (config("Falcon", alibi=True), None),
        (config("Mamba"), None),
    ],
    ids=lambda value: getattr(value, "model_type", str(value)),
)
def test_positions_of_a_model(found: Any, limit: int | None) -> None:
    assert position_limit(found) == limit


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with few positions."""
    folder = tmp_path_factory.mktemp("small") / "it's small"
    tokenizer = build_tokenizer()
    build_model("llama", len(tokenizer), max_position_embeddings=POSITIONS).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


SENTENCE = "The news said that the capital of France is Paris, number {}. "
QUESTION = {"question": "What is the capital?", "answer": "Paris", "choices": ["Paris", "the town"]}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": "long", "news": "".join(map(SENTENCE.format, range(60))).strip(), "questions": [QUESTION]},
        {"id": "short", "news": SENTENCE.format(0).strip(), "questions": [QUESTION]},
    ]
    Path("news.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("bare.jsonl").write_text("".join(json.dumps({**row, "questions": []}) + "\n" for row in rows))
    return tmp_path


COMMANDS = {
    "run": "run news.jsonl --protocols naive --scorings cloze",
    "dry run": "run news.jsonl --protocols naive --scorings cloze --dry-run",
    "generate, elements": "generate news.jsonl --protocols naive",
    "generate, prompts": "generate news.jsonl --protocols self_qa",
    "news audit": "news audit news.jsonl --models MODEL",
    "news probe": "news probe bare.jsonl",
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_refuses_before_any_work(
    command: str, here: Path, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(small) if word == "MODEL" else word for word in command.split()]
    if "audit" not in arguments:
        arguments += ["--model", str(small)]
    capsys.readouterr()
    assert call([*arguments, "--out", "out"]) == 2
    said = capsys.readouterr().err
    assert re.search(r"\n    long: [\d,]+ tokens \(", said) and f"{POSITIONS} positions of" in said
    assert "expected: prompt and reply of at most 640 tokens" in said and "use a model with more positions" in said
    assert not list(here.glob("**/*.units")) and not list(here.glob("**/predictions"))


def test_the_advice_to_split_works(here: Path, small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = EvaluateSettings(scorings=("cloze", "direct"))
    reader = Reader.named(str(small))
    with pytest.raises(NewsError) as caught:
        require_fit(reader, read_news("news.jsonl"), evaluate=settings)
    command = re.search(r"split them: sys2ft (.*?);", str(caught.value.fix))
    assert command is not None
    words = shlex.split(command[1].replace("NEWS", "news.jsonl"))
    assert call(words) == 0, capsys.readouterr().err
    parts = read_news("SPLIT.jsonl")
    require_fit(reader, parts, evaluate=settings)
    assert "number 59" in " ".join(part.text for part in parts)


@pytest.mark.parametrize("scoring", ["cloze", "letter", "direct", "reasoned"])
def test_the_limit_is_exact(scoring: Any, here: Path, small: Path) -> None:
    """The longest prompt and its reply are as many tokens as are reported: one position fewer is too few."""
    settings = EvaluateSettings(scorings=(scoring,), headline=scoring)
    news, reader = read_news("news.jsonl")[1:], Reader.named(str(small))
    (need,) = too_long(replace(reader, positions=1), news, evaluate=settings)
    assert too_long(replace(reader, positions=need.tokens), news, evaluate=settings) == []
    assert too_long(replace(reader, positions=need.tokens - 1), news, evaluate=settings) == [need]
    assert need.use == f"question 1, in context, by {scoring}"
    assert too_long(replace(reader, positions=None), news, evaluate=settings) == []


def test_a_prompt_as_long_as_the_table_of_positions_is_read(here: Path, small: Path, tmp_path: Path) -> None:
    """Learned positions: the greatest accepted prompt runs."""
    settings = EvaluateSettings(scorings=("cloze", "direct"))
    news = read_news("news.jsonl")[1:]
    (need,) = too_long(replace(Reader.named(str(small)), positions=1), news, evaluate=settings)
    tokenizer = build_tokenizer()
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": need.tokens, "bos_token_id": None}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=len(tokenizer), eos_token_id=2, **sizes))
    model.save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    loaded = load_model(str(tmp_path / "gpt2"), dtype="float32")
    require_fit(Reader.of(loaded), news, evaluate=settings)
    assert len(evaluate(loaded, news, settings)) == 4


def test_generation_leaves_room_for_what_earlier_stages_said(here: Path, small: Path) -> None:
    news, reader = read_news("news.jsonl")[1:], replace(Reader.named(str(small)), positions=1)

    def tokens(**settings: Any) -> int:
        (need,) = too_long(reader, news, generate=GenerateSettings(**settings))
        return need.tokens

    one = tokens(protocols=("paraphrase",), max_new_tokens=100) - tokens(protocols=("paraphrase",), max_new_tokens=1)
    two = tokens(protocols=("self_qa",), max_new_tokens=100) - tokens(protocols=("self_qa",), max_new_tokens=1)
    assert (one, two) == (99, 198)


def test_elements_that_do_not_fit_are_refused(here: Path, small: Path) -> None:
    reader = Reader.named(str(small))
    items = [
        TrainItem(adapter="a", prompt=[{"role": "user", "content": "What?"}], completion=word * count)
        for word, count in (("Paris ", 2), ("Paris ", 700))
    ]
    jobs = [AdapterJob(name=f"job-{n}", items=(item,), settings=TrainSettings()) for n, item in enumerate(items)]
    require_elements_fit(reader, jobs[:1])
    with pytest.raises(NewsError, match=r"(?s)job-1: [\d,]+ tokens \(a training example\)") as caught:
        require_elements_fit(reader, jobs)
    assert "job-0" not in str(caught.value)


def test_writing_questions_needs_the_text_twice(here: Path, small: Path) -> None:
    news, reader = read_news("bare.jsonl")[1:], replace(Reader.named(str(small)), positions=1)
    (need,) = too_long(reader, news, probe=ProbeSettings())
    assert need.tokens > 2 * len(reader.chat.plain_ids(news[0].text))
    assert too_long(reader, read_news("news.jsonl"), probe=ProbeSettings()) == []  # these have questions


def test_check_with_a_model_counts_tokens_by_id(here: Path, small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["news", "check", "news.jsonl", "--model", str(small)]) == 0
    said = capsys.readouterr().out
    reader, news = Reader.named(str(small)), read_news("news.jsonl")
    for one in news:
        assert re.search(rf"^{one.id} +{len(reader.chat.plain_ids(one.text)):,}\b", said, re.MULTILINE)
    assert f"{POSITIONS} positions" in said.replace("\n", "")
    assert re.search(r"warning: long: .* needs [\d,]+ tokens with the default settings", said)
    assert call(["news", "check", "news.jsonl", "--model", "no such model"]) == 2


def test_too_many_choices_are_refused_by_letter_only(here: Path, small: Path) -> None:
    choices = [f"c{n}" for n in range(703)]
    news = [
        News.model_validate({"id": "n", "text": "x", "questions": [{"text": "q", "answer": "c0", "choices": choices}]})
    ]
    reader = replace(Reader.named(str(small)), positions=None)
    with pytest.raises(NewsError, match="703 choices, of which only 702") as caught:
        require_fit(reader, news, evaluate=EvaluateSettings())
    scorings = str(caught.value.fix).partition("--scorings ")[2].split()
    require_fit(reader, news, evaluate=EvaluateSettings(scorings=tuple(scorings)))  # type: ignore[arg-type]


def test_few_tokens_are_counted_where_all_fit(here: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model with room enough costs no time: nothing is divided into tokens."""
    reader = replace(Reader.named(str(small)), positions=10**6)
    counted: list[str] = []

    def count(_: object, text: str) -> list[int]:
        counted.append(text)
        return [0]

    monkeypatch.setattr(type(reader.chat), "continuation_ids", count)
    require_fit(reader, read_news("news.jsonl"), generate=GenerateSettings(), evaluate=EvaluateSettings())
    assert counted == []
