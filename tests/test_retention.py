"""Retention: sets and their samples, answers and their judgement, and adapters refused for what they cost."""

from __future__ import annotations

import ast
import json
import math
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

import sys2ft
from memos import DictMemo, Killed
from sys2ft.cli.main import call
from sys2ft.engine import AdapterBank
from sys2ft.errors import SettingsError
from sys2ft.evaluation import Answerer, Prediction, Route, evaluate, unit_needs as needs_of_questions
from sys2ft.evaluation.probes import Subject
from sys2ft.generators import Generated, Reply, Request, SamplingParams, Usage
from sys2ft.job import plan
from sys2ft.news import load_news
from sys2ft.report import headline, markdown_table, terminal_table
from sys2ft.report.drops import decide
from sys2ft.retention import RetentionProbe, measuring, read_set, read_sets, retained, unit_needs
from sys2ft.retention.measuring import Asked
from sys2ft.runs import read_json, read_jsonl
from sys2ft.terminal import Console
from talking import NAMES, NEWS, write_news_file

if TYPE_CHECKING:
    from sys2ft.models import LoadedModel

PROBLEMS = [
    {"question": f"What is {n} and {n}?", "answer": f"Take {n} twice.\n#### {2 * n:,}"} for n in range(500, 520)
]


def lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# Sets -----------------------------------------------------------------------------------------------------------------


def test_a_sample_depends_on_the_seed_and_not_on_the_order_of_the_file(tmp_path: Path) -> None:
    forward, backward = lines(tmp_path / "a", PROBLEMS), lines(tmp_path / "b", [*PROBLEMS[::-1], PROBLEMS[3]])
    one, other = (read_set(f"gsm8k={file}:8", seed=3) for file in (forward, backward))
    assert one == other and len(one.items) == 8 and one.found == 20, "a repeated line is one item"
    more = read_set(f"gsm8k={forward}:12", seed=3)
    assert more.items[:8] == one.items, "a larger sample has all of a smaller one"
    assert read_set(f"gsm8k={forward}:8", seed=4).items != one.items
    renamed = read_set(f"sums={forward}:8", seed=3)
    assert [item.text for item in renamed.items] == [item.text for item in one.items]
    assert len(read_set(f"gsm8k={forward}", seed=0).items) == 20, "all of them without a count"
    assert one.form == "numbers" and {item.expected for item in more.items} <= {f"{2 * n:,}" for n in range(500, 520)}


def test_text_is_bundled_or_in_a_file_of_text_or_of_records(tmp_path: Path) -> None:
    bundled = read_set("prose", seed=0)
    assert bundled.form == "text" and len(bundled.items) == bundled.found >= 20
    assert all(40 < len(item.text.split()) < 90 for item in bundled.items)
    (tmp_path / "plain.txt").write_text("One line,\nand its second.\r\n\r\n \nAnother paragraph.\n", encoding="utf-8")
    records = lines(tmp_path / "records", [{"text": "Another paragraph."}, {"text": "One line,\nand its second."}])
    plain = read_set(f"t={tmp_path / 'plain.txt'}", seed=1)
    assert plain.items == read_set(f"t={records}", seed=1).items and plain.found == 2


