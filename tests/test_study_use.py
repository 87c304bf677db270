"""What somebody who uses `sys2ft study` meets: what is refused and how, folders that are not right, and the words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sys2ft.errors import SettingsError
from sys2ft.files import write_jsonl
from sys2ft.news import News, news_to_dict
from sys2ft.studies import Study, changed, parse_study
from sys2ft.studies.options import checked, meanings, option_types

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
def news_file(tmp_path_factory: pytest.TempPathFactory, news: list[News]) -> Path:
    path = tmp_path_factory.mktemp("news") / "news.jsonl"
    write_jsonl(path, [news_to_dict(item) for item in news])
    return path


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
        ("measures: [text, recall]\ncompare: {measure: text, of: recall}", "a loss of texts.*a share of tokens.*seen"),
        (
            "measures: [closed_book, neighbours]\ncompare: {measure: neighbours, of: closed_book}",
            "of neighbours.*of questions.*remove `of`",
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
