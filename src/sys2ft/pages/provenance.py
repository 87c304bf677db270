"""The provenance table of a page: model, inputs, hardware, versions and the command, from run.json."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any


def facts(run: dict[str, Any], inputs: Sequence[tuple[str, Any]]) -> list[tuple[str, str]]:
    """Provenance of a run as (name, value) pairs without missing values; `inputs` are its inputs besides the model."""
    model = run.get("model", {})
    parameters = model.get("parameters")
    flat = {part: ", ".join(f"{k} {v}" for k, v in run.get(part, {}).items()) for part in ("hardware", "versions")}
    named = [
        ("run", run.get("name")),
        ("started", run.get("created")),
        ("model", model.get("name")),
        ("architecture", model.get("architecture")),
        ("parameters", f"{parameters:,}" if isinstance(parameters, int) else parameters),
        ("model SHA-256", model.get("sha256")),
        ("elements written by", run.get("generator", {}).get("identity")),
        *inputs,
        ("dtype, device", f"{run.get('dtype')}, {run.get('device')}"),
        ("seed", run.get("seed")),
        ("hardware", flat["hardware"]),
        ("versions", flat["versions"]),
        ("git revision", run.get("git") or "none: an installed package"),
        ("run again", run.get("command") or _command(run)),
    ]
    return [(name, str(value)) for name, value in named if value is not None]


def _command(run: dict[str, Any]) -> str:
    parts = ["sys2ft", "run", "news.jsonl", "--model", str(run.get("model", {}).get("name"))]
    return shlex.join([*parts, "--seed", str(run.get("seed"))]) + "  (with the settings below)"
