"""Copies of a folder at an address, and folders that several machines share."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from sys2ft import files
from sys2ft.cli.main import call
from sys2ft.errors import SettingsError, StorageError
from sys2ft.files import write_json, write_text
from sys2ft.runs import Stopped, current_stop, stoppable
from sys2ft.runs.exclusive import exclusive
from sys2ft.stores import LIST, pull, push, require_store, stored


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of a bucket on an S3 server in this process."""
    server_module = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("s3fs")
    with pytest.MonkeyPatch.context() as patch:
        server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="news")
        yield "s3://news/run"
        server.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_text(tmp_path / "run" / "run.json", "{}")
    write_text(tmp_path / "run" / "adapters" / "naïve" / "joint" / "weights", "1234")
    write_text(tmp_path / "run" / ".lock", "")
    write_text(tmp_path / "run" / "training" / "bank-0.checkpoint" / "state", "much")
    return tmp_path / "run"


def there_and_back(folder: Path, address: str) -> None:
    assert push(folder, address) == 2  # neither locks nor checkpoints
    assert push(folder, address) == 0
    write_text(folder / "run.json", '{"a": 1}')
    (folder / "adapters" / "naïve" / "joint" / "weights").unlink()
    write_text(folder / "scores.json", "{}")
    assert push(folder, address) == 2
    other = folder.with_name("other")
    assert pull(address, other) == 2
    assert {file.name: file.read_text() for file in other.rglob("*")} == {"run.json": '{"a": 1}', "scores.json": "{}"}
    system, path = fsspec.core.url_to_fs(address)
    # A copy that was cut short has files of the list to come.
    coming = {"run.json": files.digest_bytes(b"{}"), "scores.json": files.digest_bytes(b"{}")}
    system.pipe_file(f"{path}/files.next.json", json.dumps(coming).encode())
    system.pipe_file(f"{path}/run.json", b"{}")
    assert pull(address, folder.with_name("second")) == 2
    system.pipe_file(f"{path}/scores.json", b"cut")
    with pytest.raises(StorageError, match="is not the file that"):
        pull(address, folder.with_name("third"))
    assert not folder.with_name("third").exists()
    assert pull(f"{address}-elsewhere", folder.with_name("third")) == 0


def test_a_copy_in_memory(folder: Path) -> None:
    there_and_back(folder, f"memory://{folder.parent.name}/run")


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_copy_on_an_s3_server(folder: Path, bucket: str) -> None:
    there_and_back(folder, bucket)
    with pytest.raises(StorageError, match="cannot be used"):
        push(folder, "s3://no-such-bucket-of-anyone/run")


def test_work_that_fails_or_stops_is_copied_too(folder: Path) -> None:
    address, notes = f"memory://{folder.parent.name}/failing", list[str]()
    with pytest.raises(Stopped), stored(folder, address, notes.append):
        raise Stopped
    there = folder.with_name("there")
    with stored(there, address, notes.append):
        assert (there / "run.json").is_file()
    assert notes == [f"2 files fetched from {address}", f"0 files copied to {address}"]


def test_the_results_of_another_folder_are_not_overwritten(folder: Path, tmp_path: Path) -> None:
    address = f"memory://{tmp_path.name}/mine"
    push(folder, address)
    write_text(tmp_path / "wrong" / "thesis.txt", "x")
    with pytest.raises(SettingsError, match="not those of"), stored(tmp_path / "wrong", address):
        raise AssertionError("the block is not entered")
    with pytest.raises(SettingsError, match="a wrong flag"), stored(folder, address):
        write_text(folder / "run.json", "changed")
        raise SettingsError("a wrong flag")
    assert fsspec.filesystem("memory").cat_file(f"/{tmp_path.name}/mine/run.json") == b"{}"


def test_a_list_that_names_files_elsewhere_is_refused(tmp_path: Path) -> None:
    system = fsspec.filesystem("memory")
    system.pipe_file("/evil/files.json", b'{"../out": "00"}')
    system.pipe_file("/out", b"x")
    with pytest.raises(StorageError, match="outside of the folder"):
        pull("memory://evil", tmp_path / "run")
    assert not (tmp_path / "out").exists() and LIST == "files.json"


@pytest.mark.parametrize("wrong", ["bucket/run", "nosuch://bucket/run"])
def test_wrong_addresses_are_refused_before_any_work(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="the store"):
        require_store(wrong)
    assert call(["run", "new-news", "--out", str(tmp_path / "run"), "--store", wrong]) == 2
    assert not (tmp_path / "run").exists()


# Machines that share a folder, on a file system whose locks each of them sees alone -----------------------------------


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads are machines: each has a name, and no lock holds between them."""
    monkeypatch.setattr("platform.node", lambda: threading.current_thread().name)
    monkeypatch.setattr("sys2ft.files.locked", lambda file: _nothing())
    monkeypatch.setattr("sys2ft.runs.exclusive.BEAT", 0.1)
    yield


class _nothing:
    def __enter__(self) -> bool:
        return True

    def __exit__(self, *error: object) -> None:
        return None


def test_only_one_of_several_machines_gets_a_folder(machines: None, tmp_path: Path) -> None:
    got, together = list[str](), threading.Barrier(4)

    def work() -> None:
        together.wait()
        try:
            with exclusive(tmp_path):
                got.append("worked")
                time.sleep(1)
        except SettingsError as error:
            got.append("refused")
            assert "in use by another process: process" in str(error)

    threads = [threading.Thread(target=work, name=f"host-{number}") for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == ["refused"] * 3 + ["worked"]
    assert not (tmp_path / ".holder.json").exists()


def test_the_lease_of_a_dead_machine_is_taken_over(machines: None, tmp_path: Path) -> None:
    write_json(tmp_path / ".holder.json", {"process": 1, "host": "gone", "since": "2026", "command": "x", "beat": 7})
    begun = time.monotonic()
    with exclusive(tmp_path):
        assert time.monotonic() - begun > 0.25  # after it was silent for three beats


def test_a_machine_that_stood_still_stops_and_says_so(machines: None, tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="taken over by process 9 on other"),
        stoppable() as stop,
        exclusive(tmp_path),
    ):
        write_json(tmp_path / ".holder.json", {"process": 9, "host": "other", "since": "2026", "command": "x"})
        time.sleep(0.5)
        assert stop.requested and current_stop() is stop
        current_stop().check()
    assert (tmp_path / ".holder.json").is_file()
