"""llama.cpp's server within the process (xllamacpp): the GGUF file as it is, parallel slots, prompts cached by slot."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.external.common import Generate, serve

_SLOTS = 16
_CONTEXT = 512  # of a slot


def load(order: dict[str, Any]) -> Generate:
    """A server with 16 slots, and a thread for each."""
    import xllamacpp

    if order["gguf"] is None:
        raise ValueError("llama.cpp reads GGUF files, and this model is a folder")
    how = xllamacpp.CommonParams()
    how.model.path = order["gguf"]
    how.n_parallel, how.n_ctx = _SLOTS, _SLOTS * _CONTEXT
    how.cpuparams.n_threads = how.cpuparams_batch.n_threads = int(
        os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1
    )
    server = xllamacpp.Server(how)
    count, temperature, seed = order["new_tokens"], order["temperature"], order["seed"]

    def one(numbered: tuple[int, Sequence[int]]) -> int:
        index, ids = numbered
        asked = {
            "prompt": list(ids),
            "n_predict": count,
            "ignore_eos": True,
            "temperature": temperature,
            "samplers": ["temperature"],
            "seed": seed + index,
            "cache_prompt": True,
        }
        return int(server.handle_completions(asked)["usage"]["completion_tokens"])

    def generate(prompts: Sequence[Sequence[int]]) -> list[int]:
        with ThreadPoolExecutor(_SLOTS) as threads:
            return list(threads.map(one, enumerate(prompts)))

    return generate


if __name__ == "__main__":
    sys.exit(serve(load))
