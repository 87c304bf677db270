"""Who answered, and from what: routes and names, and results that are never read for other inputs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import sys2ft
from sys2ft.errors import ModelError, NewsError, SettingsError
from sys2ft.evaluation import Subject, graders
from sys2ft.evaluation.controls import other_adapters
from sys2ft.evaluation.probes import Route
from sys2ft.job import evaluate_stage, generate_stage, open_run, train_stage
from sys2ft.models import LoadedModel
from sys2ft.news import News, news_from_dict, read_news
from sys2ft.replay import parsers, stages
from sys2ft.replay.prompts import parse_template
from sys2ft.replay.protocols import protocol, registry
from sys2ft.runs import Display, Run, read_json, read_jsonl, write_jsonl
from sys2ft.training import AdapterJob, TrainItem
from talking import NEWS, write_news_file

GENERATE = sys2ft.GenerateSettings(
    protocols=("paraphrase",), samples_per_news=2, max_new_tokens=24, rows_at_once=8, checks=("none",)
)
TRAIN = sys2ft.TrainSettings(adapters="per-news", epochs=1, rank=2, alpha=4)
EVALUATE = sys2ft.EvaluateSettings(scorings=("cloze", "direct"), direct_tokens=6)


def stage(folder: Path, model: LoadedModel, news: list[News], train: sys2ft.TrainSettings = TRAIN) -> Run:
    run = open_run(folder, model, news, seed=1)
    generate_stage(run, model, GENERATE, Display())
    train_stage(run, model, train, Display())
    evaluate_stage(run, model, EVALUATE, Display())
    return run


def written(folder: Path) -> dict[str, int]:
    """The units and adapters in a folder, with the time at which each was written."""
    files = (f for p in ("**/*.units/*.json", "adapters/*/*/*.safetensors") for f in folder.glob(p))
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in files}


def test_every_news_item_asks_its_own_adapter(model: LoadedModel, tmp_path: Path) -> None:
    rows = [{**row, "id": name} for row, name in zip(NEWS, ("joint", "base", "default"), strict=True)]
    news = read_news(write_news_file(tmp_path / "news.jsonl", rows))
    run = stage(tmp_path / "run", model, news)
    own = read_jsonl(run.path / "predictions" / "paraphrase.jsonl")
    assert own and all(row["adapter"] == row["news_id"] for row in own)
    other = read_jsonl(run.path / "controls" / "other_adapter" / "paraphrase.jsonl")
    assert other and all(row["adapter"] != row["news_id"] for row in other)

    together = stage(tmp_path / "all", model, news, sys2ft.TrainSettings(epochs=1, rank=2, alpha=4, adapters="joint"))
    assert {row["adapter"] for row in read_jsonl(together.path / "predictions" / "paraphrase.jsonl")} == {"joint"}
    assert not (together.path / "controls" / "other_adapter").exists(), "one adapter for all has no other"


def test_the_other_adapter_is_one_of_the_same_domain_where_there_is_one() -> None:
    news = [News(id=name, text="x", domain=domain) for name, domain in (("a", "p"), ("b", "q"), ("c", "p"), ("d", "r"))]
    routes = {"a": Route(0, "a"), "b": Route(1, "b"), "c": Route(2, "c"), "d": Route()}
    asked, others = other_adapters(news, routes)
    assert [one.id for one in asked] == ["a", "b", "c"], "the base answers the questions of d"
    assert {name: route.adapter for name, route in others.items()} == {"a": "c", "b": "c", "c": "a"}
    assert other_adapters(news[:1], routes) == ([], {})


def test_answers_of_adapters_that_are_gone_are_gone(model: LoadedModel, tmp_path: Path) -> None:
    news = read_news(write_news_file(tmp_path / "news.jsonl"))
    run = stage(tmp_path / "run", model, news)
    answers = [run.path / folder / "paraphrase.jsonl" for folder in ("predictions", "controls/other_adapter")]
    assert all(file.is_file() for file in answers)
    elements = read_jsonl(run.path / "replay" / "paraphrase.jsonl")
    first = next(row["news_id"] for row in elements if row["status"] == "kept")
    rows = [row if row["news_id"] == first else {**row, "status": "unparsed"} for row in elements]
    write_jsonl(run.path / "replay" / "paraphrase.jsonl", rows)

    settings = sys2ft.EvaluateSettings(scorings=("cloze",))
    with pytest.raises(SettingsError, match="the replay elements of paraphrase are not those that its adapters"):
        evaluate_stage(run, model, settings, Display())
    train_stage(run, model, sys2ft.TrainSettings(**run.record["settings"]["train"]), Display())
    assert not any(file.exists() for file in answers), "answers of the adapters of before"
    evaluate_stage(run, model, sys2ft.EvaluateSettings(**run.record["settings"]["evaluate"]), Display())
    assert [file.exists() for file in answers] == [True, False], "one adapter has no other"


def test_controls_can_be_added_and_taken_away_later(model: LoadedModel, tmp_path: Path) -> None:
    news = read_news(write_news_file(tmp_path / "news.jsonl"))
    run = stage(tmp_path / "run", model, news)
    before = {file: file.read_bytes() for file in run.path.glob("predictions/*.jsonl")}
    control = run.path / "controls" / "other_adapter" / "paraphrase.jsonl"
    held = sys2ft.EvaluateSettings(**run.record["settings"]["evaluate"])
    answers, units = control.read_bytes(), written(run.path)
    evaluate_stage(run, model, replace(held, controls=("none",)), Display())
    assert not control.exists() and read_json(run.path / "run.json")["settings"]["evaluate"]["controls"] == ["none"]
    evaluate_stage(run, model, held, Display())
    assert control.read_bytes() == answers
    assert written(run.path) == units, "nothing was asked again"
    assert {file: file.read_bytes() for file in run.path.glob("predictions/*.jsonl")} == before
    with pytest.raises(SettingsError, match="direct_tokens"):
        evaluate_stage(run, model, replace(held, direct_tokens=9), Display())


def test_an_adapter_whose_last_step_destroyed_it_is_named(model: LoadedModel, tmp_path: Path) -> None:
    """With one step an adapter has no later loss that would show it."""
    news = read_news(write_news_file(tmp_path / "news.jsonl"))
    wild = sys2ft.TrainSettings(
        epochs=1, rank=2, alpha=4, learning_rate=1e38, max_grad_norm=1e30, target_modules=["q_proj", "v_proj"]
    )  # type: ignore[arg-type] # a list, as a user may write it
    with pytest.raises(ModelError, match=r"the adapter \w+ of paraphrase gives log-likelihoods of nan"):
        stage(tmp_path / "run", model, news, wild)


def test_the_other_adapters_of_many_news_items_are_found_in_a_moment() -> None:
    news = [News(id=f"n{number}", text="x", domain=str(number % 3)) for number in range(20_000)]
    routes = {one.id: Route(slot, one.id) for slot, one in enumerate(news)}
    begun = time.perf_counter()
    asked, others = other_adapters(news, routes)
    assert time.perf_counter() - begun < 2, "linear in the number of news items"
    assert len(asked) == 20_000 and others["n0"].adapter == "n3" and others["n19999"].adapter == "n1"


BAD_NAMES = ["../../x", "a/b", "a\\b", ".hidden", "", "nul", "COM1.txt", "ends.", "x" * 65, "naïve", "two words"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_become_files_are_checked(name: str) -> None:
    with pytest.raises(SettingsError):
        stages.Protocol(name=name, version=1, cues=("Say it.",))
    with pytest.raises(SettingsError):
        Subject(name=name)
    item = TrainItem(adapter=name, prompt=(), completion="x")
    with pytest.raises(SettingsError):
        AdapterJob(name=name, items=(item,), settings=TRAIN)
    with pytest.raises(NewsError):
        news_from_dict({"id": name, "news": "x"})


@pytest.mark.parametrize("name", ["base", "joint", "withheld", "Base"])
def test_a_protocol_cannot_have_a_name_that_a_run_folder_uses(name: str) -> None:
    with pytest.raises(SettingsError, match="run folder"):
        stages.Protocol(name=name, version=1, cues=("Say it.",))


def test_two_protocols_of_one_name_are_refused(model: LoadedModel) -> None:
    with pytest.raises(SettingsError, match="differ only in case"):
        sys2ft.GenerateSettings(protocols=("naive", "Naive"))
    twice = [stages.Protocol(name=name, version=1, cues=("Say it.",)) for name in ("one", "One")]
    with pytest.raises(SettingsError, match="a name of its own"):
        sys2ft.generate(model, [News(id="a", text="x")], GENERATE, protocols=twice)


TEMPLATE = "## user\n{news}\n{instruction}\n## instructions\n%s\n"


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Fields to replace in the stage of `paraphrase`; the protocol is made anew each time that it is asked for."""
    fields: dict[str, Any] = {"filters": ()}

    def paraphrase() -> stages.Protocol:
        given = {"template": parse_template(TEMPLATE % "Say it anew.", "t"), "parser": parsers.one_paragraph}
        own = {"version": fields.get("version", 1), "cues": fields.get("cues", ("What is new?",))}
        stage_fields = {key: value for key, value in fields.items() if key not in own}
        return stages.Protocol(name="paraphrase", stages=(stages.Stage(name="ask", **given | stage_fields),), **own)

    monkeypatch.setitem(registry.BUNDLED, "paraphrase", paraphrase)
    yield fields


