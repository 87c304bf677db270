"""vLLM's CPU build, with prefix caching."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.external.common import Generate, serve

# In this process, so that its memory is seen; 2 GiB of cache hold more rows than it runs at once.
os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "2", "HF_HUB_OFFLINE": "1"}


def load(order: dict[str, Any]) -> Generate:
    """The model in the product's dtype."""
    from vllm import LLM, SamplingParams

    engine = LLM(
        model=order["folder"],
        dtype=order["dtype"],
        max_model_len=512,
        enable_prefix_caching=True,
        seed=order["seed"],
    )
    count = order["new_tokens"]
    how = SamplingParams(temperature=order["temperature"], max_tokens=count, min_tokens=0, ignore_eos=True)

    def generate(prompts: Sequence[Sequence[int]]) -> list[int]:
        done = engine.generate([{"prompt_token_ids": list(ids)} for ids in prompts], how)
        return [len(one.outputs[0].token_ids) for one in done]

    return generate


if __name__ == "__main__":
    sys.exit(serve(load))
