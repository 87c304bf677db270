"""Studies: reading them, their cells, running and resuming, what they compare, and what the command says."""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from displays import Interrupted, StopAt
from sys2ft.cli.main import call
from sys2ft.cli.study import with_action
from sys2ft.errors import MemoryShortage, SettingsError, StorageError
from sys2ft.evaluation import Questions, evaluate, graders
from sys2ft.files import read_json, read_jsonl, write_json, write_jsonl
from sys2ft.ledger import Ledger, UpdateSettings
from sys2ft.models import load_model
from sys2ft.news import News, Question
from sys2ft.replay import ReplayElement
from sys2ft.runs import Display
from sys2ft.studies import (
    Options,
    Store,
    Study,
    changed,
    load_study,
    outlook,
    parse_study,
    results,
    run_study,
    sentences,
    study_names,
)
from sys2ft.studies.cells import spread
from sys2ft.studies.figures import figure_of
from sys2ft.studies.gathered import gather
from sys2ft.studies.labels import asked_for
from sys2ft.studies.measures import exchanged
from sys2ft.studies.options import checked
from sys2ft.studies.page import table_of, write_results
from sys2ft.studies.phases import order_of_training, phase_of
from sys2ft.studies.running import Runner
from sys2ft.studies.samples import samples_of, written_elements
from sys2ft.studies.spec import Compare
from sys2ft.studies.study import write_record
from sys2ft.studies.words import caption, place_title
from sys2ft.training.loop import _Trainer
from sys2ft.training.schedule import split

GRID = """
name: grid
asks: Which is it?
models: [{model}]
news: {news}
seeds: [0, 1]
settings: {{samples_per_news: 4, adapters: per-news, rank: 2, epochs: 1, batch_size: 2}}
vary:
  protocol: [naive, cloze]
measures: [closed_book, in_context, loss]
steps: [1]
compare: {{axis: protocol, to: naive}}
"""


@pytest.fixture(scope="module")
def grid(talking_model_dir: Path, news_file: Path) -> Study:
    return parse_study(GRID.format(model=talking_model_dir, news=news_file), "grid.yaml")


