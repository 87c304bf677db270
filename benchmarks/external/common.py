"""Shared by the engines with a separate environment: reading the job, reporting, checking the rows."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import highwater

Generate = Callable[[Sequence[Sequence[int]]], Sequence[int]]
"""Prompts as ids to the number of new tokens of each."""
Load = Callable[[dict[str, Any]], Generate]
"""An order (see `benchmarks.jobs.decode.orders`) to the function that does it."""


def serve(load: Load) -> int:
    """Read the job on standard input, run it, and report like `benchmarks.worker`."""
    pipe = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    args = json.load(sys.stdin)["args"]
    try:
        with open(args["file"], encoding="utf-8") as file:  # noqa: PTH123 - one call less to explain
            order = json.load(file)
        prompts = order["prompts"][: args["count"]]
        generate = load(order)
        generate(prompts[:2])
        highwater.reset()
        begun = time.perf_counter()
        new = generate(prompts)
        seconds = time.perf_counter() - begun
        if list(new) != [order["new_tokens"]] * len(prompts):
            raise ValueError(f"{len(new)} rows of {sorted(set(new))} new tokens: not the work that was asked for")
        report = {"seconds": seconds, "peak_bytes": highwater.peak_bytes(), "tokens": sum(new)}
        pipe.write(json.dumps({"result": report}) + "\n")
    except Exception as error:  # any engine error: the table reports it, and the benchmark continues
        traceback.print_exc()
        pipe.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")
        return 1
    return 0