@pytest.mark.parametrize(
    ("rows", "line", "said"),
    [
        ([PROBLEMS[0], {"question": "Why?", "answer": "Because."}], 2, "without a number at its end"),
        ([PROBLEMS[0], {"text": "A text."}], 2, "of the form text after items of the form numbers"),
        ([{"question": "How many?"}], 1, "an object with question"),
        ([PROBLEMS[0], PROBLEMS[1], "three"], 3, "no object"),
        ([{"text": " "}], 1, "an object with text"),
        ([{"question": 5, "answer": "#### 5"}], 1, "is no text"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, rows: list[Any], line: int, said: str) -> None:
    first, *rest = rows
    file = lines(tmp_path / "set", [first, *rest])
    if not isinstance(first, dict):
        pytest.fail("the first line decides the format")
    with pytest.raises(SettingsError, match=rf"line {line}: .*{said}"):
        read_set(f"set={file}", seed=0)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b'{"text": "one"}\n{"text": "\xff"}\n')
    (tmp_path / "json").write_text('{"text": "one"}\n{"text": \n', encoding="utf-8")
    (tmp_path / "empty").write_text(" \n", encoding="utf-8")
    for name, said in (
        ("bytes", "line 2: a byte that is not UTF-8"),
        ("json", "line 2: no JSON"),
        ("empty", "no item"),
    ):
        with pytest.raises(SettingsError, match=said):
            read_set(f"t={tmp_path / name}", seed=0)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_set(f"t={tmp_path / 'absent'}", seed=0)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("gsm8k", "not part of the package"),
        ("=file", "expected"),
        ("a=", "expected"),
        ("neighbours=file", "no name of a control"),
        ("a/b=file", "a name has"),
        ("prose=FILE:0", "a count from 1 to 20"),
        ("gsm8k=FILE:21", "which has 20 different ones"),
    ],
)
def test_a_wrong_spelling_is_refused(tmp_path: Path, spec: str, said: str) -> None:
    file = lines(tmp_path / "set", PROBLEMS)
    with pytest.raises(SettingsError, match=said):
        read_set(spec.replace("FILE", str(file)), seed=0)


def test_two_sets_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match="a different name"):
        read_sets(["prose", "prose"], seed=0)


# Answers --------------------------------------------------------------------------------------------------------------


def test_the_loss_is_that_of_transformers(model: LoadedModel) -> None:
    rows = retained(model, ["prose"])
    assert len(rows) == len(read_set("prose", seed=0).items)
    for row in rows[:4]:
        ids = torch.tensor([model.chat.plain_ids(row.asked)[:512]])
        with torch.no_grad():
            expected = float(model.model(input_ids=ids, labels=ids).loss)
        assert math.isclose(row.detail["nats_per_token"], expected, rel_tol=1e-4)
        assert row.detail["tokens"] == ids.shape[1] - 1
        assert (row.correct, row.scoring, row.domain, row.adapter) == (None, "loss", "prose", None)


def test_items_go_to_the_adapters_in_turn_and_stay_paired(model: LoadedModel) -> None:
    bank = AdapterBank(model.model, 2, rank=2, alpha=4)
    try:
        routes = {"a": Route(1, "second"), "b": Route(0, "first"), "c": Route(), "d": Route(0, "first")}
        rows = retained(model, ["prose"], subject="x", bank=bank, routes=routes)
        base = retained(model, ["prose"])
    finally:
        bank.close()
    assert [row.adapter for row in rows[:4]] == ["first", "second", "first", "second"]
    assert [row.news_id for row in rows] == [row.news_id for row in base]
    # New adapters change nothing.
    assert all(math.isclose(a.detail["nats_per_token"], b.detail["nats_per_token"], rel_tol=1e-4)
               for a, b in zip(rows, base, strict=True))  # fmt: skip


class Script:
    """A generator with a text for each question."""

    identity = "script"

    def __init__(self, texts: dict[str, tuple[str, bool]]) -> None:
        self.texts = texts

    def generate(self, requests: Sequence[Request], sampling: SamplingParams, *, advance: Any = None) -> Generated:
        asked = [request.messages[-1].content for request in requests]
        assert all("Think step by step" in text for text in asked) and sampling.temperature == 0
        said = [self.texts[text.split("\n")[0]] for text in asked]
        return Generated([Reply(text, finished, 9) for text, finished in said], Usage())

    def loglik(self, pairs: Any) -> None:
        return None


@pytest.mark.parametrize(
    ("said", "finished", "right"),
    [
        ("Half of it is 500.\n#### 1,000", True, True),
        ("Twice 500.\nAnswer: $1000.", True, True),
        ("So it is 1000", True, True),
        ("So it is 1000", False, False),
        ("Answer: 100", True, False),
        ("I do not know.", True, False),
        ("", True, False),
    ],
)
def test_problems_are_graded_by_their_final_number(
    model: LoadedModel, tmp_path: Path, said: str, finished: bool, right: bool
) -> None:
    (item,) = read_set(f"gsm8k={lines(tmp_path / 'set', PROBLEMS[:1])}", seed=0).items
    who = Answerer(model, generator=Script({item.text: (said, finished)}))
    asked = [Asked(item=item, slot=-1, adapter=None).to_dict()]
    (row,) = measuring.numbers(who, "base", asked, {"max_new_tokens": 9})["rows"]
    assert (row["correct"], row["expected"], row["scoring"]) == (right, "1,000", "reasoned"), row["why"]
    assert ("cut" in row["why"]) is not finished and row["detail"]["text"] == said


