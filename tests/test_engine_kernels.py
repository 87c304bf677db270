"""In half precision on a CPU few compiled kernels are kept, by oneDNN's own log; each test in a new process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    reason="oneDNN multiplies no bfloat16 here",
)

_COMPILED_AGAIN = """
import os, sys, torch
from sys2ft.engine import prepare
from sys2ft.engine.cpu.kernels import KEPT
from sys2ft.models import load_model
prepare(load_model(sys.argv[1], dtype=sys.argv[2], device="cpu").model)
assert os.environ.get("ONEDNN_PRIMITIVE_CACHE_CAPACITY") == (sys.argv[3] or None), "left as it was"
some = torch.zeros(101 + KEPT, 64, dtype=torch.bfloat16)
for rows in (101, *range(102, 101 + KEPT), 101, 101 + KEPT, 102):
    some[:rows] @ some[:64]
"""


def compiled(model: Path, dtype: str = "bfloat16", capacity: str = "") -> tuple[int, int]:
    """How often the products of 101 and 102 rows were compiled, when as many others as are kept came between."""
    environment = {**os.environ, "ONEDNN_VERBOSE": "profile_create"}
    environment.pop("ONEDNN_PRIMITIVE_CACHE_CAPACITY", None)
    if capacity:
        environment["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = capacity
    told = subprocess.run(
        [sys.executable, "-c", _COMPILED_AGAIN, str(model), dtype, capacity],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    lines = [line for line in told.splitlines() if "create:cache_miss" in line]
    first, second = (sum(f",{rows}x64:64x64," in line for line in lines) for rows in (101, 102))
    return first, second


@pytest.mark.slow
def test_products_not_used_for_long_are_given_up(tiny_model_dir: Path) -> None:
    assert compiled(tiny_model_dir) == (1, 2), "the first came again in time, the second was the oldest of too many"


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "capacity"), [("float32", ""), ("bfloat16", "512")])
def test_nothing_is_changed_without_need(tiny_model_dir: Path, dtype: str, capacity: str) -> None:
    """In float32 products are not oneDNN's, and the environment goes first."""
    assert compiled(tiny_model_dir, dtype, capacity) == (1, 1)
