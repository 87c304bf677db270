"""What somebody who uses `sys2ft study` meets: what is refused and how, folders that are not right, and the words."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sys2ft.cli.main import call
from sys2ft.errors import SettingsError, UserError
from sys2ft.job.plan import Rates
from sys2ft.runs.units import FolderMemo
from sys2ft.studies import Store, Study, changed, outlook, parse_study, results, run_study, sentences
from sys2ft.studies.cells import Cell
from sys2ft.studies.figures import figure_of
from sys2ft.studies.gathered import gather
from sys2ft.studies.labels import said
from sys2ft.studies.opening import _most_steps, late_steps
from sys2ft.studies.options import checked, meanings, option_types
from sys2ft.studies.page import contrast_cells, table_of, write_results
from sys2ft.studies.running import Runner
from sys2ft.studies.study import write_record
from sys2ft.studies.words import caption, compared_note, grouped, remarks

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
compare: {{axis: protocol, to: naive}}
"""


@pytest.fixture(scope="module")
def grid(talking_model_dir: Path, news_file: Path) -> Study:
    return parse_study(GRID.format(model=talking_model_dir, news=news_file), "grid.yaml")


# What is refused


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "measures: [closed_book, loss]\ncompare: {measure: closed_book, of: loss}",
            "closed_book.*of loss.*in_context",
        ),
        ("measures: [text, recall]\ncompare: {measure: text, of: recall}", "loss of the texts.*share of tokens.*seen"),
        (
            "measures: [closed_book, neighbours]\ncompare: {measure: neighbours, of: closed_book}",
            "of the items of neighbours.*of the questions.*remove `of`",
        ),
        ("settings: {epochs: 1}\nsettings: {epochs: 2}", "line 4, column 1: 'settings' is there twice"),
        ("vary: {protocol: [naive], protocol: [cloze]}", "'protocol' is there twice"),
        ("vary: {rate: {low: {epochs: 1}, low: {epochs: 2}}}", "'low' is there twice"),
        ("seeds: [0, 1, 0]", "seeds: 0 is there twice"),
        ("measures: [closed_book, closed_book]", "measures: closed_book is there twice"),
        ("steps: [4, 4]", "steps: 4 is there twice"),
        ("steps: [0]", "steps: 0.*from 1 on"),
        ("vary: {epochs: [1, 1.0]}", "epochs: 1 is there twice"),
        ("settings: {epochs: 3}\nvary: {epochs: [1, 2]}", "epochs is in settings.*axis epochs sets it too"),
        ("settings: {epochs: 3}\nvary: {much: {a: {epochs: 1}, b: {epochs: 2}}}", "axis much sets it too"),
        ("take: 3\nvary: {take: [1, 2]}", "the field `take`.*axis take"),
        ("vary: {epochs: [1, 2], much: {a: {}, b: {epochs: 4}}}", "axes epochs and much both set epochs"),
        ("settings: {seed: 3}", "settings: seed.*use `seeds`"),
        ("settings: {model: x}", "settings: model.*use `models`"),
        ("vary: {who: {a: {model: x}}}", "who: model.*use `models`"),
        ("vary: {what: {base: {}, other: {epochs: 1}}}", "what: base.*before training"),
        ("without: [{model: other}]", "without: model=other.*smollm2"),
        ("vary: {rates: [1, 2]}", "vary: rates is not an option.*labels with such options"),
        ("settings: {retention: [prose]}", "retention is not an option"),
        ("compare: {axis: seed}", "axis 'seed'.*one of model"),
    ],
)
def test_what_would_not_count_is_refused(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_study(f"name: x\nasks: y\n{text}", "own.yaml")
    found = str(caught.value)
    assert re.search(said, found.replace("\n", " ")), found
    assert all(part in found for part in ("expected: ", "fix: ")), found
    assert "fit each other" not in found


def test_a_default_that_some_labels_change_is_none_of_these() -> None:
    """`settings` states what cells have unless their label says otherwise."""
    study = parse_study("name: x\nasks: y\nsettings: {epochs: 3}\nvary: {how: {a: {}, b: {epochs: 2}}}", "own.yaml")
    assert [cell.train.epochs for cell in study.cells()] == [3, 2]


def test_a_grid_without_cells_is_refused() -> None:
    text = "name: x\nasks: y\nvary: {protocol: [naive, cloze]}\nwithout: [{protocol: naive}, {protocol: cloze}]"
    with pytest.raises(SettingsError, match="`without` leaves no cell"):
        parse_study(text, "own.yaml").cells()


def test_the_generators_are_values_of_their_axis() -> None:
    text = "name: x\nasks: y\nmodels: [a.gguf, b.gguf]\nvary: {generator: models}\ncompare: {axis: generator, to: a}"
    study = parse_study(text, "own.yaml")
    assert study.compared == 1
    assert changed(study, {"without": [{"model": "a", "generator": "b"}]}, "here").cells()[1].options.model == "b.gguf"


def test_models_on_the_command_line_take_those_left_out_with_them() -> None:
    text = "name: x\nasks: y\nmodels: [a.gguf, b.gguf]\nvary: {protocol: [naive, cloze]}"
    text += "\nwithout: [{model: b, protocol: naive}]"
    assert len(changed(parse_study(text, "own.yaml"), {"models": ["c.gguf"]}, "here").cells()) == 2


@pytest.mark.parametrize(
    ("fields", "place", "expected"),
    [
        ("steps: [x]", "own.yaml: steps: 'x'", "a whole number"),
        ("take: many", "own.yaml: take: 'many'", "a whole number"),
        ("vary: {epochs: [many]}", "own.yaml: vary: epochs: 'many'", "a number"),
        ("vary: {how: {a: {epochs: many}}}", "own.yaml: vary: how: a: epochs: 'many'", "a number"),
        ("settings: {shown: all}", "own.yaml: settings: shown: 'all'", "nothing, news, paraphrase or other"),
        ("settings: {target_modules: q_proj}", "own.yaml: settings: target_modules: 'q_proj'", "a list of texts"),
        ("settings: {checks: [all]}", "own.yaml: settings: checks: ['all']", "a list of none, names"),
        ("settings: {aim: perhaps}", "own.yaml: settings: aim: 'perhaps'", "true or false"),
    ],
)
def test_a_wrong_value_is_named_by_its_place(fields: str, place: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_study(f"name: x\nasks: y\n{fields}", "own.yaml")
    assert caught.value.found == place
    assert str(caught.value.expected).startswith(expected)


def test_every_option_has_a_meaning() -> None:
    assert all(meanings().get(name, "").endswith(".") for name in option_types())
    with pytest.raises(SettingsError, match="a whole number or null"):
        checked("samples_per_news", "x", "here")


@pytest.mark.parametrize(
    ("settings", "how", "said"),
    [
        ({"protocol": "nave"}, {}, "cell model .*nave.*naive"),
        ({"objective": "crossentropy"}, {}, "cell model .*crossentropy.*cross_entropy"),
        ({"learner": "lara"}, {}, "cell model .*lara.*lora"),
        ({}, {"dtype": "float31"}, "float31.*float32"),
        ({}, {"device": "gpu"}, "device 'gpu'"),
        ({}, {"take": 4}, "take 4.*has 3 news items.*at most 3"),
    ],
)
def test_a_misspelt_name_stops_before_any_model_is_loaded(
    grid: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, how: Any, said: str
) -> None:
    monkeypatch.setattr(Runner, "model", lambda *given: pytest.fail("a model is loaded"))
    monkeypatch.setattr("sys2ft.studies.estimate.load_model", lambda *given, **how: pytest.fail("a model is loaded"))
    fields = {"settings": settings, "vary": {"epochs": [1, 2]}, "compare": [], "take": how.pop("take", 0)}
    study = changed(replace(grid, compare=(), settings={"rank": 2}), fields | {"compare": {"axis": "epochs"}}, "here")
    for run in (run_study, outlook):
        with pytest.raises(UserError) as caught:
            run(study, tmp_path / "out", **how)
        assert re.search(said, str(caught.value).replace("\n", " ")), caught.value
        assert caught.value.expected and caught.value.fix and caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


# Folders


@pytest.fixture(scope="module")
def finished(grid: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "whole"
    assert not run_study(grid, folder).failures
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "study")
    return tmp_path / "study"


def test_the_folder_of_something_else_is_refused(grid: Study, copied: Path, tmp_path: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in copied.rglob("*")}
    other = replace(grid, name="another")
    for run in (run_study, outlook):
        with pytest.raises(SettingsError, match=r"the folder of the study 'grid'[\s\S]*--out"):
            run(other, copied)
    assert {file: file.stat().st_mtime_ns for file in copied.rglob("*")} == before
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one.txt").write_text("Dear", "utf-8")
    with pytest.raises(SettingsError, match="is not the folder of a study"):
        run_study(grid, tmp_path / "letters")
    assert [file.name for file in (tmp_path / "letters").iterdir()] == ["one.txt"]


def test_a_changed_study_and_one_without_its_record_go_on_in_their_folder(
    grid: Study, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runner, "model", lambda *given: pytest.fail("a model is loaded"))
    assert not run_study(replace(grid, seeds=(1,), asks="Is it so?"), copied).failures
    (copied / "study.json").unlink()
    assert not run_study(grid, copied).failures


DAMAGE: dict[str, Callable[[str], str]] = {
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "a list": lambda text: "[]",
    "without rows": lambda text: text.replace('"rows"', '"rowz"'),
    "odd rows": lambda text: text.replace('"rows": [', '"rows": [\n  7,', 1),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("kind", ["cells", "base"])
def test_a_damaged_part_is_an_error_that_names_it(grid: Study, copied: Path, kind: str, damage: Any) -> None:
    store, (cell, *_) = Store(copied), grid.cells()
    file = copied / kind / f"{store.key(cell)}-0.json" if kind == "cells" else next((copied / kind).iterdir())
    file.write_text(damage(file.read_text("utf-8")), "utf-8")
    with pytest.raises(SettingsError, match=re.escape(f"{file} is damaged: ")):
        store.require_sound(cell)


@pytest.mark.parametrize("kind", ["cells", "base"])
def test_a_damaged_part_costs_its_cells_only(grid: Study, copied: Path, kind: str) -> None:
    file = next((copied / kind).iterdir())
    file.write_text(DAMAGE["cut"](file.read_text("utf-8")), "utf-8")
    done = run_study(grid, copied)
    assert len(done.failures) == (1 if kind == "cells" else 4)
    for failure in done.failures:
        assert f"{file} is damaged: " in failure.error.found
        assert "delete" in str(failure.error.fix) and failure.error.exit_code == 2
    assert len(done.found.missing) == len(done.failures)
    assert len(outlook(grid, copied).unusable) == len(done.failures)
    said = str(done.failures[0].error.fix)
    name = re.search(r"delete (\S+)\*", said)
    for one in copied.glob(f"cells/{Path(name[1]).name}*") if name else [file]:
        one.unlink()
    assert not run_study(grid, copied).failures, "what it says helps"


def test_damaged_elements_and_batches_are_named(grid: Study, copied: Path) -> None:
    file = next((copied / "elements").glob("*.jsonl"))
    file.write_text(file.read_text("utf-8")[:-9], "utf-8")
    (failure,) = run_study(grid, copied).failures
    assert f"{file} is damaged" in failure.error.found
    file.unlink()
    assert not run_study(grid, copied).failures, "the cell is finished, and its elements are not needed"
    unit = copied / "generation" / "batch.json"
    unit.parent.mkdir(exist_ok=True)
    unit.write_text("{", "utf-8")
    with pytest.raises(SettingsError, match=re.escape(str(unit))):
        FolderMemo(unit.parent).get(unit.stem)


def test_a_dry_run_of_nothing_that_can_run_ends_with_an_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, talking_model_dir: Path
) -> None:
    file = tmp_path / "own.yaml"
    text = GRID.format(model=talking_model_dir, news=tmp_path / "none.jsonl")
    file.write_text(text, "utf-8")
    assert call(["study", str(file), "--dry-run", "--quiet", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().out
    assert "none.jsonl" in said and said.count("cannot be computed") == 1
    file.write_text(text.replace("[naive, cloze]", "[naive, clozze]"), "utf-8")
    assert call(["study", str(file), "--dry-run", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert "protocol clozze" in said and "cloze" in said.split("expected")[1]


# What is said


@pytest.mark.parametrize(
    ("axis", "label", "shown"),
    [
        ("batch_size", "2", "batch_size 2"), ("rate", "1e-3", "rate 1e-3"), ("aim", "True", "aim True"),
        ("flop", "None", "flop None"), ("tokens", "1 2", "tokens 1 2"), ("written", "", "written ''"),
        ("protocol", "naive", "naive"), ("seen", "8 times", "8 times"), ("elements x repeats", "16 x 1", "16 x 1"),
    ],
)  # fmt: skip
def test_a_value_that_alone_says_nothing_has_its_axis_before_it(axis: str, label: str, shown: str) -> None:
    assert said(axis, label) == shown


def written(study: Study, folder: Path, values: Callable[[Cell, int], float], base: float = 0.0) -> Store:
    """A folder with these answers to the closed book questions of each cell, by the place of the news item."""
    store = Store(folder)
    for cell in study.cells():
        news = store.news(cell)
        items = [(place, item.id, n) for place, item in enumerate(news) for n in range(len(item.questions))]
        rows = [["closed_book", news_id, n, values(cell, place), None] for place, news_id, n in items]
        rows += [["loss", item.id, 0, 1.0 + place, None] for place, item in enumerate(news)]
        record = {
            "rows": rows, "points": [], "curve": [[1, 1.0, 10], [2, 1.0, 20]], "counts": {}, "samples": 1,
            "left_out": [], "totals": {}, "update": {item.id: 0 for item in news},
        }  # fmt: skip
        store.write_part("cells", f"{store.key(cell)}-0", record)
        asked = [["closed_book", news_id, n, base, None] for _, news_id, n in items]
        asked += [["in_context", news_id, n, 1.0, None] for _, news_id, n in items]
        store.write_part("base", store.base_key(cell), {"rows": asked})
    return store


def numbers(talking_model_dir: Path, news: str | Path, fields: str) -> Study:
    return parse_study(
        f"name: own\nasks: How much?\nmodels: [{talking_model_dir}]\nnews: {news}\nvary: {{elements: [1, 2, 8]}}\n"
        f"settings: {{protocol: naive, adapters: per-news, samples_per_news: 8}}\n{fields}",
        "own.yaml",
    )


def test_numbers_have_their_axis_in_table_sentences_and_figure(
    talking_model_dir: Path, news_file: Path, tmp_path: Path
) -> None:
    study = numbers(talking_model_dir, news_file, "compare: {axis: elements, to: '1'}")
    store = written(study, tmp_path, lambda cell, place: float(place < cell.options.elements))
    found = results(store, study, study.cells(), {})
    assert [title for title, _ in table_of(found)[1]] == ["base", "elements 1", "elements 2", "elements 8"]
    (sentence, *_) = sentences(found)
    assert "against 'elements 1'" in sentence and "elements 8 from 0." in sentence, sentence
    assert contrast_cells(found, 0)["cells"][2] == "elements 1"
    assert "elements 8" in str(figure_of(found))


def test_the_intervals_are_said_to_be_by_the_method_that_they_are_by(
    talking_model_dir: Path, news_file: Path, tmp_path: Path
) -> None:
    few = numbers(talking_model_dir, news_file, "measures: [closed_book]")
    own = written(few, tmp_path / "few", lambda cell, place: float(place == 0))
    found = results(own, few, few.cells(), {})
    assert {row.score.method for row in found.rows if row.at["elements"] == "1"} == {"student"}
    assert "by Student's t for fewer than 8 news items, by Wilson's method where all" in caption(found), caption(found)
    assert "bootstrap" not in caption(found) + compared_note(found)
    assert "seeds" not in caption(found)
    many = numbers(talking_model_dir, "new-news-test", "take: 12\nmeasures: [closed_book]")
    own = written(many, tmp_path / "many", lambda cell, place: float(place % 3 == 0), base=0.0)
    assert "by bootstrap, by Wilson's method where" in caption(results(own, many, many.cells(), {}))


def test_a_wide_interval_around_no_change_is_explained(
    talking_model_dir: Path, news_file: Path, tmp_path: Path
) -> None:
    study = numbers(talking_model_dir, news_file, "measures: [closed_book]")
    store = written(study, tmp_path, lambda cell, place: 0.0)
    found = results(store, study, study.cells(), {})
    assert {one.difference.method for one in found.contrasts} == {"wilson"}
    assert "by Newcombe's method" in compared_note(found)
    (note,) = remarks(found)
    assert "no answer has changed" in note
    write_record(store, study, "")
    page = write_results(store, found, 3).read_text(encoding="utf-8")
    assert '<th scope="row">elements 8</th><td>closed book' in page, "a setting is the head of its row"
    assert note in page.replace("&#39;", "'") and note in (tmp_path / "study.md").read_text(encoding="utf-8")
    other = results(written(study, tmp_path / "b", lambda cell, place: place % 2), study, study.cells(), {})
    assert remarks(other) == []


def test_steps_beyond_the_end_are_named(talking_model_dir: Path, news_file: Path, tmp_path: Path) -> None:
    study = numbers(talking_model_dir, news_file, "measures: [closed_book]\nsteps: [1, 50, 90]")
    store = written(study, tmp_path, lambda cell, place: place % 2)
    (note,) = remarks(results(store, study, study.cells(), {}))
    assert note.startswith("Steps 50, 90: every training ends before, the longest has 2 steps")
    assert late_steps(store, study.cells()) == [50, 90]
    open_end = changed(study, {"settings": {"samples_per_news": None, "tokens_per_news": 100}}, "here")
    assert late_steps(store, open_end.cells()) == [], "not known before the elements are written"


@pytest.mark.parametrize("adapters", ["joint", "per-news"])
def test_no_training_has_more_steps_than_it_is_said_to_have_at_most(grid: Study, adapters: str, tmp_path: Path) -> None:
    study = changed(grid, {"settings": {"adapters": adapters, "epochs": 1.5, "batch_size": 3}, "seeds": [0]}, "here")
    assert not run_study(study, tmp_path / "own").failures
    (own, *_) = study.cells()
    steps = [len(one.records[0][0]["curve"]) for one in gather(Store(tmp_path / "own"), study.cells())]
    assert 0 < max(steps) <= _most_steps(own, 3)


def test_cells_that_miss_for_one_reason_are_one_line(grid: Study, tmp_path: Path) -> None:
    failed = {cell.key: "no memory" for cell in grid.cells()[1:]}
    store = Store(tmp_path)
    found = results(store, grid, grid.cells(), failed)
    (first, second) = grouped(found.missing)
    assert first[0] == "not finished" and first[1] == grid.cells()[0].title
    assert second[0] == "no memory" and second[1].startswith("3 cells: ")
    write_record(store, grid, "")
    page = write_results(store, found, 4).read_text(encoding="utf-8")
    assert page.count("no memory") == 1 and "4 of 4 cells are missing" in page
    assert grouped([(str(n), "x") for n in range(9)]) == [("x", "9 cells: 0; 1; 2; 3 and 5 more")]


def test_a_law_that_cannot_be_fitted_says_why(talking_model_dir: Path, news_file: Path, tmp_path: Path) -> None:
    drawn = "[closed_book, loss, recall]"
    fields = f"measures: {drawn}\nfigure: {{kind: scaling, x: elements, measures: {drawn}}}"
    study = changed(numbers(talking_model_dir, news_file, fields), {"vary": {"elements": [1, 8]}}, "here")
    store = written(study, tmp_path, lambda cell, place: place % 2)
    found = results(store, study, study.cells(), {})
    said_of = [one for one in sentences(found) if "be fitted" in one]
    assert len(said_of) == 3, sentences(found)
    assert said_of[0].startswith(
        "Closed book: nothing can be fitted: 2 different efforts: [1.0, 8.0], and it takes a base"
    )
    assert "it was not measured" in said_of[2]
    write_record(store, study, "")
    page = write_results(store, found, 2).read_text(encoding="utf-8")
    assert "nothing can be fitted" in page and "Dashed: the" not in page and "No power law is drawn" in page


# The command


@pytest.mark.parametrize(
    "words", ["study run", "study show", "study new", "models pull", "models info", "ledger show", "news import"]
)
def test_help_names_what_is_given_by_place(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call([*words.split(), "--help"])
    usage = capsys.readouterr().out.split("\n\n")[0]
    assert not re.search(r"(?<!-) (STR|INT)\b", re.sub(r"--\S+ \S+", "", usage)), usage


def test_help_wraps_at_the_width_of_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line ends where a line of the source does, long before the edge."""
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        call(["ledger", "add", "--help"])
    said = capsys.readouterr().out
    text = " ".join(line.strip("│ ") for line in said.splitlines())
    assert "and of a new one the default model." in text
    assert not any(
        line.strip("│ ") == "a new one the" or line.endswith("a new one the │") for line in said.splitlines()
    )


def test_an_option_that_is_given_twice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["study", "gap", "--set", "rank=4", "rank=8"]) == 2
    assert "rank is there twice" in capsys.readouterr().err
    assert call(["study", "gap", "--seeds", "1", "1"]) == 2
    assert "seeds: 1 is there twice" in capsys.readouterr().err


def test_the_options_are_listed_with_values_and_meaning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    assert call(["study", "options"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "nothing, news, paraphrase or other" in said and "(nothing)" in said
    assert "What precedes" in said


def test_the_time_of_training_is_that_of_steps_not_of_passes(
    grid: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast passes without gradients are, the time of a training is from steps of one."""
    monkeypatch.setattr("sys2ft.studies.estimate.measure_rates", lambda model, news: Rates(1e30, 1e30))
    parts = {one.part: one for one in outlook(grid, tmp_path / "new").estimates}
    assert parts["ask"].seconds < 1e-9 < 1e-4 < parts["train"].seconds < 60
