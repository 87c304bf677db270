"""What this machine has and lacks for sys2ft: versions, processor, memory, disk, GPU, cache, extras.

Takes nothing and gives findings, each with the command that mends it. A check that fails becomes a finding itself, so
that machines that lack a part of what is asked about (no `/proc`, no torch) are described too.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

State = Literal["ok", "note", "problem"]

EXTRAS = {
    "import": "reading PDF, Word and web documents and spreadsheets (`sys2ft news import`)",
    "retention": "the retention set `instructions`",
    "lm-eval": "tasks of EleutherAI's lm_eval (`sys2ft lm-eval`)",
    "openai": "text written by a server with OpenAI's interface",
    "vllm": "text written by vLLM",
    "ray": "workers of a Ray cluster",
    "slurm": "workers of Slurm",
    "s3": "copies of results at s3:// addresses",
    "serve": "serving models and adapters",
    "export": "files for other programs",
    "tensorboard": "curves for TensorBoard",
    "trackio": "curves for Trackio",
    "wandb": "curves for Weights & Biases",
    "test": "`make test`",
    "bench": "`make bench`",
}
"""What the optional libraries of an extra are for; a test holds that each extra of the package has its line."""

_GIB = 2**30
_MODEL_MEMORY = 1.0  # GiB that the embedded model's weights in float32 and torch take
_FULL, _TIGHT = 0.1, 2.0  # GiB of disk with which nothing can be written, and with which a GGUF is hardly converted


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `ok`, a `note` (something is missing that not everybody needs), or a `problem` (nothing will run)."""

    state: State
    topic: str
    said: str
    fix: str = ""
    """A command or a step; empty where nothing is to be done."""


def examine(*, network: bool = False) -> list[Finding]:
    """Everything that `sys2ft doctor` prints. Only with `network` is a connection made."""
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": _python,
        "packages": _packages,
        "processor": _processor,
        "memory": _memory,
        "disk": _disk,
        "gpu": _gpu,
        "cache": _cache,
        "model": _embedded,
        "extras": _extras,
        "hub": lambda: _hub(network),
    }
    found: list[Finding] = []
    for topic, check in checks.items():
        try:
            found += check()
        except Exception as error:  # odd machines fail in many ways; what is known of the others is still worth having
            found.append(Finding("note", topic, f"cannot be determined: {type(error).__name__}: {error}"))
    return found


def works(findings: list[Finding]) -> bool:
    """Whether a model can be run at all."""
    return all(finding.state != "problem" for finding in findings)


def _python() -> Iterator[Finding]:
    said = f"{platform.python_version()} in {sys.prefix}, {platform.system()} {platform.machine()}"
    supported = platform.system() in ("Linux", "Darwin")
    yield Finding("ok" if supported else "problem", "python", said, "" if supported else "use Linux, macOS or WSL")


def _packages() -> Iterator[Finding]:
    try:
        version, asked = metadata.version("sys2ft"), metadata.requires("sys2ft") or []
    except metadata.PackageNotFoundError:
        yield Finding(
            "note", "sys2ft", "runs from a folder that is not installed", "pip install -e . (in its checkout)"
        )
        return
    yield Finding("ok", "sys2ft", version)
    from packaging.requirements import Requirement

    wanted = [one for one in map(Requirement, asked) if one.marker is None or one.marker.evaluate({"extra": ""})]
    fine = []
    for one in wanted:
        bare = f"{one.name}{one.specifier}"
        held = _version(one.name)
        if held is None:
            yield Finding("problem", one.name, "is not installed", f"pip install '{bare}'")
        elif not one.specifier.contains(held, prereleases=True):
            yield Finding("problem", one.name, f"{held}; {one.specifier} is needed", f"pip install '{bare}'")
        elif one.name in ("torch", "transformers", "peft"):
            yield _imported(one.name, held, bare)
        else:
            fine.append(one.name)
    yield Finding("ok", "libraries", f"{len(fine)} more that are needed, in versions that fit")


def _imported(name: str, version: str, requirement: str) -> Finding:
    """Whether a library can be imported, which its presence alone does not say."""
    try:
        importlib.import_module(name)
    except Exception as error:  # a library that misses a shared object, or fails on this processor, raises anything
        fix = f"pip install --force-reinstall '{requirement}'"
        return Finding("problem", name, f"{version}, which cannot be imported: {type(error).__name__}: {error}", fix)
    return Finding("ok", name, version)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> Iterator[Finding]:
    from sys2ft import machine
    from sys2ft.runs.provenance import hardware

    described = hardware()
    said = f"{described['processor']}, {machine.cores()} cores, {described['cores']} threads of torch"
    from sys2ft.models import cpu_has_bfloat16

    halves = "bfloat16, which it multiplies natively" if cpu_has_bfloat16() else "float32 (no native bfloat16)"
    yield Finding("ok", "processor", f"{said}; models on it in {halves}")


def _memory() -> Iterator[Finding]:
    from sys2ft import machine

    free, limit = machine.free_memory() / _GIB, machine.memory() / _GIB
    said = f"{free:.1f} GiB free of {limit:.1f}"
    if free < _MODEL_MEMORY:
        needed = f"{said}; the smallest model needs {_MODEL_MEMORY:g}"
        yield Finding("problem", "memory", needed, "end other programs, or raise the container's limit")
    else:
        yield Finding("ok", "memory", said)


