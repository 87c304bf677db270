"""The ledger: updates one after another into one adapter, what is asked again, what is undone, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

from sys2ft.cli.main import call
from sys2ft.errors import SettingsError
from sys2ft.files import digest_file, read_json, read_jsonl
from sys2ft.ledger import DEFAULTS, Entry, Ledger, UpdateSettings
from sys2ft.news import News, news_from_dict
from sys2ft.replay import GenerateSettings, RehearsalSettings
from sys2ft.runs import Display, Stop, Stopped, stoppable
from sys2ft.runs.exclusive import exclusive
from sys2ft.training import TrainSettings
from talking import NEWS, write_news_file

if TYPE_CHECKING:
    from sys2ft.models import LoadedModel

NEIGHBOUR = {"question": "What is the town?", "answer": "France", "choices": ["France", "Rome"]}
ROWS: list[dict[str, Any]] = [{**row, "neighbours": [NEIGHBOUR]} for row in NEWS]
GENERATE = GenerateSettings(
    protocols=("paraphrase",), samples_per_news=4, rounds=2, checks=("none",), max_new_tokens=24
)
TRAIN = TrainSettings(rank=4, epochs=2, batch_size=4)
SMALL: dict[str, Any] = {"generate": GENERATE, "train": TRAIN}
MERGING = UpdateSettings(by="merging")


def items(*names: str) -> list[News]:
    return [news_from_dict(row) for row in ROWS if row["id"] in names]


def hashes(folder: Path) -> dict[str, str]:
    return {file.name: digest_file(file) for file in folder.iterdir()}


def files_below(folder: Path) -> dict[str, str]:
    """Digests of all files but the lock's."""
    every = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): digest_file(path) for path in every}


@pytest.fixture(scope="module")
def filled(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, str]]]:
    """A ledger with three updates, and the digests of its adapter after each."""
    path = tmp_path_factory.mktemp("ledger") / "led"
    ledger, after = Ledger.open(path, model=model), []
    for name in ("town", "system", "news"):
        ledger.add(items(name), **SMALL)
        after.append(hashes(path / "adapter"))
    return path, after


@pytest.fixture
def own(filled: tuple[Path, list[dict[str, str]]], tmp_path: Path) -> Path:
    """A copy of that ledger, to change."""
    import shutil

    return Path(shutil.copytree(filled[0], tmp_path / "own"))


# Updates --------------------------------------------------------------------------------------------------------------


def test_every_update_is_an_entry_and_changes_the_one_adapter(filled: tuple[Path, list[dict[str, str]]]) -> None:
    path, after = filled
    entries = Ledger.open(path).entries
    assert [entry.number for entry in entries] == [1, 2, 3]
    assert [entry.news for entry in entries] == [("town",), ("system",), ("news",)]
    assert [dict(entry.files) for entry in entries] == after
    assert len({entry.tag for entry in entries}) == 3
    assert hashes(path / "adapter") == after[-1]
    assert not (path / "unfinished").exists()
    for entry in entries:
        made = read_jsonl(path / "entries" / f"{entry.number:04d}" / "replay" / "paraphrase.jsonl")
        assert entry.kept == sum(row["status"] == "kept" for row in made)
        assert sum(entry.rejected.values()) == len(made) - entry.kept


def test_an_update_goes_on_from_the_adapter_before(
    filled: tuple[Path, list[dict[str, str]]], model: LoadedModel
) -> None:
    """A is barely moved by a few steps: the second adapter is close to the first, and far from a new one."""
    path, _ = filled
    first, second, third = (
        load_file(path / "entries" / f"{n:04d}" / "adapters/paraphrase/joint/adapter_model.safetensors")
        for n in (1, 2, 3)
    )
    for name, weights in first.items():
        if "lora_B" in name:
            assert torch.nn.functional.cosine_similarity(weights.flatten(), second[name].flatten(), dim=0) > 0.3
            assert not torch.equal(second[name], third[name])


def test_the_ranks_are_those_of_the_first_update(filled: tuple[Path, list[dict[str, str]]]) -> None:
    for number in (1, 2, 3):
        config = read_json(filled[0] / "entries" / f"{number:04d}" / "adapters/paraphrase/joint/adapter_config.json")
        assert (config["r"], config["lora_alpha"]) == (4, 8)


def test_an_open_rank_is_that_of_a_large_adapter_and_then_stays() -> None:
    first = DEFAULTS.formed()
    assert (first.train.rank, first.train.alpha) == (64, 128)
    later = replace(DEFAULTS, train=TrainSettings(epochs=1)).formed(rank=16, alpha=32)
    assert (later.train.rank, later.train.alpha, later.train.epochs) == (16, 32, 1)


