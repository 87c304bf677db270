"""Retrieval, routes by question, merged adapters, and the tables of `sys2ft compare`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import sys2ft
from sys2ft.cli.main import call
from sys2ft.combining import CompareSettings, Retrieved, Retriever, merge, with_retrieved_text, with_route
from sys2ft.combining.adaptive import Entropy, learn_weights
from sys2ft.combining.merging import even_weights, require_lora
from sys2ft.combining.settings import MERGES, Merge
from sys2ft.engine import AdapterBank, Example, Targets, backward, open_adapter, prepare, save_adapter, score
from sys2ft.errors import NewsError, SettingsError
from sys2ft.evaluation import EvaluateSettings, Questions, Route, evaluate
from sys2ft.job import Cell, compare, evaluate_stage, generate_stage, open_run, pair_of, train_stage
from sys2ft.models import LoadedModel, Message, load_model
from sys2ft.news import News, Question, read_news
from sys2ft.runs import Display, Run, read_json, read_jsonl, write_json
from talking import write_news_file

NAMES = ("down_proj", "q_proj")


@pytest.fixture(scope="module")
def model(talking_model_dir: Path) -> LoadedModel:
    loaded = load_model(str(talking_model_dir), dtype="float32", device="cpu")
    prepare(loaded.model)
    return loaded


# Retrieval ------------------------------------------------------------------------------------------------------------


def item(id: str, text: str, *questions: str) -> News:
    asked = tuple(Question(text=q, answer="yes", choices=("yes", "no")) for q in questions)
    return News(id=id, text=text, questions=asked)


LANGUAGES = [
    item("en", "The harbour of Kelm opens a ferry to the island.", "Where does the ferry of Kelm go?"),
    item("de", "Die Bäckerei in Aalen verkauft jetzt Brot aus Algen.", "Was verkauft die Bäckerei in Aalen?"),
    item("ru", "В Томске построили стеклянный мост через реку.", "Какой мост построили в Томске?"),
    item("zh", "杭州新开了一家机器人图书馆。", "杭州新开了什么图书馆？"),
    item("ja", "京都の寺で新しい鐘が作られました。", "京都の寺で何が作られましたか？"),
    item("th", "เชียงใหม่เปิดพิพิธภัณฑ์ช้างแห่งใหม่", "พิพิธภัณฑ์ช้างอยู่ที่ไหน"),
    item("ko", "부산에 유리 다리가 새로 놓였다.", "유리 다리는 어디에 놓였다?"),
    item("ar", "افتتحت المدينة حديقة للنخيل قرب البحر.", "أين حديقة للنخيل؟"),
]


def test_a_question_of_any_script_finds_its_news_item() -> None:
    found = Retriever(LANGUAGES).find_all(LANGUAGES)
    assert found == {(one.id, 0): one.id for one in LANGUAGES}


def test_what_shares_no_word_is_not_found() -> None:
    retriever = Retriever(LANGUAGES)
    assert retriever.find("Quand?") is None
    assert retriever.find("?!") is None
    assert Retriever(LANGUAGES[:1]).find("the ferry") == "en"


def test_a_text_without_a_word_is_refused() -> None:
    with pytest.raises(NewsError, match="without a word to find them by: mute"):
        Retriever([*LANGUAGES, item("mute", "!!! ...")])


# Probes ---------------------------------------------------------------------------------------------------------------

ASKED = [
    item("a", "The town of Paris is the new capital.", "What is the new capital?", "What is the town?"),
    item("b", "A system of France had 67 people.", "How many people had the system?"),
]


def random_bank(model: LoadedModel, slots: int, rank: int = 4, size: float = 0.3) -> AdapterBank:
    bank = AdapterBank(model.model, slots, rank=rank, alpha=8, targets=NAMES)
    for slot in range(slots):
        bank.initialise(slot, seed=slot)
    generator = torch.Generator().manual_seed(1)
    for name in bank.modules:
        bank.b[name].copy_(size * torch.randn(bank.b[name].shape, generator=generator))
    return bank


@pytest.fixture
def bank(model: LoadedModel) -> Iterator[AdapterBank]:
    made = random_bank(model, 3)
    yield made
    made.close()


SETTINGS = EvaluateSettings(scorings=("cloze", "letter"), controls=("none",))
ROUTES = {"a": Route(0, "a"), "b": Route(1, "b")}


def likelihoods(predictions: list[sys2ft.Prediction]) -> list[Any]:
    return [(one.id, one.adapter, one.asked, one.detail) for one in predictions]


def test_routed_by_a_perfect_retriever_is_the_own_adapter(model: LoadedModel, bank: AdapterBank) -> None:
    perfect = {(one.id, i): one.id for one in ASKED for i in range(len(one.questions))}
    questions = Questions(SETTINGS)
    own = evaluate(model, ASKED, SETTINGS, subject="s", bank=bank, routes=ROUTES)
    routed = Retrieved(questions, with_route(perfect, ROUTES), "routed")
    assert likelihoods(evaluate(model, ASKED, SETTINGS, subject="s", bank=bank, routes=ROUTES, probe=routed)) == (
        likelihoods(own)
    )
    shown = Retrieved(questions, with_retrieved_text(perfect, ASKED), "retrieval")
    assert likelihoods(evaluate(model, ASKED, SETTINGS, probe=shown)) == likelihoods(evaluate(model, ASKED, SETTINGS))


def test_each_question_has_the_route_and_the_text_that_was_found_for_it(model: LoadedModel, bank: AdapterBank) -> None:
    found = {("a", 0): "a", ("a", 1): "b", ("b", 0): None}
    closed = Retrieved(Questions(SETTINGS, conditions=("closed_book",)), with_route(found, ROUTES), "routed")
    rows = evaluate(model, ASKED, SETTINGS, subject="s", bank=bank, routes=ROUTES, probe=closed)
    cloze = {(row.news_id, row.question): row for row in rows if row.scoring == "cloze"}
    assert {key: row.adapter for key, row in cloze.items()} == found
    assert [row.correct is not None for row in rows] == [True] * 6
    context = Retrieved(Questions(SETTINGS, conditions=("in_context",)), with_retrieved_text(found, ASKED), "retrieval")
    asked = {(row.news_id, row.question): row.asked for row in evaluate(model, ASKED, SETTINGS, probe=context)}
    assert "Paris" in asked["a", 0] and "67 people" in asked["a", 1] and "What is the town?" in asked["a", 1]
    assert "67" not in asked["b", 0] and "Paris" not in asked["b", 0], "nothing was found: the question alone"


# Merging --------------------------------------------------------------------------------------------------------------


def updates(bank: AdapterBank, slot: int) -> dict[str, torch.Tensor]:
    return {name: bank.scaling * (bank.b[name][slot] @ bank.a[name][slot]) for name in bank.modules}


@pytest.mark.parametrize("method", ["cat", "task_arithmetic"])
def test_the_exact_merges_are_the_sum_of_the_updates(bank: AdapterBank, method: Merge) -> None:
    merged = merge(bank, method, weights=even_weights(bank, 0.5), rank=12)
    assert (merged.rank, merged.scaling) == (12, 1)
    for name, update in updates(merged, 0).items():
        whole = 0.5 * sum(updates(bank, slot)[name] for slot in range(3))
        assert torch.allclose(update, whole, atol=1e-5), name
    merged.close()


def test_weights_differ_by_layer_and_adapter(bank: AdapterBank) -> None:
    weights = {name: [float(n == 0), 0.0, float(n > 0)] for n, name in enumerate(bank.modules)}
    merged = merge(bank, "cat", weights=weights)
    for n, (name, update) in enumerate(updates(merged, 0).items()):
        assert torch.allclose(update, updates(bank, 0 if n == 0 else 2)[name], atol=1e-5)
    merged.close()


@pytest.mark.parametrize(
    ("method", "theirs"), [("task_arithmetic", "svd"), ("ties", "ties_svd"), ("cat", "cat")], ids=lambda name: name
)
def test_a_merge_is_that_of_peft(
    method: Merge, theirs: str, bank: AdapterBank, model: LoadedModel, talking_model_dir: Path, tmp_path: Path
) -> None:
    import transformers
    from peft import PeftModel

    for slot in range(3):
        save_adapter(bank, slot, tmp_path / str(slot), base_name="base")
    plain = transformers.AutoModelForCausalLM.from_pretrained(talking_model_dir, dtype=torch.float32)
    peft = PeftModel.from_pretrained(plain, str(tmp_path / "0"), adapter_name="0")
    for slot in "12":
        peft.load_adapter(str(tmp_path / slot), adapter_name=slot)
    peft.add_weighted_adapter(["0", "1", "2"], [0.7] * 3, "merged", combination_type=theirs, svd_rank=5, density=0.4)
    merged = merge(bank, method, weights=even_weights(bank, 0.7), rank=5, density=0.4)
    for name, update in updates(merged, 0).items():
        layer = peft.get_submodule(f"base_model.model.{name}")
        assert torch.allclose(update, layer.get_delta_weight("merged"), atol=1e-4), name
    merged.close()


@pytest.mark.parametrize("method", ["dare", "dare_ties"])
def test_what_is_dropped_depends_on_the_seed_alone(bank: AdapterBank, method: Merge) -> None:
    def made(seed: int) -> torch.Tensor:
        torch.rand(3)  # the global generator has no say
        merged = merge(bank, method, weights=even_weights(bank, 1.0), rank=32, density=0.5, seed=seed)
        merged.close()
        return merged.weights_KP

    before = torch.random.get_rng_state()
    first = made(1)
    assert torch.equal(first, made(1)) and not torch.equal(first, made(2))
    torch.random.set_rng_state(before)


def test_dare_keeps_the_expected_update(bank: AdapterBank) -> None:
    name = next(iter(bank.modules))
    whole = sum(updates(bank, slot)[name] for slot in range(3))
    total = torch.zeros_like(whole)
    for seed in range(40):
        merged = merge(bank, "dare", weights=even_weights(bank, 1.0), rank=32, density=0.5, seed=seed)
        total += updates(merged, 0)[name] / 40
        merged.close()
    assert (total - whole).norm() < 0.3 * whole.norm(), "entries that are kept are divided by the density"


@pytest.mark.parametrize("method", [m for m in MERGES if m != "cat"])
def test_a_merged_adapter_has_the_wanted_rank_and_loads(
    bank: AdapterBank, model: LoadedModel, method: Merge, tmp_path: Path
) -> None:
    merged = merge(bank, method, weights=even_weights(bank, 0.5), rank=6)
    save_adapter(merged, 0, tmp_path / "merged", base_name="base")
    again = open_adapter(model.model, tmp_path / "merged")
    assert torch.equal(again.weights_KP, merged.weights_KP) and again.rank == 6
    for one in (merged, again):
        one.close()


def test_a_rank_beyond_that_of_the_layers_is_possible(bank: AdapterBank) -> None:
    merged = merge(bank, "ties", weights=even_weights(bank, 1.0), rank=80)
    assert all(torch.isfinite(update).all() for update in updates(merged, 0).values())
    merged.close()


def test_only_lora_is_merged() -> None:
    with pytest.raises(SettingsError, match="cannot be merged"):
        require_lora(object())  # type: ignore[arg-type]


# AdaMerging -----------------------------------------------------------------------------------------------------------


def examples(model: LoadedModel) -> list[Example]:
    made = []
    for n in range(6):
        ids = model.chat.plain_ids(f"In 19{n}4, the town of Paris was the capital of France.")
        made.append(Example(ids, [False] * 4 + [True] * (len(ids) - 4)))
    return made


def test_the_entropy_is_that_of_the_distribution() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [50.0, 0.0, 0.0, 0.0]])
    index = torch.tensor([0, 1, 0])
    losses = Entropy().losses(logits, Targets(index, index, index, index, torch.ones(3)))
    assert torch.allclose(losses, torch.tensor([1.3863, 0.0, 1.3863]), atol=1e-4)


def test_the_gradient_of_the_weights_is_that_of_finite_differences(model: LoadedModel, bank: AdapterBank) -> None:
    from sys2ft.combining import adaptive

    seen: list[torch.Tensor] = []
    whole = adaptive._gradient

    def kept(*arguments: Any) -> torch.Tensor:
        seen.append(whole(*arguments))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adaptive, "_gradient", kept)
        patch.setattr(adaptive, "_order", lambda *_: [list(range(6))])
        learn_weights(bank, examples(model), steps=1, tokens_at_once=512, seed=0)

    def entropy(change: float) -> float:
        weights = even_weights(bank, adaptive.START)
        weights[list(weights)[1]][2] += change
        merged = merge(bank, "cat", weights=weights)
        batch = [replace(one, slot=0) for one in examples(model)]
        (part,) = backward(model.model, merged, batch, tokens_at_once=512, objective=Entropy())
        merged.close()
        return part.losses[0]

    assert float(seen[0][1, 2]) == pytest.approx((entropy(1e-2) - entropy(-1e-2)) / 2e-2, rel=0.02, abs=1e-4)


def test_the_learnt_weights_lower_the_entropy(model: LoadedModel, bank: AdapterBank) -> None:
    weights, entropies = learn_weights(bank, examples(model), steps=30, tokens_at_once=512, seed=0)
    assert len(entropies) == 30 and sum(entropies[-5:]) < sum(entropies[:5])
    assert all(0 <= weight <= 1 for own in weights.values() for weight in own)
    assert list(weights) == list(bank.modules)
    assert weights == learn_weights(bank, examples(model), steps=30, tokens_at_once=512, seed=0)[0]


# The command ----------------------------------------------------------------------------------------------------------

GENERATE = sys2ft.GenerateSettings(
    protocols=("naive", "paraphrase"), samples_per_news=3, max_new_tokens=24, rounds=1, checks=("none",)
)
EVALUATE = sys2ft.EvaluateSettings(scorings=("cloze",), controls=("none",))
TRAIN = sys2ft.TrainSettings(epochs=2, batch_size=2, rank=4, alpha=8, learning_rate=3e-3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, talking_model_dir: Path, model: LoadedModel) -> Path:
    """A folder with the runs `own` and `joint` of the same elements."""
    place = tmp_path_factory.mktemp("compare")
    news = read_news(write_news_file(place / "news.jsonl"))
    run = open_run(place / "own", model, news, seed=1)
    generate_stage(run, model, GENERATE, Display())
    shutil.copytree(place / "own", place / "joint")
    for name, adapters in (("own", "per-news"), ("joint", "joint")):
        run = Run.open(place / name)
        train_stage(run, model, replace(TRAIN, adapters=adapters), Display())
        evaluate_stage(run, model, EVALUATE, Display())
    return place


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """A copy of `trained`."""
    return shutil.copytree(trained, tmp_path / "runs")


SMALL = CompareSettings(ways=("retrieval", "routed", "cat", "ties", "adamerging"), steps=2)


def test_the_table_has_every_way(runs: Path, model: LoadedModel) -> None:
    own, joint = pair_of(Run.open(runs / "joint"), Run.open(runs / "own"))
    assert (own.path.name, joint.path.name) == ("own", "joint"), "in any order"
    made = compare(own, joint, model, SMALL)
    assert [table.protocol for table in made.tables] == ["naive", "paraphrase"]
    table = made.tables[0]
    merged = ["merged cat", "merged ties", "merged adamerging"]
    ways = ["base", "own text", "retrieved text", "own adapter", "retrieved adapter", "joint adapter", *merged]
    assert [row.way for row in table.rows] == ways
    questions = {(one["id"], i) for one in read_jsonl(own.path / "news.jsonl") for i in range(len(one["questions"]))}
    found = {
        (row["news_id"], row["question"]): row["found"] for row in read_jsonl(own.path / "compare" / "found.jsonl")
    }
    assert found.keys() == questions
    asked = {row["news_id"] for row in read_jsonl(own.path / "predictions" / "base.jsonl")}
    assert made.retrieval_errors.n_items == table.row("base").accuracy.n_items == len(questions) - 1, "by its choices"
    assert made.retrieval_errors.n_news == len(asked)

    for name, run in (("base", own), ("naive", own), ("naive", joint)):
        way = "base" if name == "base" else "own adapter" if run is own else "joint adapter"
        rows = read_jsonl(run.path / "predictions" / f"{name}.jsonl")
        right = [row["correct"] for row in rows if row["condition"] == "closed_book"]
        assert table.row(way).accuracy.estimate == sum(right) / len(right), way
    joined = table.row("joint adapter")
    for row in table.rows:
        change = None if row is joined else row.accuracy.estimate - joined.accuracy.estimate
        assert (row.minus_joint and row.minus_joint.estimate) == (change if change is None else pytest.approx(change))
    texts = sum(len(one["news"].encode()) for one in read_jsonl(own.path / "news.jsonl"))
    assert (table.row("base").bytes, table.row("own text").bytes) == (0, texts)
    assert table.row("retrieved adapter").bytes == table.row("own adapter").bytes + texts
    assert table.row("own text").tokens > table.row("base").tokens == table.row("own adapter").tokens
    assert read_json(runs / "joint" / "adapters" / "naive" / "joint" / "adapter_config.json")["r"] == 4
    assert read_json(own.path / "adapters" / "naive-ties" / "adapter_config.json")["r"] == 4
    count = len(read_json(own.path / "training" / "naive.json")["names"])
    assert read_json(own.path / "adapters" / "naive-cat" / "adapter_config.json")["r"] == 4 * count
    assert made.to_dict()["tables"][0]["rows"][0]["way"] == "base"
    text = (own.path / "compare.md").read_text()
    assert text.count("| merged ties |") == 2 and "95% intervals" in text
    assert read_json(own.path / "compare.json")["retrieval_errors"]["n_items"] == len(questions) - 1


def test_what_a_size_decided_is_recorded_and_loaded(trained: Path, tmp_path: Path, model: LoadedModel) -> None:
    place = shutil.copytree(trained / "own", tmp_path / "run")
    record = read_json(place / "run.json")
    write_json(place / "run.json", {**record, "settings": {"generate": record["settings"]["generate"]}})
    for folder in ("training", "adapters", "predictions"):
        shutil.rmtree(place / folder)
    run = Run.open(place)
    train_stage(run, model, sys2ft.TrainSettings(epochs=1), Display())
    evaluate_stage(run, model, EVALUATE, Display())
    chosen = {"rank": 16, "learning_rates": [3.5e-3]}
    assert read_json(place / "run.json")["trained"] == {"naive": chosen, "paraphrase": chosen}
    assert {key: read_json(place / "training" / "naive.json")[key] for key in chosen} == chosen
    assert read_json(place / "adapters" / "naive" / "joint" / "adapter_config.json")["r"] == 16
    assert {row["adapter"] for row in read_jsonl(place / "predictions" / "naive.jsonl")} == {"joint"}


def test_the_rank_is_the_same_for_all_protocols_of_a_run() -> None:
    def element(n: int, status: Any) -> sys2ft.ReplayElement:
        turn = {"role": "user", "content": "What?"}
        return sys2ft.ReplayElement(
            id=f"p/{n}",
            news_id=f"n{n}",
            protocol="p",
            prompt=(turn,),
            completion=f"{n}",
            status=status,
            reason=None,
            seed=0,
        )

    cell = Cell(model="m", news="n", protocol="p", generate=GENERATE, train=sys2ft.TrainSettings(), seed=0)
    (every,) = cell.jobs([element(n, "kept") for n in range(10)])
    (some,) = cell.jobs([element(n, "kept" if n < 3 else "rejected") for n in range(10)])
    assert every.settings.rank == some.settings.rank == 32
    assert [item.source for item in every.items] == [f"n{n}" for n in range(10)]
    single = replace(cell, train=sys2ft.TrainSettings(adapters="per-news"))
    jobs = single.jobs([element(n, "kept") for n in range(10)])
    assert {job.settings.rank for job in jobs} == {16} and len(jobs) == 10
    other = replace(cell, train=sys2ft.TrainSettings(rank=32, learning_rate=5e-4))
    assert other.version([every]) == cell.version([every]) != cell.version(jobs)


def test_a_repeated_comparison_computes_nothing_again(
    runs: Path, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, joint = Run.open(runs / "own"), Run.open(runs / "joint")
    first = compare(own, joint, model, SMALL)
    patterns = ("compare/**/*.json", "adapters/naive-*/*")
    before = {file: file.stat().st_mtime_ns for pattern in patterns for file in own.path.glob(pattern)}
    compare(own, joint, model, SMALL)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert compare(own, joint, model, SMALL) == first
    compare(own, joint, model, replace(SMALL, density=0.5))
    changed = {
        file.parent.name for file, at in before.items() if file.stat().st_mtime_ns != at and "naive-" in str(file)
    }
    assert changed == {"naive-ties", "compare"}, "only what the density decides"


def test_the_command_prints_the_table(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["compare", str(runs / "own"), str(runs / "joint"), "--ways", "routed", "--quiet"]) == 0
    said = capsys.readouterr().out
    for part in ("own adapter", "retrieved adapter", "joint adapter", "minus joint", "wrong item", "to ship"):
        assert part in said
    assert "merged" not in said


def other_news(place: Path, model: LoadedModel) -> None:
    news = [*read_news(place / "news.jsonl")[:2], sys2ft.News(id="late", text="It is late.")]
    shutil.rmtree(place / "joint")
    run = open_run(place / "joint", model, news, seed=1)
    run.stage("train", {"adapters": "joint"})


def not_evaluated(place: Path, model: LoadedModel) -> None:
    record = read_json(place / "joint" / "run.json")
    del record["settings"]["evaluate"]
    write_json(place / "joint" / "run.json", record)


def no_adapters(place: Path, model: LoadedModel) -> None:
    for name in GENERATE.protocols:
        file = place / "own" / "training" / f"{name}.json"
        write_json(file, {**read_json(file), "names": []})


@pytest.mark.parametrize(
    ("spoil", "names", "said"),
    [
        (None, ("own", "own"), "has adapters: per-news"),
        (None, ("joint", "joint"), "has adapters: joint"),
        (other_news, ("own", "joint"), "differ in: news"),
        (not_evaluated, ("own", "joint"), "has not been evaluated"),
        (no_adapters, ("own", "joint"), "no protocol can be compared"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_runs_that_cannot_be_compared(
    spoil: Callable[[Path, LoadedModel], None] | None,
    names: tuple[str, str],
    said: str,
    runs: Path,
    model: LoadedModel,
) -> None:
    if spoil is not None:
        spoil(runs, model)
    with pytest.raises(SettingsError) as caught:
        compare(*pair_of(*(Run.open(runs / name) for name in names)), model, SMALL)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ways": ("magic",)}, "task_arithmetic"),
        ({"ways": ()}, "some of retrieval"),
        ({"ways": ("ties", "ties")}, "each at most once"),
        ({"density": 0.0}, "density=0.0"),
        ({"density": 1.0}, "density=1.0"),
        ({"weight": -1.0}, "weight=-1.0"),
        ({"rank": -1}, "rank=-1"),
        ({"steps": 0}, "steps=0"),
    ],
    ids=str,
)
def test_settings_are_checked(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        CompareSettings(**wrong)
    assert said in str(caught.value)


def test_merged_adapters_are_measured_as_what_they_are(runs: Path, model: LoadedModel) -> None:
    """The sum of all adapters, scored by the engine, is the base with the sum of their updates."""
    own, joint = Run.open(runs / "own"), Run.open(runs / "joint")
    compare(own, joint, model, CompareSettings(ways=("cat",)))
    rows = read_jsonl(own.path / "compare" / "naive-cat.jsonl")
    bank = open_adapter(model.model, own.path / "adapters" / "naive-cat")
    one = rows[0]
    prompt = model.chat.prompt_ids([Message("user", one["asked"])])
    for choice, likelihood in one["detail"]["choices"].items():
        ids = model.chat.continuation_ids(choice)
        example = Example([*prompt, *ids], [False] * len(prompt) + [True] * len(ids), 0)
        assert score(model.model, [example], bank).likelihoods[0].total == pytest.approx(likelihood, abs=1e-3)
    assert {row["adapter"] for row in rows} == {"naive-cat"}
    bank.close()
