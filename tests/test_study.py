"""`sys2ft represent` end to end on a tiny model: files, resuming after an interruption, and refused settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sys2ft
from displays import StopAt
from sys2ft.cli.main import call
from sys2ft.errors import SettingsError
from sys2ft.models import load_model
from sys2ft.representations import LEARN_GENERATE, LEARN_TRAIN
from sys2ft.representations.analyses.transitions import FEWEST_WALKS
from sys2ft.runs import read_json
from test_job import without_seconds

# Small but complete: two graphs, six walks, probes, two placements learnt in weights.
pytestmark = pytest.mark.slow

FLAGS = [
    "--graph",
    "grid:2x3",
    "days",
    "--context",
    "60",
    "--window",
    "20",
    "--walks",
    "6",
    "--probe-walks",
    "2",
    "--probe-context",
    "40",
    "--moves",
    "4",
    "--heads",
    "2",
    "--learn",
    "2",
    "--samples-per-news",
    "2",
    "--epochs",
    "2",
    "--rank",
    "4",
    "--alpha",
    "8",
    "--learning-rate",
    "5e-3",
    "--checkpoint-seconds",
    "0",
    "--dtype",
    "float32",
    "--device",
    "cpu",
    "--chunk",
    "64",
]


def settings(**changes: Any) -> sys2ft.RepresentSettings:
    given = {"graph": ("ring:5",), "context": 30, "window": 15, "walks": 3, "probe_walks": 1, "moves": 3, "heads": 2}
    return sys2ft.RepresentSettings(**({**given, "probe_context": 20} | changes))


@pytest.fixture(scope="module")
def model(tracing_model_dir: Callable[[str], Path]) -> sys2ft.LoadedModel:
    return load_model(str(tracing_model_dir("llama")), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tracing_model_dir: Callable[[str], Path]) -> Path:
    """A study run from the command line, with a reference curve."""
    folder = tmp_path_factory.mktemp("study")
    curve = {"model": "elsewhere", "context_length": [1, 10, 60], "accuracy": [0.0, 0.5, 0.9]}
    (folder / "curve.json").write_text(json.dumps(curve))
    where = ["--model", str(tracing_model_dir("llama")), "--out", str(folder / "run")]
    assert call(["represent", *where, "--reference", str(folder / "curve.json"), *FLAGS]) == 0
    return folder / "run"


def test_a_study_writes_all_files_and_results(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = read_json(done / "results.json")
    assert results["missing"] == []
    assert results["reference"]["model"] == "elsewhere"
    assert [graph["name"] for graph in results["graphs"]] == ["grid:2x3", "days"]
    assert results["layers"] == [0, 1, 2]
    assert results["lengths"][0] == 4
    assert results["lengths"][-1] == 60
    for graph in results["graphs"]:
        assert graph["walks"] == 6
        assert {"none", "induction", "previous token", "random"} <= set(graph["heads_off"])
        assert len(graph["moves"]) == 4 * 3, "four shifts at each of three depths"
        assert graph["weights"]["placements"] == 2
        assert set(graph["weights"]["contexts"]) == {
            "base-graph-0", "base-random-0", "base-random-1", "learnt-random-1", "learnt-graph-0"
        }  # fmt: skip
        assert graph["curves"]["accuracy"]["n"][-1] == 6
        assert len(graph["energy_by_layer"]) == 3
    with np.load(done / "results.npz") as arrays:
        assert arrays["grid-2x3/energy_LC"].shape == (3, len(results["lengths"]))
        assert np.isfinite(arrays["days/distances_LCP"][:, -1]).all()
    page = (done / "report.html").read_text(encoding="utf-8")
    for part in ("elsewhere", "Learnt in weights", "Prefix matching", "Provenance", "grid:2x3: 6 nodes, 7 edges"):
        assert part in page
    assert call(["report", str(done)]) == 0
    said = capsys.readouterr().out
    assert "the energy falls as the context grows" in said
    assert f"report    {done / 'report.html'}" in said


def test_the_edges_are_learnt_in_weights(done: Path) -> None:
    place = done / "represent" / "grid-2x3" / "learn"
    for name in ("grid-2x3-00", "grid-2x3-01"):
        assert (place / "adapters" / name / "adapter_model.safetensors").is_file()
        for subject in ("base", "learnt"):
            rows = [json.loads(line) for line in (place / name / f"{subject}.jsonl").read_text().splitlines()]
            assert len(rows) == 7 * 2, "each edge's question, closed book and in context"
    assert len((place / "naive.jsonl").read_text().splitlines()) == 2 * 7 * 2
    curve = [json.loads(line) for line in (place / "training.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in curve if row["adapter"] == "grid-2x3-00"]
    assert losses[-1] < losses[0]
    weights = read_json(done / "results.json")["graphs"][0]["weights"]
    assert weights["contexts"]["learnt-graph-0"]["accuracy"] != weights["contexts"]["base-graph-0"]["accuracy"]
    assert weights["closed_book"]["learnt closed_book"]["n"] == 14


def test_repeating_a_study_measures_nothing_again(done: Path, tracing_model_dir: Callable[[str], Path]) -> None:
    before = {f: f.stat().st_mtime_ns for f in (done / "represent").rglob("*.npz")}
    held = read_json(done / "results.json"), (done / "report.html").read_bytes()
    assert len(before) == 2 * (6 + 2 * 4)
    assert call(["represent", "--model", str(tracing_model_dir("llama")), "--out", str(done), *FLAGS]) == 0
    assert before == {f: f.stat().st_mtime_ns for f in (done / "represent").rglob("*.npz")}
    assert (read_json(done / "results.json"), (done / "report.html").read_bytes()) == held
    again = ["represent", "--model", str(tracing_model_dir("llama")), "--out", str(done), *FLAGS]
    assert call([*again, "--focus", "1"]) == 0
    assert before == {f: f.stat().st_mtime_ns for f in (done / "represent").rglob("*.npz")}
    other = read_json(done / "results.json")
    assert other["focus"] == 1
    assert other["graphs"][0]["ends"]["energy"] != held[0]["graphs"][0]["ends"]["energy"]
    assert other["graphs"][0]["energy_by_layer"] == held[0]["graphs"][0]["energy_by_layer"]
    assert call(again) == 0
    assert read_json(done / "results.json") == held[0]


@pytest.mark.parametrize("units", [1, 3])
def test_an_interrupted_study_gives_the_same_results(model: sys2ft.LoadedModel, tmp_path: Path, units: int) -> None:
    whole = sys2ft.represent(settings(), model=model, out=tmp_path / "whole" / "run", seed=5)
    with pytest.raises(KeyboardInterrupt):
        sys2ft.represent(
            settings(), model=model, out=tmp_path / "cut" / "run", seed=5, show=StopAt(units, KeyboardInterrupt)
        )
    assert not (tmp_path / "cut" / "run" / "results.json").exists()
    again = sys2ft.represent(settings(chunk=64), model=model, out=tmp_path / "cut" / "run", seed=5)
    assert without_seconds({**again.results, "settings": 0}) == without_seconds({**whole.results, "settings": 0})
    for file in sorted((whole.folder / "represent").rglob("*.npz")):
        assert (again.folder / file.relative_to(whole.folder)).read_bytes() == file.read_bytes(), file.name
    other = sys2ft.represent(settings(), model=model, out=tmp_path / "other" / "run", seed=6)
    assert other.results["graphs"][0]["ends"] != whole.results["graphs"][0]["ends"]
    with pytest.raises(SettingsError, match=r"walks: the folder has 3, requested: 4"):
        sys2ft.represent(settings(walks=4), model=model, out=tmp_path / "cut" / "run", seed=5)


def test_few_walks_give_no_intervals_of_breaks(model: sys2ft.LoadedModel, tmp_path: Path) -> None:
    found = sys2ft.represent(settings(walks=FEWEST_WALKS - 1), model=model, out=tmp_path / "run").results
    for graph in found["graphs"]:
        for turn in graph["transitions"].values():
            for kind in ("onset", "saturation"):
                assert not turn or not turn[kind] or turn[kind]["low"] is None


def test_a_model_reads_through_an_adapter(
    done: Path, tracing_model_dir: Callable[[str], Path], tmp_path: Path, model: sys2ft.LoadedModel
) -> None:
    adapter = done / "represent" / "grid-2x3" / "learn" / "adapters" / "grid-2x3-00"
    plain = sys2ft.represent(settings(), model=model, out=tmp_path / "plain")
    tuned = sys2ft.represent(settings(), model=model, adapter=adapter, out=tmp_path / "tuned")
    assert tuned.results["graphs"][0]["ends"] != plain.results["graphs"][0]["ends"]
    assert read_json(tmp_path / "tuned" / "run.json")["identity"]["adapter"]
    with pytest.raises(SettingsError, match="other settings"):
        sys2ft.represent(settings(), model=model, out=tmp_path / "tuned")
    again = sys2ft.represent(settings(), model=model, out=tmp_path / "again")
    assert without_seconds(again.results["graphs"]) == without_seconds(plain.results["graphs"]), "no hook was left"


def test_the_defaults_of_learning_are_joint() -> None:
    assert LEARN_GENERATE.protocols == ("naive",)
    assert LEARN_TRAIN.adapters == "joint"


@dataclass(frozen=True)
class Mistake:
    """Invalid flags, and the required parts of the error message."""

    flags: str
    said: tuple[str, ...]


MISTAKES = [
    Mistake("--graph parts.txt", ("is not connected: it falls into parts of 2, 2 nodes", "add edges")),
    Mistake("--graph grid:2x2x2", ("graph 'grid:2x2x2'", "grid:ROWSxCOLUMNS", "correct --graph")),
    Mistake("--graph ring:5 ring:5", ("graph ['ring:5', 'ring:5']", "each once")),
    Mistake("--graph a/same.txt b/same.txt", ("two graphs of the same name",)),
    Mistake("--words apple bird whale car egg house", ("'whale' is ", "keeps whole", "use other words")),
    Mistake("--words apple bird", ("the graph has 5 nodes", "name more words with --words")),
    Mistake("--graph grid:7x7", ("the graph has 49 nodes", "a word for each node")),
    Mistake("--window 90", ("a window of 90 words over a context of 60", "no longer than the context")),
    Mistake("--context 2100", ("2100 words, 2101 tokens", "no more than the 2048 tokens", "lower --context")),
    Mistake("--context 1400 --form pairs", ("a context of 1400 words, 2101 tokens",)),
    Mistake("--lengths 10 90", ("context lengths [90]", "correct --lengths")),
    Mistake("--layers 0 7", ("layer 7 of a model of 2 layers", "0 (embeddings) to 2")),
    Mistake("--focus 3", ("layer 3 of a model of 2 layers",)),
    Mistake("--layers 0 1", ("layer 2 is to be shown, and is not among the layers measured", "set --focus")),
    Mistake("--dimensions 4", ("4 dimensions of graph ring:5, which has 5 nodes",)),
    Mistake("--walks 0", ("walks=0", "at least 1")),
    Mistake("--massive 0.5", ("massive=0.5", "more than 1, or 0")),
    Mistake("--walks 1 --probe-walks -1 --layers 7", ("layer 7 of a model of 2 layers",)),  # all walks are probed
    Mistake("--probe-walks -2", ("probe_walks=-2", "at least 0")),
    Mistake("--probe-walks 9", ("probe_walks=9 of 3 walks", "lower --probe-walks")),
    Mistake("--learn 1 --adapters per-news", ("adapters='per-news' for placements that are learnt",)),
    Mistake("--learn 1 --protocols unheard", ("unknown protocol 'unheard'",)),
    Mistake("--learn 1 --adapter here", ("placements are to be learnt over a model that reads through an adapter",)),
    Mistake("--adapter here", ("here cannot be read as an adapter", "a PEFT LoRA folder")),
    Mistake("--reference nothing.json", ("nothing.json cannot be read as a reference curve", "context_length")),
    Mistake("--reference uneven.json", ("2 lengths and 1 accuracies",)),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.flags)
def test_mistakes_are_reported_before_any_work(
    mistake: Mistake,
    tracing_model_dir: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("parts.txt").write_text("a b\nc d\n")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same.txt").write_text("a b\nb c\nc d\n")
    Path("uneven.json").write_text('{"model": "m", "context_length": [1, 2], "accuracy": [0.5]}')
    flags = ["--model", str(tracing_model_dir("llama")), "--out", "run", "--dtype", "float32", "--device", "cpu"]
    flags += ["--context", "60", "--window", "20", "--walks", "3", "--probe-walks", "0"]
    given = mistake.flags.split()
    if "--graph" not in given:
        flags += ["--graph", "ring:5"]
    try:
        code = call(["represent", *flags, *given])
    except SystemExit as parsing:  # a setting that is invalid in itself is reported by the parser
        code = parsing.code
    assert code == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    for part in mistake.said:
        assert part in said, said
    assert "expected:" in said or "Parsing error" in said
    assert not Path("run").exists()