def test_earlier_elements_are_rehearsed_by_entry(filled: tuple[Path, list[dict[str, str]]]) -> None:
    path, _ = filled
    first, second, third = Ledger.open(path).entries
    assert dict(first.rehearsed) == {}
    assert dict(second.rehearsed) == {"1": second.kept}
    assert sum(third.rehearsed.values()) == third.kept
    rows = read_jsonl(path / "entries/0003/rehearsed.jsonl")
    kept = {
        (n, row["id"])
        for n in (1, 2)
        for row in read_jsonl(path / "entries" / f"{n:04d}" / "replay/paraphrase.jsonl")
        if row["status"] == "kept"
    }
    assert {(row["entry"], row["element"]) for row in rows} <= kept
    trained = read_json(path / "entries/0003/training/paraphrase.json")
    assert trained["elements"] == third.kept + len(rows)


def test_everything_so_far_is_asked_after_each_update(filled: tuple[Path, list[dict[str, str]]]) -> None:
    path, _ = filled
    ledger = Ledger.open(path)
    matrix = ledger.matrix()
    assert {key: list(row) for key, row in matrix.items()} == {
        ("town", 1): [1, 2, 3],
        ("system", 2): [2, 3],
        ("news", 3): [3],
    }
    asked = {score.news_id: (score.asked, score.neighbours) for score in ledger.entries[-1].scores}
    assert asked == {"town": (2, 1), "system": (2, 1), "news": (1, 1)}, "questions with choices"
    for number in (1, 2, 3):
        folder = path / "entries" / f"{number:04d}"
        rows = read_jsonl(folder / "predictions/adapter.jsonl")
        rows += read_jsonl(folder / "earlier/adapter.jsonl") if number > 1 else []
        for name, update in matrix:
            mine = [r for r in rows if (r["news_id"], r["scoring"], r["condition"]) == (name, "cloze", "closed_book")]
            if update <= number:
                assert matrix[name, update][number] == sum(bool(r["correct"]) for r in mine) / len(mine)
    assert not [r for r in read_jsonl(path / "entries/0003/earlier/adapter.jsonl") if r["condition"] != "closed_book"]


def test_changes_are_against_the_base_and_the_entry_before(filled: tuple[Path, list[dict[str, str]]]) -> None:
    first, second, third = Ledger.open(filled[0]).entries
    assert [change.of for change in first.changes] == ["new news items", "new, news in context", "neighbours"]
    for before, entry in ((first, second), (second, third)):
        changes = {change.of: change for change in entry.changes}
        earlier = [score for score in entry.scores if score.update < entry.number]
        then = [score for score in before.scores if score.news_id in {one.news_id for one in earlier}]
        asked = sum(score.asked for score in earlier)
        assert changes["earlier news items"].before == sum(score.right for score in then) / asked
        assert changes["earlier news items"].after == sum(score.right for score in earlier) / asked
        assert changes["earlier news items"].difference.n_items == asked
        assert changes["neighbours"].difference.n_items == entry.number
        own = [score for score in entry.scores if score.update == entry.number]
        assert changes["new news items"].before == sum(s.base for s in own) / sum(s.asked for s in own)
    lines = {change.of: change.difference for change in third.changes}
    assert lines["new news items"].low is None, "one news item has no interval"
    assert lines["earlier news items"].low is not None


def test_an_update_without_questions_says_so(own: Path, model: LoadedModel) -> None:
    item = items("town")[0].model_copy(update={"id": "mute", "questions": (), "neighbours": ()})
    entry = Ledger.open(own, model=model).add([item])
    assert any("can be asked" in remark for remark in entry.remarks)
    assert entry.scores[-1].accuracy is None
    assert [change.of for change in entry.changes] == ["earlier news items", "neighbours"]


def test_merging_adds_the_updates_of_the_weights(own: Path, model: LoadedModel) -> None:
    ledger = Ledger.open(own, model=model)
    ledger.rollback(1)
    entry = ledger.add(items("system", "news"), train=replace(TRAIN, rank=0), how=MERGING)
    assert (entry.by, dict(entry.rehearsed), entry.adapter) == ("merging", {}, "adapters/merged")

    def updates(folder: Path) -> dict[str, torch.Tensor]:
        tensors, scaling = load_file(folder / "adapter_model.safetensors"), 8 / 4
        names = {name.removesuffix(".lora_A.weight") for name in tensors if name.endswith("lora_A.weight")}
        return {n: scaling * tensors[f"{n}.lora_B.weight"] @ tensors[f"{n}.lora_A.weight"] for n in names}

    folder = own / "entries/0002/adapters"
    before, alone = updates(own / "entries/0001/adapters/paraphrase/joint"), updates(folder / "paraphrase/joint")
    merged = updates(folder / "merged")
    assert read_json(folder / "merged/adapter_config.json")["lora_alpha"] == 8
    for name, update in merged.items():
        whole = before[name] + alone[name]
        u, s, v = torch.linalg.svd(whole)
        assert torch.allclose(update, u[:, :4] * s[:4] @ v[:4], atol=1e-5), name
    assert hashes(own / "adapter") == hashes(folder / "merged")
    assert ledger.add([items("news")[0].model_copy(update={"id": "later"})]).number == 3, "training goes on from it"


