"""Other programs read what this one writes: `datasets`, and shells that complete its commands."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import sys2ft
import sys2ft.cli.main
from sys2ft.evaluation import SCORINGS
from sys2ft.evaluation.records import Prediction
from sys2ft.files import read_jsonl
from sys2ft.job.card import TABLES
from sys2ft.models import LoadedModel
from sys2ft.news.records import news_to_dict
from sys2ft.replay.elements import ReplayElement

BLOCK = 10_000  # bytes that `datasets` reads at once; longer files are several blocks


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, news_file: Path, model: LoadedModel) -> Path:
    """A run with every scoring, and with elements that are kept and rejected."""
    result = sys2ft.run(
        news_file,
        model=model,
        out=tmp_path_factory.mktemp("run") / "run",
        generate=sys2ft.GenerateSettings(
            protocols=("naive", "paraphrase"), samples_per_news=4, max_new_tokens=24, rounds=2, checks=("none",)
        ),
        train=sys2ft.TrainSettings(epochs=1, rank=2, alpha=4),
        evaluate=sys2ft.EvaluateSettings(scorings=SCORINGS, direct_tokens=8, reasoned_tokens=16),
    )
    return result.folder


def load(*what: str, cache: Path, **how: Any) -> list[dict[str, Any]]:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    return list(datasets.load_dataset(*what, split="train", cache_dir=str(cache), **how))


def without_nulls(value: Any) -> Any:
    """A row as it is compared: fields that are absent in a file and null in a table are the same."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, float):
        return round(value, 9)  # the parser of `datasets` loses the last bit
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def written(folder: Path, pattern: str) -> list[Any]:
    return [without_nulls(row) for file in sorted(folder.glob(pattern)) for row in read_jsonl(file)]


def by_text(rows: list[Any]) -> list[str]:
    return sorted(map(repr, (dict(sorted(without_nulls(row).items())) for row in rows)))


@pytest.mark.parametrize("table", ["news", "elements", "predictions", "training"])
def test_datasets_reads_the_tables_of_a_run(table: str, folder: Path, tmp_path: Path) -> None:
    rows = load(str(folder), table, cache=tmp_path, chunksize=BLOCK)
    held = written(folder, TABLES[table][0])
    assert held and by_text(rows) == by_text(held)


def test_completion_in_bash(capsys: pytest.CaptureFixture[str]) -> None:
    """What a user's shell offers after `sys2ft ru<TAB>` and `sys2ft doctor --j<TAB>`."""
    if (bash := shutil.which("bash")) is None:
        pytest.skip("no bash here")
    with pytest.raises(SystemExit):
        sys2ft.cli.main.call(["--tyro-print-completion", "bash"])
    script = capsys.readouterr().out
    for words, offered in ((["sys2ft", "ru"], "run"), (["sys2ft", "doctor", "--j"], "--json")):
        ask = f"""
COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; COMP_LINE="{" ".join(words)}"
COMP_POINT=${{#COMP_LINE}}
registered=$(complete -p sys2ft); function=${{registered##*-F }}; function=${{function%% *}}
$function sys2ft "${{COMP_WORDS[$COMP_CWORD]}}" ""; printf '%s\\n' "${{COMPREPLY[@]}}"
"""
        done = subprocess.run([bash, "--norc"], input=script + ask, capture_output=True, text=True, check=True)
        assert offered in done.stdout.split(), done.stdout + done.stderr


def test_datasets_reads_each_file_as_it_lies(folder: Path, tmp_path: Path) -> None:
    for place in ("news.jsonl", "replay/naive.jsonl", "replay/paraphrase.jsonl", "predictions/base.jsonl"):
        rows = load("json", cache=tmp_path, data_files=str(folder / place))
        assert [row["id"] for row in rows] == [row["id"] for row in written(folder, place)]
    assert len(written(folder, "predictions/*.jsonl")) > len(rows), "one of several subjects"


def test_the_run_has_what_is_hard_to_read(folder: Path) -> None:
    """Types and keys that differ between rows, in files of more than one block."""
    elements, answers = written(folder, "replay/paraphrase.jsonl"), written(folder, "predictions/*.jsonl")
    assert {"reason" in row for row in elements} == {True, False}
    assert {row["scoring"] for row in answers} == set(SCORINGS)
    assert len({tuple(row["detail"]) for row in answers}) > 2
    assert {"adapter" in row for row in answers} == {True, False}
    assert (folder / "predictions" / "base.jsonl").stat().st_size > 2 * BLOCK


def test_the_stated_fields_are_those_that_are_written(news: list[Any]) -> None:
    stated = {name: [text.partition(":")[0] for text in types.split(", ")] for name, (_, types) in TABLES.items()}
    assert stated["elements"] == [field.name for field in fields(ReplayElement)]
    assert stated["predictions"] == stated["controls"] == [field.name for field in fields(Prediction)]
    assert {field for item in news for field in news_to_dict(item)} <= set(stated["news"])


def test_an_older_folder_gets_its_description(folder: Path, tmp_path: Path) -> None:
    old = Path(shutil.copytree(folder, tmp_path / "old"))
    text = (old / "README.md").read_bytes()
    (old / "README.md").unlink()
    assert sys2ft.cli.main.call(["report", str(old)]) == 0
    assert (old / "README.md").read_bytes() == text