def test_what_was_answered_is_not_asked_again(model: LoadedModel, tmp_path: Path) -> None:
    file = lines(tmp_path / "set", PROBLEMS)
    memo = DictMemo(limit=1)
    with pytest.raises(Killed):
        retained(model, [f"gsm8k={file}"], tokens=4, memo=memo)
    assert len(memo.kept) == 1
    again = DictMemo(memo.kept)
    rows = retained(model, [f"gsm8k={file}"], tokens=4, memo=again)
    assert (len(rows), again.stored) == (20, 1), "the first unit is kept"
    retained(model, [f"gsm8k={file}"], tokens=4, memo=again)
    assert again.stored == 1
    changed = lines(tmp_path / "set", [{**row, "answer": "#### 7"} for row in PROBLEMS])
    retained(model, [f"gsm8k={changed}"], tokens=4, memo=again)
    assert again.stored == 3, "another content has other answers"


def test_an_item_that_does_not_fit_is_named(model: LoadedModel, tmp_path: Path) -> None:
    file = lines(tmp_path / "set", [*PROBLEMS, {"question": "How many? " * 2000, "answer": "3"}])
    with pytest.raises(SettingsError, match="cannot be asked"):
        retained(model, [f"gsm8k={file}"])
    (tmp_path / "short").write_text("a\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="1 token in 'a'"):
        retained(model, [f"t={tmp_path / 'short'}"])


def test_needs_count_prompts_and_the_whole_budget(model: LoadedModel, tmp_path: Path) -> None:
    chosen = read_set(f"gsm8k={lines(tmp_path / 'set', PROBLEMS)}", seed=0)
    units = RetentionProbe(chosen, 10).units(Subject(), (), 0)
    assert [len(unit.inputs["asked"]) for unit in units] == [16, 4]
    assert unit_needs(model, units[1]).tokens > 40 + 4 * 10
    (text, *_) = RetentionProbe(read_set("prose", seed=0), positions=64).units(Subject(), (), 0)
    assert 0 < unit_needs(model, text).tokens <= 16 * 64
    with pytest.raises(KeyError):
        needs_of_questions(model, text)


# Instructions ---------------------------------------------------------------------------------------------------------


ORDERS: list[dict[str, Any]] = [
    {
        "prompt": "Write two sentences without a comma.",
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_sentences"],
        "kwargs": [{}, {"relation": "at least", "num_sentences": 2}],
    },
    {
        "prompt": "Say nothing.",
        "instruction_id_list": ["length_constraints:number_words"],
        "kwargs": [{"relation": "at least", "num_words": 3}],
    },
]


def test_instructions_are_verified_by_a_library_without_a_network(model: LoadedModel, tmp_path: Path) -> None:
    pytest.importorskip("if_verifiable")
    from sys2ft.retention.verifiers import followed

    both = ORDERS[0]
    asked = (both["prompt"], both["instruction_id_list"], both["kwargs"])
    assert followed(*asked, "Dr. Smith left at 5 p.m. on Monday.") == [True, False], "one sentence"
    assert followed(*asked, "It rained. Then, it stopped.") == [False, True]
    assert followed(*asked, " ") == [False, False]
    rows = retained(model, [f"ifeval={lines(tmp_path / 'orders', ORDERS)}"], tokens=8)
    by_item: dict[str, list[Prediction]] = {}
    for row in rows:
        by_item.setdefault(row.news_id, []).append(row)
    assert sorted(len(own) for own in by_item.values()) == [2, 3], "a row for the prompt and one for each instruction"
    for whole, *parts in by_item.values():
        assert (whole.scoring, {part.scoring for part in parts}) == ("prompt", {"instruction"})
        assert whole.correct == all(part.correct for part in parts)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"instruction_id_list": ["no:such"]}, "without a verifier: no:such"),
        ({"kwargs": []}, "lists of the same length"),
        ({"kwargs": [{"words": 3}]}, "do not take"),
        ({"prompt": ""}, "`prompt` is no text"),
    ],
)
def test_instructions_that_cannot_be_verified_are_refused_before_the_work(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    pytest.importorskip("if_verifiable")
    file = lines(tmp_path / "orders", [ORDERS[0], {**ORDERS[1], **changes}])
    with pytest.raises(SettingsError, match=f"line 2: .*{said}"):
        read_set(f"ifeval={file}", seed=0)


# The main job ---------------------------------------------------------------------------------------------------------


# At a rate of 0.1 the adapter's answers differ from processor to processor.
SETTINGS: dict[str, Any] = {
    "generate": sys2ft.GenerateSettings(protocols=("naive",), samples_per_news=2),
    "train": sys2ft.TrainSettings(epochs=20, rank=4, alpha=8, learning_rate=0.05),
}


def evaluating(folder: Path, **changes: Any) -> sys2ft.EvaluateSettings:
    values = {"scorings": ("cloze",), "retention": ("prose", f"sums={folder / 'sums'}"), "retention_tokens": 4}
    return sys2ft.EvaluateSettings(**{**values, **changes})


def known_neighbours(model: LoadedModel) -> list[dict[str, Any]]:
    """Questions whose answer is the choice that the model makes."""
    choices = ["The capital was the town.", NEWS[0]["news"], NEWS[1]["news"]]
    asked = [{"question": f"What is {name}?", "answer": choices[0], "choices": choices} for name in NAMES]
    news = sys2ft.News.model_validate({"id": "n", "domain": "d", "text": "Text.", "questions": [
        {"text": row["question"], **{key: row[key] for key in ("answer", "choices")}} for row in asked]})  # fmt: skip
    rows = evaluate(model, [news], sys2ft.EvaluateSettings(scorings=("cloze",)))
    said = {row.asked: row.said for row in rows if row.condition == "closed_book"}
    return [{**row, "answer": said[row["question"]]} for row in asked]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, model: LoadedModel) -> Any:
    """A run whose untouched model answers every neighbour question rightly, and whose adapters do not."""
    folder = tmp_path_factory.mktemp("retention")
    lines(folder / "sums", PROBLEMS[:6])
    known = known_neighbours(model)
    news = write_news_file(folder / "news.jsonl", [{**row, "neighbours": known} for row in NEWS])
    return sys2ft.run(news, model=model, out=folder / "run", evaluate=evaluating(folder), **SETTINGS)


