"""The Dockerfile: its steps are carried out in a fresh environment that already has the pinned libraries."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PIP_SETTINGS = {
    "PIP_NO_BUILD_ISOLATION": "0",  # pip's odd name for: build with the setuptools that is here
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}


def steps() -> list[tuple[str, str]]:
    """(instruction, what follows) of the Dockerfile, continuation lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines if line.strip()]


def of(instruction: str) -> list[str]:
    return [what for name, what in steps() if name == instruction]


def test_the_image_is_not_roots_and_keeps_its_cache_in_a_volume() -> None:
    names = [name for name, _ in steps()]
    assert of("FROM") == ["${BASE}"] and of("ARG") == ["BASE=python:3.12-slim"]
    assert of("USER") == ["sys2ft"] and names.index("USER") < names.index("ENTRYPOINT")
    assert json.loads(of("VOLUME")[0]) == ["/cache"] and "SYS2FT_CACHE=/cache/" in of("ENV")[-1]


def test_what_is_copied_is_what_the_context_has() -> None:
    """.dockerignore leaves out everything but what COPY names, and that is there."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    sources = [source.removeprefix("./") for what in of("COPY") for source in what.split()[:-1]]
    assert ignored[0] == "*" and {f"!{source}" for source in sources} == {x for x in ignored if x[0] == "!"}
    assert all((ROOT / source).exists() for source in sources)


@pytest.mark.slow
def test_the_steps_install_a_command_that_works(tmp_path: Path) -> None:
    place, app = tmp_path / "venv", tmp_path / "app"
    venv.create(place, symlinks=True)
    own = Path(sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)}))
    (own / "present.pth").write_text(sysconfig.get_path("purelib") + "\n")  # the libraries, and pip
    app.mkdir()
    settings = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    settings |= PIP_SETTINGS | {"PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    settings |= {"SYS2FT_CACHE": str(tmp_path / "cache")}

    def run(command: str, folder: Path) -> str:
        done = subprocess.run(command, shell=True, cwd=folder, env=settings, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    left_out = []
    for name, what in steps():
        if name == "COPY":
            *sources, target = what.split()
            for source in sources:
                whole = (ROOT / source).is_dir()
                to = app / target if whole else app / source
                if whole:
                    shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
                else:
                    shutil.copy(ROOT / source, to)
        elif name == "RUN" and "python" in what:
            run(what, app)
        elif name == "RUN":
            left_out.append(what)
    assert [what.split()[0] for what in left_out] == ["useradd"], "all but the user, who needs root"
    shutil.rmtree(app)  # what is installed needs no source
    (tmp_path / "runs").mkdir()
    entry = shlex.join(json.loads(of("ENTRYPOINT")[0]))
    assert run(f"command -v {entry}", tmp_path).strip() == str(place / "bin" / "sys2ft")
    assert run(f"{entry} --version", tmp_path / "runs").startswith("sys2ft ")
    document = json.loads(run(f"{entry} doctor --json", tmp_path / "runs"))
    assert document["works"] is True
    found = {finding["topic"]: finding for finding in document["findings"]}
    assert str(place) in found["python"]["said"]
    expected = {"ok"} if sys.version_info >= (3, 11) else {"ok", "note"}
    assert found["extra import"]["state"] in expected
    where = f"{sys.executable and 'python'} -c 'import sys2ft; print(sys2ft.__file__)'"
    assert run(where, tmp_path / "runs").startswith(str(own))