@pytest.fixture(scope="module")
def finished(grid: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the grid, run in one go."""
    folder = tmp_path_factory.mktemp("study") / "whole"
    assert not run_study(grid, folder).failures
    return folder


@pytest.fixture
def computes_nothing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("_train", "_generate", "ask_base"):
        monkeypatch.setattr(Runner, name, lambda *given, name=name: pytest.fail(f"{name} is called"))
    yield


def rows(folder: Path) -> dict[str, Any]:
    """What every cell of a folder found, without the seconds."""
    return {file.name: read_json(file)["rows"] + read_json(file)["points"] for file in (folder / "cells").iterdir()}


# Reading


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nasks: y\nsetings: {}", "'setings' is not a field of a study.*did you mean settings"),
        ("name: x\nasks: y\nsettings: {epoch: 3}", "settings: epoch is not an option.*did you mean epochs"),
        ("name: x\nasks: y\nsettings: {epochs: many}", "epochs: 'many'"),
        ("name: x\nasks: y\nvary: {shown: [everything]}", "shown: 'everything'.*nothing"),
        ("name: x\nasks: y\nvary: {protocol: []}", "protocol: \\[\\].*a list of values"),
        ("name: x", "no asks"),
        ("asks: x", "no name"),
        ("name: x\nasks: y\nmeasures: [accuracy]", "measures: accuracy.*closed_book"),
        ("name: x\nasks: y\ncompare: {axis: protocol}", "axis 'protocol'.*one of model"),
        ("name: x\nasks: y\nvary: {protocol: [naive]}\ncompare: {axis: protocol, to: cloze}", "to 'cloze'"),
        (
            "name: x\nasks: y\ncompare: {measure: neighbours}",
            "measure 'neighbours'.*a measure of the study: closed_book",
        ),
        ("name: x\nasks: y\nfigure: {kind: pie}", "kind 'pie'.*one of dots"),
        ("name: x\nasks: y\nfigure: {kind: curve}", "a curve has no x"),
        ("name: x\nasks: y\nfigure: {colour: red}", "colour.*kind, x, series"),
        ("name: x\nasks: y\nwithout: [{protocol: naive}]", "protocol=naive.*an axis: model, seed"),
        ("name: x\nasks: y\nseeds: [one]", "seeds.*'one'"),
        ("name: a/b\nasks: y", "its name"),
        ("name: x\nasks: y\nsmall: {take: 3, stps: [1]}", "small: 'stps' is not a field.*did you mean steps"),
        ("- 1\n- 2", "has no fields"),
        ("name: [x", "cannot be read as YAML, line 1"),
        ("name: x\nasks: y\nvary: {seed: [1]}", "use `models`, `seeds`"),
        ("name: x\nasks: y\nmodels: [a/m, b/m]", "several are called m"),
        ("name: x\nasks: y\nvary: {learning_rate: [1e-3, 0.001]}", "0.001 is there twice"),
        (
            "name: x\nasks: y\nvary: {protocol: [naive]}\nfigure: {kind: curve, x: protocol}",
            "x 'protocol' of a curve.*one of step",
        ),
        (
            "name: x\nasks: y\nvary: {protocol: [naive]}\nfigure: {kind: scaling, x: flop}",
            "an axis whose values are num",
        ),
        ("name: x\nasks: y\nvary: {protocol: [naive]}\nfigure: {kind: grid, x: protocol}", "a grid of two axes"),
        ("name: x\nasks: y\nfigure: {kind: curve, x: order}", "by order.*the measure seen"),
        (
            "name: x\nasks: y\nmeasures: [rephrased]\nfigure: {measures: rephrased@recall}",
            "a kind only of.*other_adapter",
        ),
    ],
)
def test_a_wrong_study_is_refused_by_one_error(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_study(text, "own.yaml")
    assert re.search(said, str(caught.value).replace("\n", " ")), caught.value
    assert "own.yaml" in str(caught.value) or "study" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"strength": 2.0}, "strength=2.0"),
        ({"updates": 3, "adapters": "per-news"}, "one adapter"),
        ({"updating": "merging"}, "without updates"),
        ({"tokens_per_news": 100, "generator": "elsewhere"}, "budget in tokens_per_news"),
        ({"shown": "news", "layout": "document"}, "prompts of their own"),
        ({"samples_per_news": 3, "flop": 1e9}, "several budgets"),
    ],
)
def test_a_cell_that_cannot_exist_is_named_before_any_work(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    study = Study(name="x", asks="y", settings=settings, seeds=(7,))
    with pytest.raises(SettingsError, match=said) as caught:
        run_study(study, tmp_path / "out")
    assert "seed=7" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_cells_that_are_the_same_are_refused() -> None:
    study = parse_study("name: x\nasks: y\nvary: {a: {one: {}, two: {epochs: 2}}}", "x.yaml")
    with pytest.raises(SettingsError, match=r"cells that are the same.*one"):
        study.cells()


def test_the_grid_has_every_combination_but_those_left_out() -> None:
    text = """
name: x
asks: y
models: [smollm2-135m-instruct, /models/other.gguf]
seeds: [3, 4]
vary:
  protocol: [naive, cloze]
  rate: {low: {learning_rate: 1e-4}, high: {learning_rate: 3}}
without: [{protocol: naive, rate: high}]
"""
    cells = parse_study(text, "x.yaml").cells()
    places = {tuple(cell.at.values()) for cell in cells}
    assert len(cells) == len(places) == 2 * 3 * 2
    assert ("other", "cloze", "high", "4") in places
    assert not any(cell.at["protocol"] == "naive" and cell.at["rate"] == "high" for cell in cells)
    low = next(cell for cell in cells if cell.at["rate"] == "low")
    assert low.train.learning_rate == 1e-4, "YAML reads 1e-4 as a text"
    assert low.generate.protocols == (low.options.protocol,)


def test_changes_replace_fields_and_add_settings() -> None:
    study = parse_study("name: x\nasks: y\nsettings: {epochs: 3}\nsmall: {take: 2, settings: {rank: 4}}", "x.yaml")
    assert study.smaller().settings == {"epochs": 3.0, "rank": 4}
    assert study.smaller().take == 2
    assert changed(study, {"seeds": [5]}, "here").seeds == (5,)
    with pytest.raises(SettingsError, match="no small size"):
        Study(name="x", asks="y").smaller()


def test_a_smaller_grid_leaves_out_what_the_whole_one_does() -> None:
    text = """
name: x
asks: y
models: [a.gguf, b.gguf]
vary: {protocol: [naive, cloze, mixed]}
without: [{model: b, protocol: naive}, {protocol: mixed}]
compare: {measure: closed_book}
small: {vary: {protocol: [naive, cloze]}}
"""
    cells = parse_study(text, "x.yaml").smaller().cells()
    assert [(cell.at["model"], cell.at["protocol"]) for cell in cells] == [
        ("a", "naive"),
        ("a", "cloze"),
        ("b", "cloze"),
    ]


def test_the_comparisons_that_are_adjusted_together() -> None:
    """Of one axis with one of its values, or of every setting with the base: what power and Holm are for."""
    assert {name: load_study(name).compared for name in ("protocols", "retention", "gap", "order")} == {
        "protocols": 4, "retention": 4, "gap": 2, "order": 1,
    }  # fmt: skip


@pytest.mark.parametrize("name", study_names())
def test_a_bundled_study_and_its_small_size_have_cells(name: str) -> None:
    study = load_study(name)
    assert study.name == name and study.asks.endswith("?")
    assert 0 < len(study.smaller().cells()) <= len(study.cells())


def test_a_generator_for_each_model() -> None:
    study = changed(load_study("cross_model"), {"models": ["a.gguf", "b.gguf"], "seeds": [0]}, "here")
    assert {(cell.options.model, cell.generator) for cell in study.cells()} == {
        (one, other) for one in ("a.gguf", "b.gguf") for other in ("a.gguf", "b.gguf")
    }


def test_news_items_are_spread_evenly(news: list[News]) -> None:
    many = [news[0].model_copy(update={"id": str(n)}) for n in range(10)]
    assert [item.id for item in spread(many, 4)] == ["0", "2", "5", "7"]
    assert spread(many, 0) == spread(many, 10) == many


def test_a_new_option_leaves_the_keys_of_cells_as_they_were() -> None:
    """Of the cell's own options only those that are not at their defaults are in the key."""
    (cell,) = Study(name="x", asks="y", settings={"epochs": 2.0}).cells()
    assert cell.definition["options"] == {}
    (other,) = Study(name="x", asks="y", settings={"shown": "news"}).cells()
    assert other.definition["options"] == {"shown": "news"} and other.key != cell.key


def test_values_have_the_type_of_their_option() -> None:
    assert checked("learning_rate", "1e-3", "here") == 1e-3
    assert checked("target_modules", ["q_proj"], "here") == ("q_proj",)
    assert checked("samples_per_news", None, "here") is None


# Samples


def element(news_id: str, number: int) -> ReplayElement:
    return ReplayElement(
        id=f"{news_id}/{number}", news_id=news_id, protocol="cloze", status="kept", reason=None, seed=0,
        prompt=({"role": "user", "content": f"What is {number}?"},), completion=f"It is {number}.",
    )  # fmt: skip


@pytest.fixture
def elements(news: list[News]) -> list[ReplayElement]:
    made = [element(item.id, number) for item in news for number in range(3)]
    return [*made, replace(made[0], status="rejected", reason="copied")]


def prompts(samples: Sequence[ReplayElement]) -> list[str]:
    return [one.prompt[-1]["content"] for one in samples]


def test_what_a_prompt_shows(news: list[News], elements: list[ReplayElement]) -> None:
    first, second = news[:2]
    plain = samples_of(Options(), elements, news, {})
    assert prompts(plain[first.id]) == ["What is 0?", "What is 1?", "What is 2?"], "rejected ones are left out"
    shown = samples_of(Options(shown="news"), elements, news, {})
    assert all(first.text in one and one.index(first.text) < one.index("What is") for one in prompts(shown[first.id]))
    other = samples_of(Options(shown="other"), elements, news, {})
    assert all(second.text in one and first.text not in one for one in prompts(other[first.id]))
    said = samples_of(Options(shown="paraphrase"), elements, news, {first.id: "In other words."})
    assert all("In other words." in one for one in prompts(said[first.id]))
    assert said[second.id] == [], "without a paraphrase there is nothing to show"
    assert [one.completion for one in shown[first.id]] == [one.completion for one in plain[first.id]]
    assert len(samples_of(Options(elements=2), elements, news, {})[first.id]) == 2


def test_a_document_and_its_pieces_have_the_same_words(news: list[News], elements: list[ReplayElement]) -> None:
    (document,) = samples_of(Options(layout="document"), elements, news, {})[news[0].id]
    pieces = samples_of(Options(layout="pieces"), elements, news, {})[news[0].id]
    (abstract,) = samples_of(Options(layout="abstract"), elements, news, {})[news[0].id]
    assert " ".join(one.completion for one in pieces).split() == document.completion.split()
    assert len(pieces) == 4 and pieces[0].completion == abstract.completion == news[0].text
    assert document.completion.startswith(news[0].text), "what gives the rest away comes first"
    assert len({one.prompt[0]["content"] for one in pieces}) > 1
    assert not any("What is 0?" in one for one in prompts(pieces))


def test_texts_that_others_wrote(tmp_path: Path, news: list[News]) -> None:
    file = tmp_path / "written.jsonl"
    file.write_text("".join(f'{{"news_id": "{item.id}", "text": "Of {item.id}."}}\n' for item in news), "utf-8")
    assert [one.completion for one in written_elements(str(file), news)] == [f"Of {item.id}." for item in news]
    file.write_text(file.read_text("utf-8").replace("Of ", "Of\u2028") + "\n", "utf-8")
    assert written_elements(str(file), news)[0].completion == f"Of\u2028{news[0].id}.", (
        "a text may have other line ends"
    )
    file.write_text(f'{{"news_id": "{news[0].id}", "text": "x"}}\n', "utf-8")
    with pytest.raises(SettingsError, match=f"no text about {len(news) - 1} news items, such as {news[1].id}"):
        written_elements(str(file), news)
    with pytest.raises(SettingsError, match="cannot be read"):
        written_elements(str(tmp_path / "none"), news)
    (cell,) = Study(name="x", asks="y", settings={"written": str(tmp_path / "none")}).cells()
    with pytest.raises(SettingsError, match="cannot be read"):  # a cell that fails, not a crash of the study
        Store(tmp_path).key(cell)


def test_facts_are_exchanged_one_at_a_time(news: list[News]) -> None:
    texts = exchanged(news[0])
    assert "The town of Rome is the new capital. In 1984 it had 12 people; {braces} stay." in texts
    assert "The town of Paris is the new capital. In 1984 it had 67 people; {braces} stay." in texts
    assert news[0].text not in texts


def test_only_whole_words_and_numbers_are_exchanged(news: list[News]) -> None:
    choices = {"Al": ("Al", "Bo"), "12": ("12", "35"), "red": ("red", "blue"), "~~": ("~~", "++")}
    asked = tuple(Question(text="What?", answer=own, choices=both) for own, both in choices.items())
    text = "In 2012 Alma met Al, who paid 12.5 of 1,200 for 12 books in a hundred red ~~~ boxes."
    item = news[0].model_copy(update={"text": text, "questions": (*asked, asked[0])})
    assert exchanged(item) == [
        text.replace("Al,", "Bo,"),
        text.replace("12 books", "35 books"),
        text.replace(" red", " blue"),
    ]
    inside = item.model_copy(update={"text": "Alma and Boris paid 12.5 in 2012.", "questions": asked[:1]})
    assert exchanged(inside) == []
    foil = item.model_copy(update={"text": "Al and Boris came.", "questions": asked[:1]})
    assert exchanged(foil) == ["Bo and Boris came."], "a wrong choice within a longer word is not in the text"


# Running


def test_a_study_writes_what_it_found(finished: Path, grid: Study) -> None:
    found = read_json(finished / "results.json")
    assert {row["measure"] for row in found["rows"]} >= {"closed_book", "in_context", "p closed_book", "loss"}
    assert {tuple(row["at"].values())[1] for row in found["rows"]} == {"base", "naive", "cloze"}
    assert {row["score"]["n_seeds"] for row in found["rows"] if row["at"]["protocol"] == "naive"} == {2}
    (contrast,) = found["contrasts"]
    values = {
        row["at"]["protocol"]: row["score"]["estimate"] for row in found["rows"] if row["measure"] == "closed_book"
    }
    assert contrast["difference"]["estimate"] == pytest.approx(values["cloze"] - values["naive"])
    assert [cost["samples"] for cost in found["costs"]] == [12.0, 12.0]
    page = (finished / "study.html").read_text(encoding="utf-8")
    assert "Which is it?" in page and "<svg" in page and "missing" not in page.split("<main>")[1]
    assert (finished / "figure.svg").read_text(encoding="utf-8").startswith("<svg")
    assert "| cloze |" in (finished / "study.md").read_text(encoding="utf-8")
    assert not (finished / "training").exists()


def test_cells_train_together_and_the_base_is_asked_once(
    grid: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sys2ft.studies import running

    trained, asked = [], []
    train, ask = running.train, running.outcomes
    monkeypatch.setattr(running, "train", lambda model, jobs, **how: trained.append(jobs) or train(model, jobs, **how))
    monkeypatch.setattr(running, "outcomes", lambda names, of: asked.append(of) or ask(names, of))
    run_study(grid, tmp_path / "study")
    assert [len({job.group for job in jobs}) for jobs in trained] == [4]
    assert sum(not of.routes for of in asked) == 1


def test_points_on_the_way_are_kept(finished: Path, grid: Study) -> None:
    for setting in gather(Store(finished), grid.cells()):
        for places in setting.places:
            assert [(place.step, place.last) for place in places] == [(1, False), (2, True)]
            assert places[0].tokens < places[1].tokens and places[0].flop < places[1].flop
            assert places[0].found["closed_book"].keys() == places[1].found["closed_book"].keys()
        xs = [x for x, _ in setting.along("closed_book", "step")]
        assert xs == [0, 1, 2], "the base comes first"


@pytest.mark.usefixtures("computes_nothing")
def test_a_finished_study_computes_nothing_again(finished: Path, grid: Study) -> None:
    assert not run_study(grid, finished).failures
    assert not run_study(replace(grid, asks="In other words?", seeds=(1,)), finished).failures


def test_only_what_is_missing_is_computed(finished: Path, grid: Study, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "study"
    shutil.copytree(finished, folder)
    before = {file.name: file.stat().st_mtime_ns for file in (folder / "cells").iterdir()}
    assert not run_study(replace(grid, seeds=(0, 1, 2)), folder, only={"protocol": "naive"}).failures
    after = {file.name: file.stat().st_mtime_ns for file in (folder / "cells").iterdir()}
    assert len(after) == len(before) + 1 and before.items() <= after.items()
    with pytest.raises(SettingsError, match="protocol: naive, cloze"):
        run_study(grid, folder, only={"protocol": "spa"})


@pytest.mark.parametrize(
    ("axis", "label", "asked"),
    [
        ("strength", "1", "1.0"),
        ("learning_rate", "0.001", "1e-3"),
        ("model", "qwen-0.5b", "models/qwen-0.5b.gguf"),
        ("budget", "6 elements", "6 elements"),
    ],
)
def test_a_label_is_found_as_the_study_has_it(axis: str, label: str, asked: str) -> None:
    assert asked_for(axis, label, asked)
    assert not asked_for(axis, label + "1", asked) and not asked_for(axis, label, asked + "1")


@pytest.mark.parametrize("units", [2, 8, 20, 40], ids=lambda units: f"after {units}")
def test_an_interrupted_study_ends_as_if_it_had_not_been(
    finished: Path, grid: Study, tmp_path: Path, units: int
) -> None:
    with pytest.raises(Interrupted):
        run_study(grid, tmp_path / "study", show=StopAt(units))
    run_study(grid, tmp_path / "study")
    assert rows(tmp_path / "study") == rows(finished)


def test_a_cell_is_the_same_in_company_and_alone(finished: Path, grid: Study, tmp_path: Path) -> None:
    run_study(grid, tmp_path / "one", only={"protocol": "cloze", "seed": "1"})
    alone = rows(tmp_path / "one")
    whole = rows(finished)
    assert len(alone) == 1
    for name, found in alone.items():
        for one, other in zip(found, whole[name], strict=True):
            if isinstance(one, list):
                assert one[:3] == other[:3] and one[3] == pytest.approx(other[3], abs=2e-3)


def test_a_model_that_is_not_there_costs_its_cells_only(grid: Study, tmp_path: Path) -> None:
    run_study(replace(grid, seeds=(0,)), tmp_path / "alone")
    study = replace(grid, models=(str(tmp_path / "none.gguf"), *grid.models), seeds=(0,))
    done = run_study(study, tmp_path / "study")
    assert [failure.cell.options.model for failure in done.failures] == [str(tmp_path / "none.gguf")] * 2
    held = [(f.error.__traceback__, f.error.__cause__, f.error.__context__) for f in done.failures]
    assert held == [(None, None, None)] * 2, "their frames would hold models and banks"
    assert rows(tmp_path / "study") == rows(tmp_path / "alone")
    assert len(done.found.missing) == 2 and "none" in done.found.missing[0][0]
    assert "2 of 4 cells are missing" in done.page.read_text(encoding="utf-8")
    assert {row.at["protocol"] for row in done.found.rows} == {"base", "naive", "cloze"}


def test_a_full_disk_keeps_the_cells_that_are_finished(
    grid: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Path
) -> None:
    written: list[str] = []

    def full(store: Store, kind: str, key: str, record: Any) -> None:
        if kind == "cells" and len(written) == 1:
            raise StorageError("the disk is full")
        written.extend([key] if kind == "cells" else [])
        write_json(store.path / kind / f"{key}.json", record)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "write_part", full)
        with pytest.raises(StorageError):
            run_study(grid, tmp_path / "study")
    assert len(rows(tmp_path / "study")) == 1
    # All four were in one bank, whose training was finished.
    monkeypatch.setattr(_Trainer, "_round", lambda self: pytest.fail("a step is trained again"))
    assert not run_study(grid, tmp_path / "study").failures
    assert rows(tmp_path / "study") == rows(finished)


def test_an_error_costs_only_the_cells_that_it_leaves_unfinished(
    grid: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All four cells train in one bank; asking the third runs out of memory, and two are written by then."""
    from sys2ft.studies import running

    study, ask, asked = replace(grid, steps=(), measures=("closed_book",), compare=()), running.outcomes, []

    def outcomes(names: Sequence[str], of: Any) -> Any:
        asked.append(of)
        if len(asked) == 4:  # the base is the first
            raise MemoryShortage("no memory")
        return ask(names, of)

    with monkeypatch.context() as patched:
        patched.setattr(running, "outcomes", outcomes)
        done = run_study(study, tmp_path / "study")
    written = [cell for cell in study.cells() if Store(tmp_path / "study").finished(cell)]
    assert len(written) == 2
    assert [f.cell.key for f in done.failures] == [
        c.key for c in study.cells() if c.key not in {w.key for w in written}
    ]
    monkeypatch.setattr(_Trainer, "_round", lambda self: pytest.fail("a step is trained again"))
    assert not run_study(study, tmp_path / "study").failures


def test_a_base_that_cannot_be_asked_costs_its_cells_only(
    grid: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sys2ft.studies import running

    ask = running.outcomes

    def outcomes(names: Sequence[str], of: Any) -> Any:
        if not of.routes and len(of.news) == 1:
            raise MemoryShortage("no memory")
        return ask(names, of)

    monkeypatch.setattr(running, "outcomes", outcomes)
    study = replace(grid, steps=(), seeds=(0,), measures=("closed_book",), compare=())
    study = changed(study, {"vary": {"take": [1, 2]}}, "here")
    done = run_study(study, tmp_path / "study")
    assert [failure.cell.at["take"] for failure in done.failures] == ["1"]
    assert [one.at["take"] for one in done.found.settings] == ["2"]


UPDATES = """
name: updates
asks: Which is left?
models: [{model}]
news: {news}
settings: {{samples_per_news: 4, adapters: joint, rank: 2, epochs: 1, batch_size: 2, updates: 3, strength: 1.0}}
vary:
  way: {{none: {{rehearsal: none}}, power: {{rehearsal: power}}, merged: {{updating: merging}}}}
measures: [closed_book, seen, recall, recognition, text]
figure: {{kind: grid, x: update}}
"""


def test_updates_arrive_one_after_the_other(talking_model_dir: Path, news_file: Path, tmp_path: Path) -> None:
    study = parse_study(UPDATES.format(model=talking_model_dir, news=news_file), "updates.yaml")
    done = run_study(study, tmp_path / "study")
    assert not done.failures
    assert not list((tmp_path / "study").glob("adapters/*/*"))
    found = {setting.at["way"]: setting for setting in gather(Store(tmp_path / "study"), study.cells())}
    samples = {name: [record["samples"] for record in setting.records[0]] for name, setting in found.items()}
    assert samples == {"none": [4, 4, 4], "power": [4, 8, 8], "merged": [4, 4, 4]}
    for setting in found.values():
        assert [place.update for place in setting.places[0]] == [1, 2, 3]
        ages = [age for age, _ in setting.along("text", "age")]
        assert ages == [-2, -1, 0, 1, 2]
        assert sorted(setting.arrived.values()) == [0, 1, 2]
    by_way = {name: dict(setting.along("text", "age"))[0] for name, setting in found.items()}
    assert by_way["none"] != by_way["merged"]
    assert (tmp_path / "study" / "figure.svg").is_file()


@pytest.mark.parametrize("way", ["merged", "power"])
def test_a_sequence_of_a_study_is_that_of_a_ledger(
    talking_model_dir: Path, news_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(Store, "forget_adapters", lambda *given: None)
    text = UPDATES.format(model=talking_model_dir, news=news_file).replace("strength: 1.0", "strength: 0.5")
    study = replace(parse_study(text, "updates.yaml"), measures=("closed_book",))
    assert not run_study(study, tmp_path / "study", only={"way": way}).failures
    (cell,) = (cell for cell in study.cells() if cell.at["way"] == way)
    store = Store(tmp_path / "study")
    ledger = Ledger.open(tmp_path / "ledger", model=str(talking_model_dir), seed=0)
    for number, own in enumerate(cell.groups(store.news(cell))):
        how = UpdateSettings(by="merging" if way == "merged" else "training")
        ledger.add(
            own, generate=cell.generate, train=cell.train, rehearsal=cell.rehearsal, evaluate=cell.evaluate, how=how
        )
        one, other = (
            load_file(folder / "adapter_model.safetensors")
            for folder in (store.adapter(store.key(cell), number), tmp_path / "ledger" / "adapter")
        )
        assert one.keys() == other.keys()
        assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in one), f"{way}, update {number + 1}"


def test_an_interrupted_sequence_ends_as_if_it_had_not_been(
    talking_model_dir: Path, news_file: Path, tmp_path: Path
) -> None:
    study = parse_study(UPDATES.format(model=talking_model_dir, news=news_file), "updates.yaml")
    run_study(study, tmp_path / "whole")
    for units in (12, 25):
        with pytest.raises(Interrupted):
            run_study(study, tmp_path / "study", show=StopAt(units))
    run_study(study, tmp_path / "study")
    assert rows(tmp_path / "study") == rows(tmp_path / "whole")
    cell = study.cells()[0]
    key = Store(tmp_path / "study").key(cell)
    (tmp_path / "study" / "cells" / f"{key}-2.json").unlink()
    (failure,) = run_study(study, tmp_path / "study").failures
    assert failure.cell.key == cell.key and "starts from, is gone" in str(failure.error)


def test_an_update_without_samples_leaves_the_adapter_as_it_was(
    talking_model_dir: Path, news_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = UPDATES.format(model=talking_model_dir, news=news_file).replace(
        "samples_per_news", "protocol: naive, samples_per_news"
    )
    study = replace(parse_study(text, "updates.yaml"), measures=("closed_book", "text"))
    with monkeypatch.context() as patched:
        patched.setattr(Runner, "learn", lambda *given: None)
        run_study(study, tmp_path / "study")
    (file,) = (tmp_path / "study" / "elements").glob("*.jsonl")
    elements = [ReplayElement.from_dict(row) for row in read_jsonl(file)]
    second = list(dict.fromkeys(one.news_id for one in elements))[1]
    changed_ = [replace(one, status="rejected", reason="x") if one.news_id == second else one for one in elements]
    write_jsonl(file, [one.to_dict() for one in changed_])
    assert not run_study(study, tmp_path / "study").failures
    for setting in gather(Store(tmp_path / "study"), study.cells()):
        (records,) = setting.records
        assert [record["samples"] > 0 for record in records] == [True, False, True]
        assert records[1]["left_out"] == [second]
        assert records[1]["rows"][0] == records[0]["rows"][0]
        first, then, last = ([row for row in record["rows"] if row[0] == "text"] for record in records)
        assert first == then != last


@pytest.mark.parametrize("bad", [0, 1])
def test_an_update_that_diverges_leaves_the_adapter_as_it_was(
    talking_model_dir: Path, news_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    update = _Trainer._update

    def diverging(self: Any, part: Any, adapters: Sequence[Any]) -> None:
        part.losses.update({a.slot: float("nan") for a in adapters if a.job.group.endswith(f"-{bad}")})
        update(self, part, adapters)

    monkeypatch.setattr(_Trainer, "_update", diverging)
    study = parse_study(UPDATES.format(model=talking_model_dir, news=news_file), "updates.yaml")
    study = replace(study, measures=("closed_book", "text"))
    store = Store(tmp_path / "study")
    assert not run_study(study, store.path).failures
    base = read_json(store.path / "base" / f"{store.base_key(study.cells()[0])}.json")["rows"]
    for setting in gather(store, study.cells()):
        (records,) = setting.records
        assert [record["totals"]["diverged"] for record in records] == [["joint"] * (n == bad) for n in range(3)]
        assert setting.cost()["diverged"] == 1
        texts = [base, *(record["rows"] for record in records)]
        texts = [[row for row in rows if row[0] == "text"] for rows in texts]
        assert [one == other for one, other in pairwise(texts)] == [n == bad for n in range(3)]


def test_a_generation_that_fails_costs_the_cells_that_use_it(
    grid: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def generate(model: object, news: object, settings: Any, **how: object) -> dict[str, Any]:
        if settings.protocols == ("paraphrase",):
            raise SettingsError("no paraphrase")
        return {"naive": SimpleNamespace(elements=[], counts=Options())}

    monkeypatch.setattr("sys2ft.studies.running.generate", generate)
    monkeypatch.setattr(Runner, "model", lambda *given: SimpleNamespace(fingerprint="0" * 64))
    monkeypatch.setattr(Runner, "learn", lambda *given: None)
    study = replace(grid, compare=(), steps=())
    study = changed(
        study, {"vary": {"shown": ["nothing", "news", "paraphrase"]}, "settings": {"protocol": "naive"}}, "x"
    )
    runner = Runner(Store(tmp_path), study.cells())
    runner.run()
    assert [failure.cell.at["shown"] for failure in runner.failures] == ["paraphrase"] * 2


@pytest.mark.parametrize("updates", [1, 2])
def test_the_rank_of_a_joint_adapter_is_that_of_a_run(news: list[News], updates: int) -> None:
    """By the 17 news items that elements were drawn for, of which one has kept none: rank 40, and not 32."""
    many = [news[0].model_copy(update={"id": f"n{number}"}) for number in range(17)]
    elements = [element(item.id, 0) for item in many]
    elements[3] = replace(elements[3], status="rejected", reason="copied")
    given = {"adapters": "joint", "updates": updates, "rehearsal": "none"}
    (cell,) = Study(name="x", asks="y", settings=given).cells()
    model: Any = SimpleNamespace(described=lambda: {"sha256": "0", "parameters": 1})
    phase = phase_of(cell, 0, model, many, elements, key="k", before={}, counts={}, start=None)
    (own,) = phase.jobs
    (run,) = phase.trained.jobs(elements, many)
    assert own.settings.rank == run.settings.rank == 40
    assert phase.left_out == (["n3"] if updates == 1 else [])


def test_samples_that_were_not_trained_on_have_no_place(elements: list[ReplayElement]) -> None:
    own = [one for one in elements if one.status == "kept"]
    trained_on, held = split("joint", len(own), 0.3, 5)
    job = SimpleNamespace(name="joint", seed=5, settings=SimpleNamespace(held_out=0.3))
    adapter = SimpleNamespace(name="joint", job=job, batches=[[0, 1], [2, 0], [3]], step=2)
    phase: Any = SimpleNamespace(samples=own, trained=SimpleNamespace(train=SimpleNamespace(adapters="joint")))
    found = order_of_training(phase, SimpleNamespace(adapters=[adapter]))  # type: ignore[arg-type]
    assert held and found == [own[trained_on[place]] for place in (1, 2, 0)]


def test_what_was_seen_is_in_the_order_of_training(talking_model_dir: Path, news_file: Path, tmp_path: Path) -> None:
    """With one epoch, sample k of `seen` was trained on in batch k // batch size."""
    text = f"""
name: order
asks: Which is last?
models: [{talking_model_dir}]
news: {news_file}
settings: {{protocol: cloze, samples_per_news: 4, rank: 2, epochs: 1, batch_size: 2, learning_rate: 0.02}}
measures: [seen, closed_book]
figure: {{kind: curve, x: order, measures: [seen]}}
"""
    study = parse_study(text, "order.yaml")
    assert not run_study(study, tmp_path / "study").failures
    (setting,) = gather(Store(tmp_path / "study"), study.cells())
    seen = setting.places[0][-1].found["seen"]
    assert sorted(place for _, place in seen) == list(range(12))
    batches = [{news_id for news_id, place in seen if place // 2 == batch} for batch in range(6)]
    assert all(len(batch) == 2 for batch in batches), "a batch of a joint adapter mixes news items"


def test_what_remains_of_samples_is_correlated_with_their_place(grid: Study, tmp_path: Path) -> None:
    """Of item 'town' the later samples are known better, of the others not; they differ in how easy they are."""
    study = replace(grid, seeds=(0,), measures=("seen", "closed_book"), steps=())
    study = changed(study, {"figure": {"kind": "curve", "x": "order", "measures": ["seen"]}}, "here")
    store = Store(tmp_path)
    gains = {"town": [0.1, 0.2, 0.3, 0.4], "system": [5.0, 6.0, 6.0, 5.0], "news": [1.0, 1.0, 1.0, 1.0]}
    for cell in study.cells():
        rows = [
            ["seen", name, place * 3 + number, 9.0 - gain, 9.0]
            for number, (name, own) in enumerate(gains.items())
            for place, gain in enumerate(own)
        ]
        record = {"rows": rows, "points": [], "curve": [], "counts": {}, "samples": 12, "left_out": [], "totals": {}}
        store.write_part("cells", f"{store.key(cell)}-0", {**record, "update": dict.fromkeys(gains, 0)})
    found = results(store, study, study.cells(), {})
    (setting, _) = found.settings
    assert setting.order_correlations("seen") == [{("town", 0): pytest.approx(1), ("system", 0): pytest.approx(0)}]
    assert next(x for x, _ in setting.along("seen", "order")) == 0.05
    assert any("rank correlation +0.50" in one for one in sentences(found)), sentences(found)


def test_a_set_of_retention_is_a_measure(grid: Study, tmp_path: Path) -> None:
    file = tmp_path / "problems.jsonl"
    file.write_text('{"question": "What is 1 + 1?", "answer": "It is 2. #### 2"}\n', encoding="utf-8")
    study = replace(grid, seeds=(0,), measures=("closed_book", "prose", f"problems={file}"), steps=())
    done = run_study(study, tmp_path / "study", only={"protocol": "naive"})
    scores = {row.measure: row.score for row in done.found.rows if row.at["protocol"] == "naive"}
    assert scores["prose"].estimate > 1, "nats per token of a model that knows no prose"
    assert scores[f"problems={file}"].n_items == 1
    file.write_text('{"question": "What is 1 + 2?", "answer": "It is 3. #### 3"}\n', encoding="utf-8")
    from sys2ft.studies.measures import set_of

    set_of.cache_clear()
    (cell, *_) = study.cells()
    assert not Store(tmp_path / "study").finished(cell), "other items are another cell"


def test_answers_in_free_text_are_those_of_a_run(
    grid: Study, tmp_path: Path, news: list[News], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions without choices are asked too; an answer that cannot be graded counts as wrong, and is reported."""
    judge = graders.grade

    def grade(said: str, question: Question) -> Any:
        return graders.Grade(None, "no key") if question.kind == "reverse" else judge(said, question)

    monkeypatch.setattr(graders, "grade", grade)
    study = replace(
        grid, seeds=(0,), measures=("closed_book",), steps=(), settings={**grid.settings, "headline": "direct"}
    )
    done = run_study(study, tmp_path / "study", only={"protocol": "naive"})
    assert not done.failures
    (cell,) = (cell for cell in study.cells() if cell.at["protocol"] == "naive")
    store = Store(tmp_path / "study")
    own = {(news_id, item): value for _, news_id, item, value, _ in store.part("base", store.base_key(cell))["rows"]}  # type: ignore[index]
    said = evaluate(
        load_model(str(grid.models[0])), news, cell.evaluate, subject="base", probe=Questions(cell.evaluate)
    )
    closed = {(row.news_id, row.question): row.correct for row in said if row.condition == "closed_book"}
    assert own == closed
    assert [item for item, value in own.items() if value is None] == [("town", 2)] and len(own) == 6
    for row in done.found.rows:
        assert (row.measure, row.score.n_items, row.score.ungraded) == ("closed_book", 6, 1)
    assert "Base: 1 answer closed book could not be graded, counted as wrong." in caption(done.found)
    assert "could not be graded" in done.page.read_text(encoding="utf-8")


def test_a_curve_over_age_says_how_many_news_items_are_at_each(grid: Study, tmp_path: Path) -> None:
    """Three updates with 2, 1 and 1 of 4 news items: the oldest age is of the first update's alone."""
    study = replace(grid, vary={}, seeds=(0,), measures=("text",), steps=(), compare=())
    settings = {"updates": 3, "adapters": "joint"}
    figure = {"kind": "curve", "x": "age", "measures": ["text"]}
    study = changed(study, {"settings": settings, "figure": figure, "news": "new-news-test", "take": 4}, "here")
    (cell,), store = study.cells(), Store(tmp_path)
    update = {item.id: place for place, group in enumerate(cell.groups(store.news(cell))) for item in group}
    for number in range(3):
        rows = [["text", name, 0, 1.0 + place] for name, place in update.items()]
        store.write_part("cells", f"{store.key(cell)}-{number}", record_of(store, study, rows, update=update))
    found = results(store, study, [cell], {})
    (curve,) = found.curves
    assert {x: score.n_news for x, score in curve.points} == {-2: 1, -1: 2, 0: 4, 1: 3, 2: 2}
    shown = re.sub(r"<[^>]*>", " ", (figure_of(found) or "").partition("<svg")[2]).split()
    assert "(small:" in shown and " ".join(shown).count(" 4 ") >= 1
    write_record(store, study, "")
    page = write_results(store, found, 1).read_text(encoding="utf-8")
    assert "n = 4 at age 0, 2 at age 2, which only those of the first update reach, 1 at age -2" in page


# Results


def made(folder: Path, study: Study, values: dict[tuple[str, str], list[int]], base: list[int]) -> Store:
    """A folder with these answers to the closed book questions of each (protocol, seed)."""
    store = Store(folder)
    for cell in study.cells():
        items = [(item.id, number) for item in store.news(cell) for number in range(len(item.questions))]
        own = values[cell.at["protocol"], cell.at["seed"]]
        found = {"closed_book": own, "in_context": [1] * len(own)}
        record = {
            "rows": [[name, *item, v, None] for name, vs in found.items() for item, v in zip(items, vs, strict=True)],
            "points": [], "curve": [[1, 1.0, 10]], "counts": {"kept": 4, "flop": 8.0}, "samples": 2, "left_out": [],
            "totals": {"flop": 6.0}, "update": {item.id: 0 for item in store.news(cell)},
        }  # fmt: skip
        store.write_part("cells", f"{store.key(cell)}-0", record)
        rows = [["closed_book", *item, v, None] for item, v in zip(items, base, strict=True)]
        rows += [["in_context", *item, 1, None] for item in items]
        store.write_part("base", store.base_key(cell), {"rows": rows})
    return store


def test_comparisons_of_known_answers(grid: Study, tmp_path: Path) -> None:
    """6 questions of 3 news items, two seeds: means over seeds, paired differences, and what the sentence says."""
    study = replace(grid, measures=("closed_book", "in_context"), steps=())
    values = {
        ("naive", "0"): [0, 0, 0, 1, 0, 0],
        ("naive", "1"): [1, 0, 0, 1, 0, 0],
        ("cloze", "0"): [1, 1, 1, 1, 1, 1],
        ("cloze", "1"): [1, 1, 1, 1, 1, 0],
    }
    store = made(tmp_path, study, values, base=[0] * 6)
    found = results(store, study, study.cells(), {})
    closed = {row.at["protocol"]: row.score for row in found.rows if row.measure == "closed_book"}
    assert closed["base"].estimate == 0 and closed["naive"].estimate == pytest.approx(3 / 12)
    assert closed["cloze"].estimate == pytest.approx(11 / 12)
    assert (closed["cloze"].n_seeds, closed["cloze"].n_items, closed["cloze"].n_news) == (2, 6, 3)
    (contrast,) = found.contrasts
    assert contrast.difference.estimate == pytest.approx(8 / 12) and contrast.value == "cloze"
    (said,) = sentences(found)
    assert said.startswith("Closed book against 'naive': cloze from 0.25 to 0.92, +0.67 [")
    assert "6 questions of 3 news items, 2 seeds" in said
    cost = found.settings[0].cost()
    assert cost["flop"] == 6 + 8, "training, and the generation"
    assert place_title(study, found.rows[0].at) == "base"


def test_a_difference_that_all_show_is_beyond_noise_and_none_is_not(talking_model_dir: Path, tmp_path: Path) -> None:
    text = GRID.format(model=talking_model_dir, news="new-news-test").replace("[naive, cloze]", "[naive, cloze, mixed]")
    study = replace(parse_study(text, "x.yaml"), measures=("closed_book", "in_context"), steps=(), take=12)
    many = 12 * 5
    none, some, good = [0] * many, [n % 4 == 0 for n in range(many)], [n % 4 != 0 for n in range(many)]
    values = {("naive", "0"): some, ("naive", "1"): some, ("cloze", "0"): good, ("cloze", "1"): good}
    values |= {("mixed", seed): [n % 4 == 1 for n in range(many)] for seed in "01"}
    found = results(made(tmp_path, study, values, none), study, study.cells(), {})  # type: ignore[arg-type]
    clear = {one.value: one.beyond_noise for one in found.contrasts}
    assert clear == {"cloze": True, "mixed": False}
    assert [one.p for one in found.contrasts if one.value == "mixed"] == [pytest.approx(1, abs=0.5)]


def test_an_unfinished_study_says_what_is_missing(grid: Study, tmp_path: Path) -> None:
    found = results(Store(tmp_path), grid, grid.cells(), {grid.cells()[0].key: "no memory"})
    assert [why for _, why in found.missing] == ["no memory", "not finished", "not finished", "not finished"]
    assert found.rows == [] and sentences(found) == []


def test_a_scaling_law_is_fitted_over_the_cells(talking_model_dir: Path, tmp_path: Path) -> None:
    text = f"""
name: law
asks: How does it grow?
models: [{talking_model_dir}]
news: new-news-test
take: 12
settings: {{protocol: naive, adapters: per-news, samples_per_news: 64}}
vary: {{elements: [1, 4, 16, 64]}}
measures: [closed_book, in_context, loss]
figure: {{kind: scaling, x: elements, measures: [closed_book, loss]}}
"""
    study = parse_study(text, "law.yaml")
    store = Store(tmp_path)
    share = {"1": 0.2, "4": 0.6, "16": 0.8, "64": 1.0}
    for cell in study.cells():
        items = [(item.id, number) for item in store.news(cell) for number in range(5)]
        own = [number < share[cell.at["elements"]] * 5 for _, number in items]
        rows = [["closed_book", *item, float(v), None] for item, v in zip(items, own, strict=True)]
        rows += [["loss", item.id, 0, 1.0 + n % 2, None] for n, item in enumerate(store.news(cell))]
        record = {
            "rows": rows, "points": [], "curve": [], "counts": {}, "samples": 1, "left_out": [],
            "totals": {"flop": 144e12 * int(cell.at["elements"])}, "update": {item.id: 0 for item in store.news(cell)},
        }  # fmt: skip
        store.write_part("cells", f"{store.key(cell)}-0", record)
        base = [["closed_book", *item, 0.0, None] for item in items] + [
            ["in_context", *item, 1.0, None] for item in items
        ]
        store.write_part("base", store.base_key(cell), {"rows": base})
    found = results(store, study, study.cells(), {})
    assert [[x for x, _ in curve.points] for curve in found.curves] == [[1, 4, 16, 64]] * 2
    closed, loss = found.efforts
    assert closed.law is not None and not closed.law.flat
    assert closed.law.at(16) == pytest.approx(0.8, abs=0.08)
    said = sentences(found)
    assert any("80% of the gap needs about" in one and "elements" in one for one in said), said
    assert loss.law is None and loss.trend is not None
    by_flop = changed(study, {"figure": {"kind": "scaling", "x": "flop", "measures": ["closed_book"]}}, "here")
    of_news = results(store, by_flop, by_flop.cells(), {})
    assert [x for x, _ in of_news.curves[0].points] == [12e12, 48e12, 192e12, 768e12], "for each of the 12 news items"
    assert of_news.efforts[0].amount(48e12) == "48 TFLOP per news item"


@pytest.mark.parametrize(
    ("given", "flop"),
    [
        ({}, [8.0]),
        ({"elements": 2}, [6.0]),
        ({"layout": "document"}, [8.0]),
        ({"layout": "pieces"}, [8.0]),
        ({"layout": "abstract"}, [0.0]),
        ({"shown": "paraphrase"}, [8.0 + 3.0]),
        ({"tokens_per_news": 40, "samples_per_news": None}, [8.0]),
        ({"updates": 3, "adapters": "joint", "rehearsal": "power"}, [4.0, 2.0, 2.0]),
    ],
    ids=str,
)
def test_generation_is_counted_once_and_as_far_as_it_is_used(
    grid: Study, tmp_path: Path, given: dict[str, Any], flop: list[float]
) -> None:
    """8 FLOP for 4, 2 and 2 elements, and 3 for the paraphrases; the training of each update is 100."""
    study = replace(grid, vary={}, seeds=(0,), steps=(), compare=(), settings={**grid.settings, **given})
    (cell,), store = study.cells(), Store(tmp_path)
    names = [item.id for item in store.news(cell)]
    counts = {"kept": 8, "flop": 8.0, "used": dict(zip(names, (4, 2, 2), strict=True)), "shown": {}}
    if "shown" in given:
        store.write_elements(store.elements_key(cell, "paraphrase"), [], {"flop": 3.0})
    for number in range(len(flop)):
        record = record_of(store, study, [["closed_book", name, 0, 1.0] for name in names], counts=counts)
        update = {name: place for place, group in enumerate(cell.groups(store.news(cell))) for name in (group[0].id,)}
        record |= {"samples": 4 * (1 + number), "totals": {"flop": 100.0}}
        store.write_part(
            "cells", f"{store.key(cell)}-{number}", record | ({"update": update} if number or flop[1:] else {})
        )
    (setting,) = gather(store, [cell])
    assert [record["spent"] for record in setting.records[0]] == pytest.approx([100 + own for own in flop])
    assert setting.cost()["flop"] == pytest.approx(100 * len(flop) + sum(flop))


def test_news_items_with_fewer_elements_than_asked_for_are_named(grid: Study, tmp_path: Path) -> None:
    study = replace(grid, seeds=(0,), measures=("closed_book",), steps=(), compare=())
    study = changed(study, {"vary": {"elements": [1, 4]}}, "here")
    store = Store(tmp_path)
    for cell in study.cells():
        names = [item.id for item in store.news(cell)]
        counts = {"kept": 8, "flop": 8.0, "used": dict(zip(names, (4, 1, 3), strict=True))}
        rows = [["closed_book", name, 0, 1.0] for name in names]
        store.write_part("cells", f"{store.key(cell)}-0", record_of(store, study, rows, counts=counts))
    said = caption(results(store, study, study.cells(), {}))
    assert said.endswith(f"4: 2 of 3 news items had fewer than 4 elements ({names[1]} 1, {names[2]} 3).")
    assert "fewer than 1 " not in said


def record_of(store: Store, study: Study, rows: Sequence[Sequence[Any]], **own: Any) -> dict[str, Any]:
    """The record of a phase with these rows."""
    news = [item.id for item in store.news(study.cells()[0])]
    return {
        "rows": [[*row, None] if len(row) == 4 else [*row] for row in rows], "points": [], "curve": [[1, 1.0, 10]],
        "counts": {}, "samples": 1, "left_out": [], "totals": {}, "update": dict.fromkeys(news, 0), **own,
    }  # fmt: skip


def test_the_base_and_a_study_without_axes_have_rows_of_their_own(grid: Study, tmp_path: Path) -> None:
    study = replace(grid, vary={}, seeds=(0,), measures=("closed_book",), steps=(), compare=(Compare(),))
    (cell,), store = study.cells(), Store(tmp_path)
    items = [(item.id, number) for item in store.news(cell) for number in range(len(item.questions))]
    store.write_part(
        "cells", f"{store.key(cell)}-0", record_of(store, study, [["closed_book", *item, 1.0] for item in items])
    )
    store.write_part("base", store.base_key(cell), {"rows": [["closed_book", *item, 0.0, None] for item in items]})
    found = results(store, study, [cell], {})
    assert [[title, cells[0][:4]] for title, cells in table_of(found)[1]] == [["base", "0.00"], ["trained", "1.00"]]


def test_a_base_for_each_set_of_news_items(grid: Study, tmp_path: Path) -> None:
    study = replace(grid, seeds=(0,), measures=("closed_book",), steps=(), compare=(Compare(),))
    study = changed(study, {"vary": {"take": [1, 2]}}, "here")
    store = Store(tmp_path)
    for cell in study.cells():
        items = [(item.id, number) for item in store.news(cell) for number in range(len(item.questions))]
        rows = [["closed_book", *item, 1.0] for item in items]
        store.write_part("cells", f"{store.key(cell)}-0", record_of(store, study, rows))
        share = float(cell.at["take"] == "2")
        base = [["closed_book", *item, share, None] for item in items]
        store.write_part("base", store.base_key(cell), {"rows": base})
    found = results(store, study, study.cells(), {})
    assert [row.score.estimate for row in found.rows] == [0, 1, 1, 1]
    assert [title for title, _ in table_of(found)[1]] == ["take 1, base", "take 2, base", "take 1", "take 2"]


def test_seeds_have_other_samples_and_other_items_without_an_adapter(grid: Study, tmp_path: Path) -> None:
    """`seen` has a value for each sample, and `other_adapter` none for items without samples: both have means."""
    study = replace(grid, measures=("seen", "other_adapter"), steps=(), compare=(Compare(measure="other_adapter"),))
    study = changed(study, {"vary": {"protocol": ["cloze"]}}, "here")
    store = Store(tmp_path)
    (one, other, third) = [item.id for item in store.news(study.cells()[0])]
    for cell, last in zip(study.cells(), (third, other), strict=True):
        rows = [["seen", one, 0, 2.0, 5.0], ["seen", last, 1, 4.0, 5.0], ["seen", one, 2, 3.0, 5.0]]
        rows += [["other_adapter", name, 0, 1.0] for name in (one, last)]
        store.write_part("cells", f"{store.key(cell)}-0", record_of(store, study, rows))
        base = [["other_adapter", name, 0, 0.0, None] for name in (one, other, third)]
        store.write_part("base", store.base_key(cell), {"rows": base})
    found = results(store, study, study.cells(), {})
    scores = {row.measure: row.score for row in found.rows if row.at["protocol"] == "cloze"}
    assert (scores["seen"].estimate, scores["seen"].n_news) == (2.5, 1)
    assert (scores["other_adapter"].n_items, scores["other_adapter"].n_seeds) == (1, 2)
    (contrast,) = found.contrasts
    assert (contrast.difference.estimate, contrast.reference.n_items) == (1, 1)


def test_a_cell_is_compared_under_the_same_seed(grid: Study, tmp_path: Path) -> None:
    """Of naive seed 1 is missing, of cloze seed 0: each has two seeds, of which one is common."""
    study = replace(grid, seeds=(0, 1, 2), measures=("closed_book", "in_context"), steps=())
    values = {(protocol, str(seed)): [seed % 2] * 6 for protocol in ("naive", "cloze") for seed in range(3)}
    store = made(tmp_path, study, values, [0] * 6)
    cells = [
        cell for cell in study.cells() if (cell.at["protocol"], cell.at["seed"]) not in (("naive", "1"), ("cloze", "0"))
    ]
    (contrast,) = results(store, study, cells, {}).contrasts
    assert (contrast.difference.estimate, contrast.difference.n_seeds) == (0, 1)


def test_places_along_a_training_are_those_that_all_seeds_have(grid: Study, tmp_path: Path) -> None:
    """Seed 0 takes 9 steps, seed 1 takes 8, so that only one has a point at 8; one item has no adapter at 4."""
    study = replace(grid, measures=("closed_book", "prose"), steps=(4, 8), compare=())
    study = changed(
        study,
        {"vary": {"protocol": ["cloze"]}, "figure": {"kind": "curve", "x": "step", "measures": ["prose"]}},
        "here",
    )
    store = Store(tmp_path)
    names = [item.id for item in store.news(study.cells()[0])]
    for cell, steps in zip(study.cells(), (9, 8), strict=True):
        end = [["closed_book", name, 0, 1.0, None] for name in names] + [["prose", "text", 0, 3.0, None]]
        point = [["closed_book", name, 0, 0.5, None] for name in names[1:]] + [["prose", "text", 0, 2.0, None]]
        points = [{"step": 4, "rows": point}, {"step": 8, "rows": [row for row in point if row[0] != "prose"]}]
        curve = [[step, 1.0, 10.0 * step] for step in range(1, steps + 1)]
        record = record_of(store, study, end, points=points if steps == 9 else points[:1], curve=curve)
        store.write_part("cells", f"{store.key(cell)}-0", record)
        base = [["closed_book", name, 0, 0.0, None] for name in names] + [["prose", "text", 0, 1.0, None]]
        store.write_part("base", store.base_key(cell), {"rows": base})
    (setting,) = gather(store, study.cells())
    closed = [(x, [list(one.values()) for one in columns]) for x, columns in setting.along("closed_book", "step")]
    assert closed == [(0, [[0] * 3]), (4, [[1, 0.5, 0.5]] * 2), (8.5, [[1] * 3] * 2)]
    (curve,) = results(store, study, study.cells(), {}).curves
    assert [(x, score.estimate) for x, score in curve.points] == [(0, 1), (4, 2), (8.5, 3)], (
        "items of a set have a curve"
    )
    assert setting.along("prose", "age") == [], "items of a set have no age"


def test_a_long_setting_is_shown_whole_in_the_figure(grid: Study, tmp_path: Path) -> None:
    long = "a way of training whose name takes more than one line of the figure"
    vary = {"protocol": {long: {"protocol": "naive"}, "b": {"protocol": "cloze"}}}
    study = replace(grid, measures=("closed_book",), vary=vary, compare=(), seeds=(0,), steps=())
    store = made(tmp_path, study, {(way, "0"): [1, 0] * 3 for way in (long, "b")}, [0] * 6)
    found = results(store, study, study.cells(), {})
    words = re.sub(r"<[^>]*>", " ", (figure_of(found) or "").partition("<svg")[2]).split()
    assert "…" not in " ".join(words) and all(words.count(word) >= 1 for word in long.split())


def test_only_differences_beyond_noise_are_marked(grid: Study, tmp_path: Path) -> None:
    study = replace(grid, measures=("closed_book", "in_context"), steps=())
    values = {(protocol, seed): [1, 0] * 3 for protocol in ("naive", "cloze") for seed in "01"}
    store = made(tmp_path, study, values, [0] * 6)
    write_record(store, study, "")
    page = write_results(store, results(store, study, study.cells(), {}), 4).read_text(encoding="utf-8")
    assert "Marked rows" in page and 'class="best"' not in page.split("<h2>Comparisons</h2>")[1]


# The command


def test_the_action_that_the_command_leaves_out() -> None:
    assert with_action(["study", "gap", "--small"]) == ["study", "run", "gap", "--small"]
    assert with_action(["study", "list"]) == ["study", "list"]
    assert with_action(["study", "--help"]) == ["study", "--help"]
    assert with_action(["run", "gap"]) == ["run", "gap"]


def test_the_commands(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, talking_model_dir: Path, finished: Path, grid: Study
) -> None:
    assert call(["study", "list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in study_names())
    assert call(["study", "show", "gap"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["name"] == "gap"
    assert call(["study", "options"]) == 0
    assert "learning_rate" in capsys.readouterr().out
    own = tmp_path / "own.yaml"
    assert call(["study", "new", str(own)]) == 0
    assert call(["study", "new", str(own)]) == 2
    assert "exists" in capsys.readouterr().err
    small = ["--small", "--models", str(talking_model_dir), "--out", str(tmp_path / "own"), "--quiet"]
    assert call(["study", str(own), *small, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "4 cells, 0 finished" in said and "cannot be seen" in said and "TFLOP" in said
    assert not (tmp_path / "own").exists(), "a dry run writes nothing"
    assert call(["study", "gapp"]) == 2
    assert "did you mean gap?" in capsys.readouterr().err
    assert call(["study", "gap", "--set", "epochs=[1"]) == 2
    assert call(["study", "gap", "--set", "epochs"]) == 2
    assert "name=value" in capsys.readouterr().err


def test_a_study_that_misses_cells_ends_with_an_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, talking_model_dir: Path, news_file: Path, finished: Path
) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text(GRID.format(model=f"{talking_model_dir}, {tmp_path}/none.gguf", news=news_file), encoding="utf-8")
    assert call(["study", str(file), "--out", str(finished), "--quiet"]) == 2
    said = capsys.readouterr().out
    assert said.count("not computed:") == 1 and "4 cells:" in said and "none.gguf" in said and "results" in said


def test_what_is_left_is_estimated(grid: Study, finished: Path, tmp_path: Path) -> None:
    nothing = outlook(grid, finished)
    assert (nothing.cells, nothing.finished) == (4, 4)
    assert sum(one.left for one in nothing.estimates) == 0
    every = outlook(replace(grid, models=(*grid.models, str(tmp_path / "none.gguf"))), tmp_path / "new")
    parts = {one.part: one for one in every.estimates}
    assert (parts["generate"].left, parts["train"].left, parts["ask"].left) == (4, 4, 8)
    assert parts["train"].needs.tokens > 0 and parts["ask"].needs.flop > 0
    assert len(every.unusable) == 4 and all("none.gguf" in why for _, why in every.unusable)


def test_an_estimate_holds_one_model_at_a_time(grid: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Loaded:
        pass

    loaded: list[weakref.ref[Loaded]] = []

    def load(name: str, **how: object) -> Loaded:
        assert not any(one() for one in loaded), "the one before is still there"
        model = Loaded()
        loaded.append(weakref.ref(model))
        return model

    def estimating(store: Store, model: Loaded, rates: object) -> SimpleNamespace:
        return SimpleNamespace(model=model, writing=lambda cells: [], learning=lambda cells: [])

    monkeypatch.setattr("sys2ft.studies.estimate.load_model", load)
    monkeypatch.setattr("sys2ft.studies.estimate.measure_rates", lambda model, news: None)
    monkeypatch.setattr("sys2ft.studies.estimate._Estimating", estimating)
    monkeypatch.setattr(Store, "finished", lambda self, cell: False)
    monkeypatch.setattr(Store, "require_sound", lambda self, cell: None)
    outlook(replace(grid, models=("a", "b")), tmp_path / "new")
    assert len(loaded) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", study_names())
def test_every_bundled_study_runs_at_its_small_size(name: str, talking_model_dir: Path, tmp_path: Path) -> None:
    """On the tiny model, which has room for few elements: what the studies find is another matter."""
    study = changed(
        load_study(name).smaller(), {"models": [str(talking_model_dir)], "take": 4, "settings": {"rank": 2}}, name
    )
    done = run_study(study, tmp_path / "study", show=Display())
    assert not done.failures and not done.found.missing
    assert done.found.rows and sentences(done.found)
    assert (tmp_path / "study" / "figure.svg").is_file()