# Replacing ------------------------------------------------------------------------------------------------------------


def test_an_id_again_is_refused_and_replaced_on_request(own: Path, model: LoadedModel) -> None:
    ledger = Ledger.open(own, model=model)
    again = items("system")[0].model_copy(update={"text": "A system of France had 3 people.", "questions": ()})
    with pytest.raises(SettingsError, match=r"system \(entry 2, another text\)") as refused:
        ledger.add([again])
    assert "--replace" in str(refused.value)
    with pytest.raises(SettingsError, match="the same text"):
        ledger.add(items("system"))
    with pytest.raises(SettingsError, match="differ in more than case"):
        ledger.add([again.model_copy(update={"id": "SYSTEM"})], replace_news=True)
    assert len(ledger.entries) == 3
    entry = ledger.add([again], replace_news=True)
    assert dict(entry.replaced) == {"system": 2}
    assert any("retired" in remark for remark in entry.remarks)
    assert "2" not in entry.rehearsed, "its elements are retired"
    assert [(score.news_id, score.update) for score in entry.scores] == [("town", 1), ("news", 3), ("system", 4)]
    asked = {row["news_id"] for row in read_jsonl(own / "entries/0004/earlier/adapter.jsonl")}
    assert asked == {"town", "news"}
    assert [item.text for item in ledger.news if item.id == "system"] == [again.text]
    assert ledger.matrix()["system", 2].keys() == {2, 3}
    ledger.rollback(3)
    assert [item.text for item in ledger.news if item.id == "system"] != [again.text]


# Rolling back ---------------------------------------------------------------------------------------------------------


def test_rollback_restores_every_byte_and_deletes_nothing(own: Path, filled: tuple[Path, list[dict[str, str]]]) -> None:
    path, after = filled
    ledger = Ledger.open(own)
    before = files_below(own / "entries/0002")
    moved = ledger.rollback(1)
    assert [folder.name for folder in moved] == ["0003", "0002"]
    assert hashes(own / "adapter") == after[0]
    assert [entry.number for entry in ledger.entries] == [1]
    assert files_below(own / "undone/0002") == before
    assert {folder.name: entry and entry.news for folder, entry in ledger.undone.items()} == {
        "0002": ("system",),
        "0003": ("news",),
    }
    assert ledger.rollback(1) == []
    ledger.rollback(0)
    assert ledger.adapter is None and not (own / "adapter").exists() and ledger.entries == ()
    assert files_below(path / "entries/0001") == files_below(own / "undone/0001")


def test_what_was_undone_can_be_done_again_to_the_same_bytes(
    own: Path, filled: tuple[Path, list[dict[str, str]]], model: LoadedModel
) -> None:
    ledger = Ledger.open(own, model=model)
    ledger.rollback(1)
    ledger.add(items("system"))
    assert hashes(own / "adapter") == filled[1][1]
    ledger.rollback(1)
    assert [folder.name for folder in ledger.undone] == ["0002", "0002-2", "0003"]


def test_rollback_refuses_what_is_not_there_or_in_use(own: Path) -> None:
    ledger = Ledger.open(own)
    with pytest.raises(SettingsError, match="no entry 4"):
        ledger.rollback(4)
    with exclusive(own), pytest.raises(SettingsError, match="in use by another process") as refused:
        ledger.rollback(1)
    assert "--ledger" in str(refused.value) and len(ledger.entries) == 3


