"""Benchmarks: both sides do the same work, memory and time are those of the work, and the tables say what was done."""

from __future__ import annotations

import dataclasses
import json
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import highwater, profile, work
from benchmarks.context import Context
from benchmarks.jobs import choice, decode, gemm, memory, train as training, tricks
from benchmarks.parts import decode as decoding
from benchmarks.report import Part, add_sides
from benchmarks.runner import OURS, Bench, JobFailed, Outcome, Side
from benchmarks.settings import BenchSettings
from sys2ft.engine import AdapterBank, flops
from sys2ft.errors import SettingsError
from sys2ft.models import load_model
from sys2ft.runs import Display

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def context(tiny_model_dir: Path) -> Context:
    return Context(str(tiny_model_dir), dtype="float32", device="cpu")


# The work


def test_the_work_is_the_same_every_time_and_as_large_as_it_says() -> None:
    made = work.pairs(8, 64)
    assert made == work.pairs(8, 64)
    assert [len(own) for own in made] == [64] * 8
    assert len({pair for own in made for pair in own}) == 8 * 64
    assert made[:2] == work.pairs(2, 64), "a subject does not depend on how many there are"
    assert len(work.pairs(1, 200)[0]) == 200
    assert not any("{" in pair.question + pair.answer for own in made for pair in own)


def test_questions_have_four_choices_and_the_news_tells_the_answer() -> None:
    questions = work.choices(380)  # the 375 of New News, and an invented news
    assert len(questions) == 380
    assert all(len(set(one.choices)) == 4 for one in questions)
    made = [one for one in questions if one.news == questions[-1].news]
    assert len(made) == 5
    assert all(sum(option in one.text for option in one.choices) == 1 for one in made)
    slots = work.adapter_of(questions, 8)
    assert slots == sorted(slots)
    assert max(map(slots.count, range(8))) - min(map(slots.count, range(8))) <= 5


def test_prompts_share_exactly_the_prefix_and_end_where_the_assistant_speaks(context: Context) -> None:
    model = context.load()
    asked = decode.prompts(model, 12)
    assert {len(ids) for ids in asked} == {420}
    assert {tuple(ids[:400]) for ids in asked} == {tuple(asked[0][:400])}
    assert len({tuple(ids[400:]) for ids in asked}) > 6
    assert all(model.tokenizer.decode(ids).endswith("<|im_start|>assistant\n") for ids in asked)


# Both sides do the same


@pytest.mark.parametrize("last_only", [False, True])
def test_log_likelihoods_of_both_sides_are_equal(context: Context, tmp_path: Path, last_only: bool) -> None:
    choice.adapters(context, count=3, rank=4, folder=str(tmp_path))
    same = {"count": 9, "adapters": 3, "folder": str(tmp_path)}
    ours = choice.ours(context, rank=4, **same)
    theirs = choice.per_option(context, size=5, last_only=last_only, **same)
    assert len(ours["likelihoods"]) == 36
    assert theirs["likelihoods"] == pytest.approx(ours["likelihoods"], abs=1e-4)
    assert ours["tokens"] == theirs["tokens"] > 2 * ours["tokens_computed"]

    swapped = choice.per_option(context, size=5, **same | {"folder": str(_rotated(tmp_path, 3))})
    off = np.abs(np.subtract(swapped["likelihoods"], ours["likelihoods"]))
    assert np.median(off) > 1e-2, "the adapters matter"

    part = choice.per_option(context, size=5, only=1, **same)
    answered = [value for value in part["likelihoods"] if value is not None]
    assert answered == pytest.approx(ours["likelihoods"][: len(answered)], abs=1e-4)
    assert part["options"] == len(answered) < 36


def _rotated(folder: Path, count: int) -> Path:
    (folder / "rotated").mkdir()
    for slot in range(count):
        (folder / "rotated" / str(slot)).symlink_to(folder / str((slot + 1) % count))
    return folder / "rotated"


def test_every_decoder_makes_the_same_number_of_tokens(context: Context) -> None:
    assert decode.ours(context, count=5)["tokens"] == 200
    assert decode.generate(context, count=5, size=2)["tokens"] == 200
    assert decode.generate(context, count=5, size=2, prefilled=True)["tokens"] == 200
    assert decode.generate_batch(context, count=5, size=2)["tokens"] == 200
    with pytest.raises(ValueError, match=r"2 rows of \[39, 40\] new tokens"):
        decode.check([[1] * 40, [1] * 39], 2)


