"""The benchmark of a GPU: it runs whole on a CPU with a tiny model, keeps its time, and reports what fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import counting, parity as parity_module
from benchmarks.gpu.__main__ import table
from benchmarks.gpu.budget import Incomplete, Outcome, Part, Wrong, run_parts
from benchmarks.gpu.parts import parts
from benchmarks.gpu.speed import Machine, Sizes
from sys2ft.engine import AdapterBank

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_the_script_runs_on_a_cpu(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    done = subprocess.run(
        ["sh", "benchmarks/gpu.sh", "--device", "cpu", "--tiny", "--out", str(out)],
        cwd=ROOT,
        env={**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "WHEELS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(out.read_text())
    assert report["date"] and report["versions"]["torch"] == torch.__version__ and report["card"] is None
    assert {name: part["state"] for name, part in report["parts"].items()} == dict.fromkeys(
        (part.name for part in parts(Machine(torch.device("cpu"), torch.float32, Sizes()), tiny=True)), "ok"
    )
    assert report["parts"]["train tiny x 2"]["faster by"] > 0
    assert all(name in done.stdout for name in report["parts"])


def test_parts_keep_the_budget_and_a_failure_stops_nothing() -> None:
    now = [0.0]

    def takes(seconds: float) -> dict[str, float]:
        now[0] += seconds
        return {"seconds": seconds}

    def fails(error: Exception) -> dict[str, float]:
        raise error

    listed = [
        Part("first", 10, lambda: takes(30)),
        Part("no memory", 10, lambda: fails(torch.OutOfMemoryError("CUDA out of memory. Tried\nto allocate"))),
        Part("long", 80, lambda: takes(80)),
        Part("off", 10, lambda: fails(Wrong("off by 2", {"by": 2}))),
        Part("half", 10, lambda: fails(Incomplete("the peer failed", {"ours": 1}))),
        Part("last", 20, lambda: takes(20)),
    ]
    seen: list[Outcome] = []
    outcomes = run_parts(listed, until=100, done=seen.append, clock=lambda: now[0])
    assert seen == outcomes
    assert [(one.name, one.state) for one in outcomes] == [
        ("first", "ok"), ("no memory", "failed"), ("long", "skipped"), ("off", "wrong"), ("half", "failed"),
        ("last", "ok"),
    ]  # fmt: skip
    assert [one.bad for one in outcomes] == [False, True, False, True, True, False]
    assert outcomes[1].error == "OutOfMemoryError: CUDA out of memory. Tried"
    assert outcomes[3].figures == {"by": 2} and outcomes[4].figures == {"ours": 1}
    assert "70 s were left" in outcomes[2].error
    assert all(one.name in table(outcomes) for one in outcomes)


def test_all_parts_fit_into_eight_minutes_except_the_last() -> None:
    listed = parts(Machine(torch.device("cuda"), torch.bfloat16, Sizes()), tiny=False)
    assert len({part.name for part in listed}) == len(listed)
    assert sum(part.seconds for part in listed) < 600, "upper estimates"


@pytest.mark.slow
def test_a_wrong_gradient_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    by_name = parity_module._by_name

    def off(bank: AdapterBank, gradient_SP: torch.Tensor) -> torch.Tensor:
        gradient_SP[1, 7] += gradient_SP[1].norm()
        return by_name(bank, gradient_SP)

    monkeypatch.setattr(parity_module, "_by_name", off)
    with pytest.raises(Wrong, match="gradients") as found:
        parity_module.parity(torch.device("cpu"), torch.float32, size="tiny", pairs=2, steps=1)
    assert found.value.figures["off"]["engine"]["gradients of the first step"] > 0.1


@pytest.mark.slow
def test_kernels_do_not_grow_with_adapters_or_rows() -> None:
    """Except for those of AdamW: five a slot at most."""
    few, more = (counting._of_layers("0.5B", 2, adapters, False, 2) for adapters in (1, 3))
    assert few["train"].kernels <= more["train"].kernels <= few["train"].kernels + 5 * 2
    assert more["train"].waits == 2 and more["score"].waits == more["decode"].waits == 1
    plain = counting._of_layers("0.5B", 2, 3, True, 2)
    assert all(more[name].kernels < plain[name].kernels for name in more)


def test_the_sizes_are_those_of_the_models() -> None:
    assert counting.sizes("0.5B") == (357_826_560, 136_134_656)
    assert sum(counting.sizes("7B")) == pytest.approx(7.07e9, rel=0.01)