def _disk() -> Iterator[Finding]:
    from sys2ft.models.cache import cache_dir

    for topic, folder, elsewhere in (
        ("disk", Path.cwd(), "free some space, or choose another folder with --out"),
        ("disk of the cache", cache_dir(), "free some space, or set SYS2FT_CACHE to another folder"),
    ):
        place = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        free = shutil.disk_usage(place).free / _GIB
        said = f"{free:.1f} GiB free in {folder}"
        if not os.access(place, os.W_OK):
            yield Finding("problem", topic, f"{place} cannot be written", elsewhere)
        elif free < _TIGHT:
            yield Finding("problem" if free < _FULL else "note", topic, said, elsewhere)
        else:
            yield Finding("ok", topic, said)


def _gpu() -> Iterator[Finding]:
    import torch

    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(number)
        free, total = (amount / _GIB for amount in torch.cuda.mem_get_info(number))
        said = f"{about.name}, {free:.1f} GiB free of {total:.1f}, CUDA {torch.version.cuda}"
        yield Finding("ok", f"gpu {number}", said)
    if torch.cuda.is_available():
        return
    cards = _cards()
    if not cards:
        yield Finding("ok", "gpu", "none that CUDA can use; models run on the processor")
    elif torch.version.cuda is None:
        fix = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu128"
        yield Finding("note", "gpu", f"{cards}, but torch {torch.__version__} is built for the processor only", fix)
    else:
        fix = f"install a driver for CUDA {torch.version.cuda}, or a torch that is built for the driver's CUDA"
        yield Finding("note", "gpu", f"{cards}, but torch for CUDA {torch.version.cuda} finds no usable device", fix)


def _cards() -> str:
    """Names and drivers of the NVIDIA cards, as the driver's own program lists them; empty without it."""
    if (program := shutil.which("nvidia-smi")) is None:
        return ""
    command = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        return "; ".join(line.replace(",", ", driver", 1) for line in listed.splitlines() if line.strip())
    return ""


def _cache() -> Iterator[Finding]:
    from sys2ft.models.cache import cache_dir, models_dir

    held = [folder for folder in models_dir().glob("[!.]*") if folder.is_dir()]
    size = sum(file.stat().st_size for file in cache_dir().rglob("*") if file.is_file()) / _GIB
    yield Finding("ok", "cache", f"{size:.1f} GiB in {cache_dir()}, converted models: {len(held)}")


def _embedded() -> Iterator[Finding]:
    from sys2ft.errors import ModelError
    from sys2ft.models.registry import EMBEDDED, resolve

    for name in EMBEDDED:
        try:
            source = resolve(name)
        except ModelError as error:
            yield Finding("note", "embedded model", f"{name} is not installed", error.fix or "")
            continue
        if source.ready_folder() is None:
            said = f"{name} is installed, and is converted when it is first used"
            yield Finding("ok", "embedded model", said, f"sys2ft models pull {name}")
        else:
            yield Finding("ok", "embedded model", f"{name} is ready")


def _extras() -> Iterator[Finding]:
    for extra, missing in missing_by_extra().items():
        purpose = EXTRAS.get(extra, "optional libraries")
        if missing:
            said = f"{purpose}: {', '.join(missing)} missing"
            yield Finding("note", f"extra {extra}", said, f"pip install 'sys2ft[{extra}]'")
        else:
            yield Finding("ok", f"extra {extra}", purpose)


def missing_by_extra() -> dict[str, list[str]]:
    """For each extra of the installed package, what of it is missing or has a version that does not fit.

    Read from the installed metadata. What a Python of this version cannot have is not missing.
    """
    from packaging.requirements import Requirement

    about = metadata.metadata("sys2ft")
    wanted = [Requirement(line) for line in metadata.requires("sys2ft") or []]

    def of(extra: str) -> Iterator[Requirement]:
        for one in wanted:
            if one.marker is not None and one.marker.evaluate({"extra": extra}):
                if one.name == "sys2ft":
                    yield from (inner for other in one.extras for inner in of(other))
                else:
                    yield one

    def lacks(one: Requirement) -> bool:
        held = _version(one.name)
        return held is None or not one.specifier.contains(held, prereleases=True)

    extras: list[str] = about.get_all("Provides-Extra") or []
    return {extra: [str(one.name) + str(one.specifier) for one in of(extra) if lacks(one)] for extra in extras}


def _hub(network: bool) -> Iterator[Finding]:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        yield Finding("note", "hub", "HF_HUB_OFFLINE forbids downloads", "unset HF_HUB_OFFLINE, to download models")
    elif not network:
        yield Finding("ok", "hub", f"{constants.ENDPOINT}, not asked: --network connects to it")
    else:
        try:
            asked = urllib.request.Request(constants.ENDPOINT, method="HEAD")
            with urllib.request.urlopen(asked, timeout=10):
                yield Finding("ok", "hub", f"{constants.ENDPOINT} answers")
        except urllib.error.HTTPError as error:  # it answers, if with a refusal
            yield Finding("ok", "hub", f"{constants.ENDPOINT} answers (status {error.code})")
        except OSError as error:
            fix = "check the network and its proxy, or use models that are here (sys2ft models list)"
            yield Finding("note", "hub", f"{constants.ENDPOINT} cannot be reached: {error}", fix)
