"""tools/install.py: uv installs from where pip is configured to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.install import Installer, main, pip_settings, uv_environment

LISTING = """\
:env:.find-links='/wheels'
global.extra-index-url='file:///a/simple file:///b/simple'
global.find-links='/old-wheels'
global.index-url='https://index.example/simple'
install.trusted-host='index.example'
"""


def test_uv_gets_the_settings_of_pip() -> None:
    environment = uv_environment(pip_settings(LISTING))
    assert environment["UV_DEFAULT_INDEX"] == "https://index.example/simple"
    assert environment["UV_INDEX"] == "file:///a/simple file:///b/simple"
    assert environment["UV_FIND_LINKS"] == "/wheels"  # the environment overrides the file
    assert environment["UV_INSECURE_HOST"] == "index.example"
    assert environment["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def test_a_machine_without_settings_of_pip() -> None:
    assert uv_environment(pip_settings("")).keys() == {
        "UV_INDEX_STRATEGY",
        "UV_PYTHON_DOWNLOADS",
        "UV_COMPILE_BYTECODE",
    }


@pytest.mark.parametrize("steps", [[], ["no verb"], ["label: remove x"], ["a: install b", "c"]])
def test_steps_that_cannot_be_read(steps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "venv"), *steps]) == 2
    assert "LABEL: install" in capsys.readouterr().err
    assert not (tmp_path / "venv").exists()


def fake_environment(folder: Path, *, uv_works: bool) -> Path:
    """An environment whose python and uv append their arguments to a file."""
    (folder / "bin").mkdir(parents=True)
    for name, code in [("python", 0), ("uv", 0 if uv_works else 1)]:
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> "{folder}/calls"\nexit {code}\n')
        program.chmod(0o755)
    return folder


@pytest.mark.parametrize("uv_works", [True, False])
def test_pip_installs_what_uv_cannot(uv_works: bool, tmp_path: Path) -> None:
    venv = fake_environment(tmp_path / "venv", uv_works=uv_works)
    Installer(venv).install(["--no-deps", "thing"])
    calls = (venv / "calls").read_text().splitlines()
    assert any(call.startswith("uv pip install") and call.endswith("--no-deps thing") for call in calls)
    by_pip = [call for call in calls if call.endswith(" install --quiet --no-deps thing") and "pip" in call]
    assert len(by_pip) == (not uv_works)


def test_a_step_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    venv = fake_environment(tmp_path / "venv", uv_works=True)
    (venv / "bin" / "broken").write_text("#!/bin/sh\nexit 3\n")
    (venv / "bin" / "broken").chmod(0o755)
    assert main([str(venv), "works: run uv", "fails: run broken --now", "not reached: run uv"]) == 1
    output = capsys.readouterr()
    assert "fails" in output.out and "not reached" not in output.out
    assert "broken --now" in output.err