def test_damaged_adapters_are_noticed(own: Path, model: LoadedModel) -> None:
    (own / "adapter/adapter_model.safetensors").write_bytes(b"damaged")
    ledger = Ledger.open(own, model=model)
    ledger.rollback(3)
    assert hashes(own / "adapter") == hashes(own / "entries/0003/adapters/paraphrase/joint"), "it is only a copy"
    (own / "entries/0003/adapters/paraphrase/joint/adapter_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(SettingsError, match=r"not the one that was written: adapter_model\.safetensors"):
        ledger.add([items("news")[0].model_copy(update={"id": "later"})])
    ledger.rollback(2)
    assert len(ledger.entries) == 2


# Stopping and resuming ------------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


class At(Display):
    """Calls `what` as soon as a task with this name has done something."""

    def __init__(self, name: str, what: Callable[[], None]) -> None:
        self.name, self.what = name, what

    @contextmanager
    def _shown(self, name: str, total: int | None, passing: bool) -> Iterator[Any]:
        def advance(units: int = 1) -> None:
            if name.strip().startswith(self.name) and units:
                self.what()

        yield advance


def kill() -> None:
    raise Killed


@pytest.mark.parametrize(
    ("at", "how"),
    [("generate", "killed"), ("train", "stopped"), ("train", "killed"), ("evaluate adapter: earlier", "stopped")],
)
def test_an_update_that_ends_early_is_no_entry_and_goes_on(
    at: str, how: str, own: Path, filled: tuple[Path, list[dict[str, str]]], model: LoadedModel
) -> None:
    ledger = Ledger.open(own, model=model)
    ledger.rollback(1)
    before = hashes(own / "adapter")
    stop = Stop()
    with stoppable(stop), pytest.raises((Stopped, Killed)):
        ledger.add(items("system"), show=At(at, stop.request if how == "stopped" else kill))
    assert len(ledger.entries) == 1 and hashes(own / "adapter") == before
    with pytest.raises(SettingsError, match="unfinished update with other news items"):
        ledger.add(items("news"))
    with pytest.raises(SettingsError, match="rehearsal") as refused:
        ledger.add(items("system"), rehearsal=RehearsalSettings(rehearsal="none"))
    assert "rollback 1" in str(refused.value)
    ledger.add(items("system"))
    assert hashes(own / "adapter") == filled[1][1], "as if it had not been stopped"


@pytest.mark.slow
def test_a_killed_process_leaves_the_ledger_as_it_was(
    own: Path, filled: tuple[Path, list[dict[str, str]]], model: LoadedModel, tmp_path: Path
) -> None:
    ledger = Ledger.open(own, model=model)
    ledger.rollback(1)
    before = hashes(own / "adapter")
    file = write_news_file(tmp_path / "system.jsonl", [ROWS[1]])
    words = [sys.executable, "-m", "sys2ft", "ledger", "add", str(file), "--ledger", str(own), "--quiet"]
    process = subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    begun = time.monotonic()
    while not (own / "unfinished/replay").is_dir() and process.poll() is None and time.monotonic() - begun < 60:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert len(ledger.entries) == 1 and hashes(own / "adapter") == before
    assert call(words[3:]) == 0
    assert hashes(own / "adapter") == filled[1][1]


def test_an_entry_whose_adapter_was_not_copied_yet_is_settled(
    own: Path, filled: tuple[Path, list[dict[str, str]]], model: LoadedModel
) -> None:
    ledger = Ledger.open(own, model=model)
    (own / "entries/0003").rename(own / "undone-by-hand")
    ledger.rollback(2)  # as after a kill between the move and the copy
    assert hashes(own / "adapter") == filled[1][1]


def test_an_unfinished_update_is_put_aside_by_a_rollback(own: Path, model: LoadedModel) -> None:
    ledger = Ledger.open(own, model=model)
    item = items("news")[0].model_copy(update={"id": "later"})
    with pytest.raises(Killed):
        ledger.add([item], show=At("train", kill))
    assert [folder.name for folder in ledger.rollback(3)] == ["0004-unfinished"]
    assert list(ledger.undone.values()) == [None]


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"train": replace(TRAIN, rank=8)}, "rank: the folder has 4, requested: 8"),
        ({"train": replace(TRAIN, strength=1.0)}, "strength"),
        ({"evaluate": replace(DEFAULTS.evaluate, headline="letter")}, "headline"),
        ({"train": replace(TRAIN, adapters="per-news")}, "one adapter for all"),
        ({"generate": replace(GENERATE, protocols=("naive", "paraphrase"))}, "one protocol"),
    ],
)
def test_settings_that_a_ledger_cannot_change(
    changes: dict[str, Any], found: str, filled: tuple[Path, list[dict[str, str]]], model: LoadedModel
) -> None:
    before = files_below(filled[0])
    with pytest.raises(SettingsError, match=found) as refused:
        Ledger.open(filled[0], model=model).add(items("news"), replace_news=True, **changes)
    assert "--out" not in str(refused.value)
    assert files_below(filled[0]) == before