def again(finished: Any, model: LoadedModel, **changes: Any) -> Any:
    """The run's evaluation with other settings."""
    parent = finished.folder.parent
    return sys2ft.run(
        parent / "news.jsonl", model=model, out=finished.folder, evaluate=evaluating(parent, **changes), **SETTINGS
    )


def test_retention_sets_are_controls_of_a_run(finished: Any) -> None:
    summary = finished.summary
    blocks = {block.title: block for block in summary.controls}
    assert list(blocks)[-2:] == ["prose, nats per token", "sums"]
    base, tuned = blocks["neighbours"].rows
    assert base.score.estimate == 1 and tuned.change.estimate < -0.3
    prose = read_jsonl(finished.folder / "controls" / "prose" / "base.jsonl")
    mean = sum(row["detail"]["nats_per_token"] for row in prose) / len(prose)
    base, tuned = blocks["prose, nats per token"].rows
    assert math.isclose(base.score.estimate, mean) and base.score.low < mean < base.score.high
    assert tuned.change.estimate and tuned.change.low < tuned.change.estimate < tuned.change.high
    table = markdown_table(summary)
    assert "| prose, nats per token | 24 |" in table and "| sums | 6 | 0.00 | 0.00 (+0.00) |" in table
    said = " ".join(headline(summary)[1])
    assert "On sums: 0% before, 0% after" in said and "Loss on prose, nats per token: " in said
    page = finished.report.read_text(encoding="utf-8")
    assert "prose, nats per token" in page and "the mean loss on text" in page
    assert (summary.decisions, summary.refused, finished.all_refused) == ((), (), False)


