"""`python -m tools.strength`: the adapters of a run at another strength are those that training at it gives."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from sys2ft.cli.main import call
from sys2ft.runs import read_jsonl
from talking import write_news_file
from tools import strength


def test_a_scaled_run_is_the_run_trained_at_that_strength(talking_model_dir: Path, tmp_path: Path) -> None:
    write_news_file(tmp_path / "news.jsonl")
    flags = f"""--model {talking_model_dir} --dtype float32 --device cpu --protocols naive --samples-per-news 2
        --epochs 1 --rank 4 --scorings cloze --controls neighbours --quiet""".split()
    for share in ("1", "0.5"):
        out = ["--strength", share, "--out", str(tmp_path / share)]
        assert call(["run", str(tmp_path / "news.jsonl"), *flags, *out]) == 0
    strength.main([str(tmp_path / "1"), str(tmp_path / "half"), "--strength", "0.5", "--model", str(talking_model_dir)])
    trained, scaled = (
        load_file(tmp_path / run / "adapters" / "naive" / "joint" / "adapter_model.safetensors")
        for run in ("0.5", "half")
    )
    assert all(torch.equal(weights, scaled[name]) for name, weights in trained.items())
    for file in ("base.jsonl", "naive.jsonl"):
        answers = [list(read_jsonl(tmp_path / run / "predictions" / file)) for run in ("0.5", "half")]
        assert answers[0] == answers[1]