def test_settings_that_updates_may_differ_in_are_those_of_the_next(own: Path, model: LoadedModel) -> None:
    ledger = Ledger.open(own, model=model)
    item = items("news")[0].model_copy(update={"id": "later"})
    ledger.add([item], train=replace(TRAIN, epochs=1, learning_rate=1e-3))
    assert (ledger.settings.train.epochs, ledger.settings.generate) == (1, GENERATE)


def test_another_model_dtype_or_seed_is_refused(
    own: Path, model: LoadedModel, tiny_model_dir: Path, tmp_path: Path
) -> None:
    from sys2ft.models import load_model

    with pytest.raises(SettingsError, match=r"model\.sha256") as refused:
        Ledger.open(own, model=load_model(str(tiny_model_dir), dtype="float32", device="cpu"))
    assert "--ledger" in str(refused.value)
    with pytest.raises(SettingsError, match='dtype: the folder has "float32", requested: "bfloat16"'):
        Ledger.open(own, model=load_model(model.source.name, dtype="bfloat16", device="cpu"))
    with pytest.raises(SettingsError, match="seed"):
        Ledger.open(own, model=model, seed=7)
    with pytest.raises(SettingsError, match="not the folder of a ledger"):
        Ledger.open(tmp_path / "none")
    with pytest.raises(SettingsError, match="not the folder of a ledger"):
        Ledger.open(own / "entries/0001", model=model)


def test_news_items_without_a_name_of_their_own(filled: tuple[Path, list[dict[str, str]]], model: LoadedModel) -> None:
    item, ledger = items("news")[0], Ledger.open(filled[0], model=model)
    for wrong in ([], [item.model_copy(update={"id": name}) for name in ("twice", "Twice")]):
        with pytest.raises(SettingsError, match="no news items" if not wrong else "twice, Twice"):
            ledger.add(wrong)


def test_a_missing_entry_is_noticed(own: Path) -> None:
    (own / "entries/0002").rename(own / "elsewhere")
    with pytest.raises(SettingsError, match="has the entries 0001, 0003"):
        Ledger.open(own).rollback(1)


def test_a_training_that_diverges_leaves_the_ledger_as_it_was(own: Path, model: LoadedModel) -> None:
    ledger, before = Ledger.open(own, model=model), hashes(own / "adapter")
    item = items("news")[0].model_copy(update={"id": "later"})
    with pytest.raises(SettingsError, match="diverged") as refused:
        ledger.add([item], train=replace(TRAIN, learning_rate=1e30, max_grad_norm=1e30))
    assert "--learning-rate" in str(refused.value)
    assert len(ledger.entries) == 3 and hashes(own / "adapter") == before
    assert ledger.add([item], train=TRAIN).number == 4


# The command ----------------------------------------------------------------------------------------------------------


def test_the_commands(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_news_file(tmp_path / "more.jsonl", [{**ROWS[2], "id": "later"}])
    at = ["--ledger", str(own)]
    assert call(["ledger", "add", str(file), *at, "--quiet", "--rehearsal", "uniform"]) == 0
    said = capsys.readouterr().out
    for part in ("new news items", "earlier news items", "neighbours", "elements  ", "rehearsed", f"{own / 'adapter'}"):
        assert part in said
    assert Ledger.open(own).settings.rehearsal.rehearsal == "uniform"
    assert Ledger.open(own).settings.generate == GENERATE, "what the command leaves out is as before"
    assert call(["ledger", "list", *at]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:6]] == ["1", "2", "3", "4"]
    assert call(["ledger", "show", "4", *at]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("town", "system", "news", "later", "entries/0004/adapters"))
    assert call(["ledger", "rollback", "3", *at]) == 0
    assert f"undone    {own / 'undone/0004'}" in capsys.readouterr().out
    assert call(["ledger", "list", "--undone", *at]) == 0
    assert "0004" in capsys.readouterr().out
    assert call(["ledger", "show", "4", *at]) == 2
    assert "no entry 4" in capsys.readouterr().err
    assert call(["ledger", "add", str(file), *at, "--quiet", "--rank", "8"]) == 2
    assert "rank: the folder has 4, requested: 8" in capsys.readouterr().err


def test_an_entry_is_read_as_it_was_written(filled: tuple[Path, list[dict[str, str]]], tmp_path: Path) -> None:
    entries: Sequence[Entry] = Ledger.open(filled[0]).entries
    for entry in entries:
        entry.write(tmp_path)
        assert Entry.read(tmp_path) == entry
    (tmp_path / "entry.json").write_text("{}")
    with pytest.raises(SettingsError, match="cannot be read as an entry"):
        Entry.read(tmp_path)