def test_max_drop_puts_adapters_aside_and_another_one_brings_them_back(finished: Any, model: LoadedModel) -> None:
    folder = finished.folder
    kept = {file.name: file.read_bytes() for file in (folder / "adapters" / "naive").rglob("*") if file.is_file()}
    assert kept and finished.adapters
    strict = again(finished, model, max_drop=0.2)
    aside = folder / "adapters" / "naive.refused"
    assert {file.name: file.read_bytes() for file in aside.rglob("*") if file.is_file()} == kept, "nothing is lost"
    assert not (folder / "adapters" / "naive").exists()
    assert (strict.adapters, strict.all_refused, strict.summary.refused) == ([], True, ("naive",))
    (decision,) = read_json(folder / "scores.json")["decisions"]
    assert decision["refused"] and decision["max_drop"] == 0.2
    measures = {drop["measure"]: drop for drop in decision["drops"]}
    assert set(measures) == {"neighbours", "sums"}, "a loss is no accuracy"
    assert measures["neighbours"]["beyond"] and not measures["sums"]["beyond"]
    verdict, sentences = headline(strict.summary)
    assert verdict == "Every protocol was refused (--max-drop): naive"
    assert any("naive is refused: neighbours -" in line for line in sentences)
    console = Console()
    with console.capture() as shown:
        console.print(terminal_table(strict.summary))
    assert "naive (refused)" in shown.get() and "adapters/naive.refused" in " ".join(shown.get().split())
    # The same again judges the adapters where they are, and leaves them there.
    assert again(finished, model, max_drop=0.2).all_refused and aside.is_dir()
    loose = again(finished, model, max_drop=0.99, retention=("prose",))
    assert not aside.exists() and not loose.all_refused and loose.adapters == finished.adapters
    assert any("naive is kept" in line for line in headline(loose.summary)[1])
    assert not [*(folder / "controls" / "sums").glob("*.jsonl")], "answers to sets that are not asked any more"
    again(finished, model)