def no_capitals(text: str) -> str:
    return text.strip().lower()


def rejects_paris(said: Any) -> str | None:
    return "paris" if "Paris" in said.text else None


@pytest.mark.parametrize(
    ("change", "generates"),
    [
        ({"template": parse_template(TEMPLATE % "Say it in other words.", "t")}, True),
        ({"stops": (".",)}, True),
        ({"version": 2}, True),
        ({"cues": ("What has happened?",)}, True),
        ({"parser": no_capitals}, True),
        ({"filters": (rejects_paris,)}, True),
    ],
    ids=["prompt", "stops", "version", "cues", "parser", "filter"],
)
def test_a_folder_never_mixes_the_results_of_two_protocols(
    change: dict[str, Any], generates: bool, changed: dict[str, Any], model: LoadedModel, tmp_path: Path
) -> None:
    news = [news_from_dict(row) for row in NEWS[:2]]
    stage(tmp_path / "run", model, news)
    before = written(tmp_path / "run")
    stage(tmp_path / "run", model, news)
    assert written(tmp_path / "run") == before, "nothing has changed, and nothing is computed again"

    changed |= change
    run = stage(tmp_path / "run", model, news)
    fresh = stage(tmp_path / "fresh", model, news)
    for name in ("replay/paraphrase.jsonl", "training/paraphrase.jsonl", "predictions/paraphrase.jsonl"):
        assert (run.path / name).read_bytes() == (fresh.path / name).read_bytes(), name
    assert {p.name: p.read_bytes() for p in run.path.glob("adapters/*/*/*.safetensors")} == {
        p.name: p.read_bytes() for p in fresh.path.glob("adapters/*/*/*.safetensors")
    }
    new = written(tmp_path / "run").keys() - before.keys()
    assert any(name.startswith("replay/paraphrase.units") for name in new) is generates
    assert not [name for name in new if name.startswith("predictions/base.units")], "the base is not asked again"
    digests = {row["provenance"]["protocol_digest"] for row in read_jsonl(run.path / "replay" / "paraphrase.jsonl")}
    assert digests == {protocol("paraphrase").digest}


