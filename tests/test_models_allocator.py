"""Freed memory stays in the process, except for what preparing a model leaves behind; each test in a new process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator"),
]

_FAULTS = """
import resource, sys, torch
from sys2ft.models.allocator import keep_freed_memory
done = keep_freed_memory() if sys.argv[1] == "keep" else False
for _ in range(8):
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    torch.ones(2**24)
print(int(done), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

_ARENAS = """
import ctypes, os, sys
from pathlib import Path
from sys2ft.models import load_model
from sys2ft.training import TrainItem, TrainSettings, jobs_of, train

def asked(n):
    return ({"role": "user", "content": f"What of {n}?"},)
items = [TrainItem(adapter=a, prompt=asked(n), completion="This.") for a in "ab" for n in range(8)]
model = load_model(sys.argv[1], dtype="bfloat16", device="cpu")
train(model, jobs_of(items, TrainSettings(epochs=1, rank=4, alpha=8)))
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(os.fsencode(sys.argv[2]), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(Path(sys.argv[2]).read_text().count("<heap nr="))
"""

_PREPARED = """
import sys
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM
from sys2ft.engine import prepare
from sys2ft.models.allocator import return_freed_memory, keep_freed_memory

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

keep_freed_memory()  # as another model's `prepare` leaves the process
config = LlamaConfig(
    vocab_size=64, hidden_size=512, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=8
)
LlamaForCausalLM(config).half().save_pretrained(sys.argv[1])
return_freed_memory()
before = resident()
model = LlamaForCausalLM.from_pretrained(sys.argv[1], dtype="float32")
prepare(model)
print(sum(p.nbytes for p in model.parameters()), resident() - before)
"""


def faults(how: str, **environment: str) -> tuple[bool, int]:
    done, count = subprocess.run(
        [sys.executable, "-c", _FAULTS, how],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return done == "1", int(count)


def test_freed_memory_is_used_again() -> None:
    kept, left = faults("keep"), faults("leave")
    assert kept[0]
    assert 10 * kept[1] < left[1], "64 MiB are 16,384 pages, or 32 large ones, each time"


def test_the_environment_goes_first() -> None:
    done, _ = faults("keep", MALLOC_MMAP_THRESHOLD_="1048576")
    assert not done


def test_threads_share_what_is_freed(tiny_model_dir: Path, tmp_path: Path) -> None:
    """The threads that load a model, and those of concurrent passes."""
    arguments = [sys.executable, "-c", _ARENAS, tiny_model_dir, tmp_path / "arenas.xml"]
    assert int(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout) == 1


def test_a_prepared_model_takes_the_memory_of_its_weights(tmp_path: Path) -> None:
    """Memory left by loading, and by the weights that were stacked, is returned."""
    arguments = [sys.executable, "-c", _PREPARED, tmp_path]
    weights, taken = map(int, subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split())
    assert weights > 200e6
    assert taken < 1.3 * weights