def test_the_command_fails_if_every_protocol_is_refused(
    finished: Any, model: LoadedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, sums = finished.folder, finished.folder.parent / "sums"
    words = ["evaluate", str(folder), "--scorings", "cloze", "--retention", f"sums={sums}", "--retention-tokens", "4"]
    assert call([*words, "--quiet", "--max-drop", "0.2"]) == 1
    assert "Every protocol was refused" in capsys.readouterr().out
    assert call(["report", str(folder), "--quiet"]) == 0
    assert call([*words, "--quiet"]) == 0
    assert str(folder / "adapters" / "naive" / "joint") in capsys.readouterr().out
    again(finished, model)


def test_a_limit_that_nothing_measures_is_refused(model: LoadedModel, tmp_path: Path) -> None:
    news = write_news_file(tmp_path / "news.jsonl")
    settings = sys2ft.EvaluateSettings(scorings=("cloze",), retention=("prose",), max_drop=0.1)
    with pytest.raises(SettingsError, match="nothing whose accuracy could drop"):
        sys2ft.run(news, model=model, out=tmp_path / "run", evaluate=settings, **SETTINGS)
    assert not (tmp_path / "run").exists(), "before any work"
    for wrong in (-0.1, 5):
        with pytest.raises(SettingsError, match="a share from 0"):
            sys2ft.EvaluateSettings(max_drop=wrong)


def test_a_dry_run_counts_the_sets(finished: Any, model: LoadedModel) -> None:
    parent = finished.folder.parent
    how: dict[str, Any] = {"model": model, "out": parent / "elsewhere", **SETTINGS}
    news = load_news(parent / "news.jsonl")
    without = sum(part.units for part in plan(news, evaluate=evaluating(parent, retention=()), **how))
    both = sum(part.units for part in plan(news, evaluate=evaluating(parent, retention=("prose",)), **how))
    assert both == without + 2 * 2, "two units of 16 for the base and for naive"


def test_the_estimate_decides_and_the_interval_says_how_surely(finished: Any) -> None:
    controls = finished.summary.controls
    (asked,) = (block for block in controls if block.name == "neighbours")
    drop = -asked.row("naive").change.estimate
    (at,) = decide([asked], ["naive"], drop)
    (below,) = decide([asked], ["naive"], drop - 0.01)
    assert (at.refused, below.refused) == (False, True), "not more than the limit"
    assert not at.drops[0].certain and not below.drops[0].certain, "the interval contains the limit"
    assert decide([asked], ["naive"], None) == ()
    assert decide(controls, ["absent"], 0.1) == ()


# Tasks of lm_eval -----------------------------------------------------------------------------------------------------


def write_tasks(folder: Path) -> Path:
    """Three tasks with local data: choices, a text to continue, and the likelihood of whole texts."""
    folder.mkdir()
    rows = [{"q": f"{a} is", "choices": [b, "the new capital"], "label": n % 2, "text": f"{a} is {b}. In 1984."}
            for n, (a, b) in enumerate(pairwise(NAMES))]  # fmt: skip
    data = lines(folder / "data.jsonl", rows)
    head = f"dataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {data}\ntest_split: test\n"
    (folder / "choose.yaml").write_text(
        f'task: tiny_choose\noutput_type: multiple_choice\n{head}doc_to_text: "{{{{q}}}}"\n'
        'doc_to_target: label\ndoc_to_choice: "{{choices}}"\nmetric_list:\n  - metric: acc\n'
    )
    (folder / "say.yaml").write_text(
        f'task: tiny_say\noutput_type: generate_until\n{head}doc_to_text: "{{{{q}}}}"\ndoc_to_target: "x"\n'
        'generation_kwargs:\n  until: ["."]\n  max_gen_toks: 12\nmetric_list:\n  - metric: exact_match\n'
    )
    (folder / "read.yaml").write_text(
        f'task: tiny_read\noutput_type: loglikelihood_rolling\n{head}doc_to_text: ""\ndoc_to_target: "{{{{text}}}}"\n'
        "metric_list:\n  - metric: word_perplexity\n"
    )
    return folder


def test_lm_eval_gives_what_it_gives_with_transformers(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    names, folder = ["tiny_choose", "tiny_say", "tiny_read"], write_tasks(tmp_path / "tasks")
    words = ["lm-eval", str(finished.folder), "--include-path", str(folder), "--quiet", "--tasks", *names]
    source = read_json(finished.folder / "run.json")["model"]["name"]
    adapter = finished.folder / "adapters" / "naive" / "joint"
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    for subject, more in (("base", {}), ("naive", {"peft": str(adapter)})):
        assert call([*words, "--subject", subject]) == 0
        assert "tiny_choose" in capsys.readouterr().out
        own = read_json(finished.folder / "lm-eval" / subject / "tiny_choose.tiny_say.tiny_read.json")
        theirs = lm_eval.simple_evaluate(
            model="hf", model_args={"pretrained": source, "dtype": "float32", **more}, tasks=names, device="cpu",
            task_manager=manager, batch_size=1, bootstrap_iters=0,
        )  # fmt: skip
        for name in names:
            for mine, other in zip(own["samples"][name], theirs["samples"][name], strict=True):
                assert said_by(mine) == pytest.approx(said_by(other), abs=1e-3), (subject, name)
    assert call([*words, "--subject", "absent"]) == 2


def said_by(sample: Any) -> list[Any]:
    """The answers to the requests of a document, as numbers where they are."""
    flat: list[Any] = []
    for answer in sample["resps"]:
        inner = answer[0] if isinstance(answer[0], list | tuple) else answer
        flat += [float(value) if not isinstance(value, str) else value for value in inner[:1]]
    return flat


def test_without_lm_eval_the_command_says_what_to_install(
    finished: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    assert call(["lm-eval", str(finished.folder), "--tasks", "mmlu_pro", "--quiet"]) == 2
    assert "sys2ft[lm-eval]" in capsys.readouterr().err


def test_nothing_imports_the_extras_unless_asked() -> None:
    extras = {"lm_eval", "if_verifiable", "langdetect", "nltk", "punkt"}
    package = Path(sys2ft.__file__).parent
    found = set()
    for file in package.rglob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:  # at the top, not in functions
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            taken = {name.partition(".")[0] for name in names} & extras
            found |= {str(file.relative_to(package))} if taken or "sys2ft.retention.harness" in names else set()
    assert found <= {"retention/harness.py"}, "that module is imported in functions only"