def test_answers_are_graded_again_after_the_graders_changed(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    news = [news_from_dict(row) for row in NEWS[:2]]
    run = stage(tmp_path / "run", model, news)
    before = written(run.path)
    monkeypatch.setattr(graders, "identity", lambda names: "others")
    monkeypatch.setitem(graders.GRADERS, "alias", lambda said, question: graders.Grade(True, "all is right"))
    stage(tmp_path / "run", model, news)
    new = written(run.path).keys() - before.keys()
    assert new and all("/direct-" in name for name in new), "choices are not graded by a grader"
    rows = [row for row in read_jsonl(run.path / "predictions" / "base.jsonl") if row["grader"] == "alias"]
    assert rows and all(row["why"].startswith("all is right") for row in rows)


def test_controls_are_asked_before_and_after(model: LoadedModel, tmp_path: Path) -> None:
    more = {
        "cloze": {"statement": "The new capital is", "answer": "Paris", "choices": ["Rome", "Paris"]},
        "neighbours": [{"question": "What is a town?", "answer": "a place", "choices": ["a place", "a system"]}],
    }
    rows = [{**NEWS[0], **more}, NEWS[1]]
    rows[0]["questions"] = [{**rows[0]["questions"][0], "rephrased": "Which is the capital?"}]
    news = [news_from_dict(row) for row in rows]
    run = stage(tmp_path / "run", model, news)
    asked = {
        (folder.name, subject): [(row["asked"], row["condition"]) for row in read_jsonl(folder / f"{subject}.jsonl")]
        for folder in (run.path / "controls").iterdir()
        for subject in ("base", "paraphrase")
        if (folder / f"{subject}.jsonl").is_file()
    }
    for subject in ("base", "paraphrase"):
        assert asked["neighbours", subject] == [("What is a town?", "closed_book")]
        assert asked["rephrased", subject] == [("Which is the capital?", "closed_book")]
        assert asked["statements", subject] == [("The new capital is", "closed_book")]
    assert ("other_adapter", "base") not in asked
    assert read_json(run.path / "run.json")["settings"]["evaluate"]["controls"] == list(EVALUATE.controls)

    none = open_run(tmp_path / "none", model, news, seed=1)
    generate_stage(none, model, GENERATE, Display())
    train_stage(none, model, TRAIN, Display())
    evaluate_stage(none, model, sys2ft.EvaluateSettings(scorings=("cloze",), controls=("none",)), Display())
    assert not (none.path / "controls").exists()


@pytest.mark.parametrize("controls", [(), ("none", "neighbours"), ("neighbours", "neighbours")])
def test_controls_that_contradict_each_other_are_refused(controls: Any) -> None:
    with pytest.raises(SettingsError, match="controls"):
        sys2ft.EvaluateSettings(controls=controls)


def test_a_folder_of_another_version_is_told(tmp_path: Path) -> None:
    """A setting that this version lacks, or has beyond those recorded, has no value that is right."""
    held = asdict(TRAIN)
    for name, recorded in (("min_support", {**held, "min_support": -1.5}), ("strength", dict(held))):
        if name == "strength":
            del recorded[name]
        run = Run.open(tmp_path / name, {"seed": 0})
        run.stage("train", recorded)
        with pytest.raises(SettingsError, match=rf"another version of sys2ft: they differ in {name}"):
            run.settings("train", sys2ft.TrainSettings)