def test_the_prefilled_cache_gives_the_texts_that_generate_gives(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same random numbers on the same distributions: the copied cache is the one that `generate` makes itself."""
    seen: list[list[list[int]]] = []
    monkeypatch.setattr(decode, "check", lambda new, rows: seen.append(new) or 40 * rows)
    decode.generate(context, count=4, size=4)
    decode.generate(context, count=4, size=4, prefilled=True)
    assert seen[1] == seen[3]
    assert seen[0] == seen[2]
    assert len({tuple(ids) for ids in seen[1]}) == 4, "sampled, not repeated"


def test_the_search_takes_the_fastest_batch_and_stops_when_it_gets_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    took = {1: 1.0, 2: 1.0, 4: 1.0, 8: 4.0, 16: 9.0, 32: 0.1}
    now = 0.0

    def run(size: int) -> int:
        nonlocal now
        now += took[size]
        return size

    monkeypatch.setattr(decode.time, "perf_counter", lambda: now)
    found = decode.fastest((16, 1, 2, 4, 8, 32), run)
    assert found["best"] == 4
    assert found["tried"] == {"1": 1.0, "2": 2.0, "4": 4.0, "8": 2.0, "16": pytest.approx(16 / 9)}
    for sizes in ((1,), (1, 2)):
        assert decode.fastest(sizes, run)["best"] == sizes[-1]


def test_ours_trains_every_adapter_and_the_scorer_sees_it(context: Context, tmp_path: Path) -> None:
    report = training.ours(context, adapters=2, pairs=8, rank=4, folder=str(tmp_path / OURS))
    assert len(report["rates"]) == 3
    assert report["tokens"] == sum(report["tokens_each"])
    rendered = training.rendered(context.load(), 2, 8)
    assert report["tokens_each"] == [3 * sum(len(one["input_ids"]) for one in own) for own in rendered]
    scored = training.losses(context, adapters=2, pairs=8, folders={OURS: str(tmp_path / OURS)})["losses"]
    assert all(after < before - 0.01 for before, after in zip(scored["base"], scored[OURS], strict=True))
    model = load_model(context.model, dtype="float32", device="cpu")
    own = rendered[0]
    log = [model.model(torch.tensor([one["input_ids"]])).logits[0].log_softmax(-1) for one in own]
    terms = [
        -log[n][i - 1, label].item() for n, one in enumerate(own) for i, label in enumerate(one["labels"]) if label >= 0
    ]
    assert scored["base"][0] == pytest.approx(sum(terms) / len(terms), abs=1e-5)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("tuned", [False, True])
def test_trl_does_the_work_that_ours_does(context: Context, tmp_path: Path, tuned: bool) -> None:
    pytest.importorskip("trl", reason="pip install -r requirements-bench.txt")
    work_ = {"adapters": 2, "pairs": 16, "rank": 4}
    ours = training.ours(context, folder=str(tmp_path / OURS), **work_)
    theirs = training.trl(
        context, only=2, rates=ours["rates"], tuned=tuned, bf16=False, folder=str(tmp_path / "trl"), **work_
    )
    assert theirs["steps"] == [len(ours["rates"])] * 2 == [6, 6]
    assert theirs["tokens_each"] == ours["tokens_each"]
    orders = [sorted(order[at : at + 16]) for order in theirs["orders"] for at in range(0, 48, 16)]
    assert orders == [list(range(16))] * 6, "every pair once an epoch"
    same = training.ours(context, folder=str(tmp_path / "same"), orders=theirs["orders"], **work_)
    assert same["tokens_each"] == ours["tokens_each"]
    folders = {name: str(tmp_path / name) for name in (OURS, "trl", "same")}
    scored = training.losses(context, adapters=2, pairs=16, folders=folders)["losses"]
    assert scored["trl"] == pytest.approx(scored["same"], rel=1e-4)
    assert all(base - other > 0.02 for base, other in zip(scored["base"], scored["trl"], strict=True))
    assert (scored["same"] == pytest.approx(scored[OURS], rel=1e-6)) == (not tuned)


def test_memory_counts_the_adapters(context: Context) -> None:
    base = memory.base(context, tokens_at_once=256)
    model = load_model(context.model, dtype="float32", device="cpu").model
    assert base["base_bytes"] == 4 * sum(p.numel() for p in model.parameters())
    assert 128 < base["tokens"] <= 256
    trained = memory.trained(context, adapters=3, batch=2, rank=4, tokens_at_once=256)
    bank = AdapterBank(model, 3, rank=4, alpha=8.0)
    assert trained["adapter_bytes"] == 3 * 4 * sum(p.numel() for p in bank.parameters())
    assert base["peak_bytes"] > base["base_bytes"]
    off = memory.trained(context, adapters=3, batch=2, rank=4, tokens_at_once=256, offload=True)
    measured = dict.fromkeys(("seconds", "peak_bytes", "kept_bytes"), 0)
    assert {**off, **measured} == {**trained, **measured}
    assert base["base_bytes"] < trained["kept_bytes"] <= trained["peak_bytes"]


def test_the_gemm_share_is_over_the_rate_meanwhile(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemm, "_SIZES", {"cpu": (128, 512)})
    report = gemm.ours(context, adapters=2, pairs=8, rank=4, seconds=0.05)
    model = load_model(context.model, dtype="float32", device="cpu").model
    supervised = sum(
        label >= 0 for own in training.rendered(context.load(), 2, 8) for one in own for label in one["labels"]
    )
    head_at_most = flops.training(model, report["tokens_computed"], 3 * supervised)
    assert flops.training(model, report["tokens_computed"], 0) < report["flop"] <= head_at_most
    meanwhile, best = report["gemm"]["float32"], report["gemm_best"]["float32"]
    assert 1e9 < meanwhile <= best < 1e15
    for number in ("float32", "bfloat16"):
        assert report["share"][number] == pytest.approx(report["flop"] / report["seconds"] / report["gemm"][number])


def test_every_optimisation_of_a_plan_is_left_out_in_turn(context: Context) -> None:
    work_ = {"adapters": 2, "rank": 4, "rounds": 2, "completions": 2, "questions": 1}
    found = tricks.measure(context, without=[*tricks.PLAN, tricks.PLAIN], **work_)["per_token"]
    assert list(found) == [tricks.ALL, "shared_inputs", "shortcuts", "separate_parts", tricks.PLAIN]
    assert all(list(own) == ["train", "score", "decode"] for own in found.values())
    spent = [times for own in found.values() for kind in own.values() for times in kind]
    assert len(spent) == 5 * 3 * 2
    assert all(seconds > 0 for times in spent for seconds in times)
    assert list(tricks.measure(context, **work_)["per_token"]) == [tricks.ALL]


# Time, memory, tables


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the mark can be set back on Linux only")
def test_the_high_water_mark_is_that_of_the_stretch() -> None:
    held = pages(300)
    before = highwater.peak_bytes()
    held.close()
    highwater.reset()
    low = highwater.peak_bytes()
    assert low < before - 250 * 2**20
    pages(100).close()
    assert low + 90 * 2**20 < highwater.peak_bytes() < before


def pages(mebibytes: int) -> mmap.mmap:
    """So much resident memory, which goes back to the kernel when closed, in spite of the allocator."""
    held = mmap.mmap(-1, mebibytes * 2**20)
    held.write(b"1" * len(held))
    return held


def side(name: str, **more: Any) -> Side:
    return Side(name=name, job="about.describe", args={}, **more)


def test_rows_are_medians_of_paired_ratios_and_say_what_was_extrapolated() -> None:
    def runs(*spent: float) -> list[dict[str, Any]]:
        return [{"seconds": one, "tokens": 100, "peak_bytes": 2**30} for one in spent]

    outcome = Outcome(runs={OURS: runs(1.0, 2.0, 4.0), "slow": runs(1.5, 3.0, 2.0), "gone": []})
    outcome.missing["gone"] = "not installed: pip install gone"
    sides = [side(OURS, peer=False), side("slow", share=0.25, target=5.0), side("gone", target=2.0)]
    part = Part(name="p", title="p")
    add_sides(part, sides, outcome)
    faster = part.figures["sides"]["slow"]["faster"]
    assert faster == {"median": 6.0, "low": 2.0, "high": 6.0}
    assert part.figures["sides"]["slow"]["seconds"] == 8.0
    assert part.figures["sides"][OURS]["tokens_per_second"] == 50.0
    assert part.checks == {"slow: at least 5 times": True}
    assert [row[0] for row in part.rows] == [OURS, "slow", "gone"]
    assert part.rows[1][1] == "0.25"
    assert set(part.rows[2][1:]) == {"–"}
    assert "gone: not installed: pip install gone" in part.notes
    assert any("extrapolated" in note for note in part.notes)


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"scale": 0.0}, {"scale": 1.5}, {"peer_share": -1.0}, {"rank": 0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        BenchSettings(**wrong)


@pytest.fixture
def quick(tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(Bench, "__init__", _without_describing)
    settings = BenchSettings(model=str(tiny_model_dir), dtype="float32", device="cpu", runs=1)
    yield Bench(settings, Display(), tmp_path / "bench.runs.jsonl")


def _without_describing(self: Bench, settings: BenchSettings, show: Display, runs: Path) -> None:
    self.settings, self.show, self.runs = settings, show, runs


def test_a_peer_that_fails_or_is_missing_is_reported_and_ours_is_needed(quick: Bench) -> None:
    ours = side(OURS, peer=False)
    absent = side("absent", python=ROOT / "no-such-python", script="external/vllm_decode.py", install="pip install it")
    outcome = quick.compare("p", [ours, Side(name="broken", job="about.nonsense", args={}), absent])
    assert len(outcome.runs[OURS]) == 1
    assert outcome.missing["absent"] == "not installed: pip install it"
    assert "AttributeError" in outcome.missing["broken"]
    with pytest.raises(JobFailed, match="TypeError"):
        quick.compare("p", [Side(name=OURS, peer=False, job="about.describe", args={"nonsense": 1})])
    assert quick.runs is not None
    assert [json.loads(line)["run"] for line in quick.runs.read_text().splitlines()] == ["p ours 1/1"]


@pytest.mark.parametrize(
    ("share", "count", "generate", "paged"),
    [(1.0, 1000, (1.0, 128), (1.0, 64)), (0.064, 1000, (0.128, 128), (0.064, 64)), (0.5, 20, (0.8, 16), (0.8, 16))],
)
def test_a_share_of_the_work_leaves_every_batch_size_its_whole_batches(
    quick: Bench, share: float, count: int, generate: tuple[float, int], paged: tuple[float, int]
) -> None:
    quick.settings, quick.about = dataclasses.replace(quick.settings, peer_share=share), {"device": "cpu"}
    sides = {one.name: one for one in decoding._sides(quick, count, Path("prompts.json"))}
    for name, expected in (("generate", generate), ("generate_batch", paged)):
        assert (sides[name].share, max(sides[name].sizes)) == expected
        assert sides[name].args["count"] == round(expected[0] * count)


@pytest.mark.parametrize("job", ["train", "decode"])
def test_the_profile_shows_what_the_products_take(
    job: str, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [job, "--model", str(tiny_model_dir), "--rows", "4", "--dtype", "float32", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["profile", *options, "--top", "99"])
    profile.main()
    said = capsys.readouterr().out
    assert f"float32 on cpu, {torch.get_num_threads()} threads: {job}, " in said
    assert any(line.startswith("aten::mm ") and int(line.split()[-1]) >= 0 for line in said.splitlines())
    assert ("_GroupFunctionBackward" in said) == (job == "train")


def test_the_command_prints_a_table_and_writes_every_run(tiny_model_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    arguments = f"choice --model {tiny_model_dir} --dtype float32 --device cpu --runs 1 --adapters 2 --rank 4"
    command = [sys.executable, "-m", "benchmarks", *arguments.split(), "--scale", "0.02", "--peers", "per-option"]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    done = subprocess.run(
        [*command, "--out", str(out)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "choice: 8 questions x 4 choices in context, 2 adapters of rank 4" in done.stdout
    assert "SCALE 0.02" in done.stdout
    assert "holds: per-option: log-likelihoods of 32 options within 0.001" in done.stdout
    record = json.loads(out.read_text())
    assert record["dtype"] == "float32"
    assert record["settings"]["peers"] == ["per-option"]
    measured = record["parts"]["choice"]
    assert set(measured["runs"]) == {OURS, "per-option"}
    assert measured["runs"][OURS][0]["seconds"] > 0
    assert str(measured["searches"]["per-option"]["best"]) in measured["searches"]["per-option"]["tried"]
    assert measured["difference"]["per-option"]["largest"] < 1e-3
    kept = [json.loads(line) for line in (tmp_path / "bench.runs.jsonl").read_text().splitlines()]
    searched = "choice per-option: looking for the best batch"
    assert [one["run"] for one in kept[-3:]] == ["choice ours 1/1", searched, "choice per-option 1/1"]
    del kept[-1]["result"]["likelihoods"]  # compared, and left out of the results
    assert kept[-1]["result"] == measured["runs"]["per-option"][0]
