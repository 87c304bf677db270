"""Completions after one shared prefix: ours, `generate`, `generate` on a prefilled cache, `generate_batch`."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks import work
from benchmarks.context import Context
from sys2ft.engine import DecodeRequest, Sampling, decode, prepare
from sys2ft.models import LoadedModel, Message
from sys2ft.runs import item_seed

TEMPERATURE = 0.8
_PAGE = 16  # tokens of a page of the paged cache: 400 is a multiple, so the whole prefix can be shared
_PREFILL = 512  # tokens that continuous batching reads at once; a prompt fits


def prompts(model: LoadedModel, count: int) -> list[list[int]]:
    """`count` prompts: the same 400 tokens, then 20 of their own, up to the beginning of the assistant's turn."""
    whole = model.chat.prompt_ids([Message("user", work.prefix_text())])
    text = model.tokenizer(work.prefix_text(), add_special_tokens=False, verbose=False)["input_ids"]
    opened = next(i for i in range(len(whole)) if whole[i : i + 8] == text[:8])
    prefix = whole[: opened + len(text)][: work.PREFIX_TOKENS]
    closed = whole[opened + len(text) :]
    room = work.OWN_TOKENS - len(closed)
    found = []
    for asked in work.own_texts(count):
        own = model.tokenizer(f" {asked}", add_special_tokens=False, verbose=False)["input_ids"]
        # Cut at the front, or repeated: only the number of tokens has to be equal.
        found.append([*prefix, *(own * room)[-room:], *closed])
    sizes = {len(ids) for ids in found}
    if sizes != {work.PREFIX_TOKENS + work.OWN_TOKENS}:
        raise ValueError(f"prompts of {sizes} tokens: the text is too short for this tokenizer")
    return found


def orders(context: Context, *, count: int) -> dict[str, Any]:
    """The prompts and the model's location, for engines with a separate environment."""
    model = context.load()
    folder, file = model.source.folder(), model.source.path
    return {
        "prompts": prompts(model, count),
        "folder": str(folder),
        "gguf": str(file) if file.is_file() else None,
        "dtype": context.number,
        "new_tokens": work.NEW_TOKENS,
        "temperature": TEMPERATURE,
        "seed": context.seed,
    }


def ours(context: Context, *, count: int) -> dict[str, Any]:
    """`sys2ft.engine.decoding.decode` with its own settings; nothing stops a row before 40 tokens."""
    model = context.load()
    prepare(model.model)
    asked = prompts(model, count)

    def run(which: Sequence[list[int]], advance: Callable[[int], None] | None) -> tuple[int, int]:
        requests = [DecodeRequest(ids, item_seed(context.seed, "row", i), "all") for i, ids in enumerate(which)]
        done = decode(
            model.model,
            requests,
            Sampling(temperature=TEMPERATURE),
            max_new_tokens=work.NEW_TOKENS,
            stop_ids=frozenset(),
            on_done=advance,
        )
        return check([one.ids for one in done.decoded], len(which)), done.tokens_computed

    run(asked[:8], None)
    with context.show.task("completions", count) as advance, context.clock.running():
        tokens, computed = run(asked, advance)
    return context.result(tokens=tokens, tokens_computed=computed)


def generate(
    context: Context, *, count: int, size: int = 1, sizes: Sequence[int] = (), prefilled: bool = False
) -> dict[str, Any]:
    """`transformers.generate` in batches of `size`; with `sizes`, determines the fastest of them instead.

    `prefilled`: the prefix is read once and its cache copied to every row of a batch.
    """
    from transformers import DynamicCache, GenerationConfig

    model = context.load()
    asked = prompts(model, count if not sizes else max(sizes))
    # The model's own settings (stop tokens, top-k, top-p) would apply to what a call does not set.
    model.model.generation_config = GenerationConfig()
    how = GenerationConfig(
        do_sample=True,
        temperature=TEMPERATURE,
        top_k=0,
        top_p=1.0,
        max_new_tokens=work.NEW_TOKENS,
        eos_token_id=None,
        pad_token_id=model.tokenizer.pad_token_id or 0,
    )
    torch.manual_seed(context.seed)
    kept: list[Any] = []

    def batch(which: Sequence[list[int]]) -> int:
        ids = torch.tensor(which, device=model.device)
        cache = {}
        if prefilled:
            if not kept:
                kept.append(DynamicCache(config=model.model.config))
                with torch.inference_mode():
                    model.model(input_ids=ids[:1, : work.PREFIX_TOKENS], past_key_values=kept[0], logits_to_keep=1)
            cache = {"past_key_values": copy.deepcopy(kept[0])}
            cache["past_key_values"].batch_repeat_interleave(len(which))
        with torch.inference_mode():
            out = model.model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=how, **cache
            )
        return check(out[:, ids.shape[1] :].tolist(), len(which))

    batch(asked[:2])
    if sizes:
        return context.result(**fastest(sizes, lambda n: batch(asked[:n])))
    kept.clear()  # reading the prefix counts
    tokens = 0
    with context.show.task("completions", count) as advance, context.clock.running():
        for start in range(0, count, size):
            tokens += batch(asked[start : start + size])
            advance(min(size, count - start))
    return context.result(tokens=tokens, size=size)


def generate_batch(context: Context, *, count: int, size: int = 1, sizes: Sequence[int] = ()) -> dict[str, Any]:
    """`model.generate_batch`, transformers' continuous batching, at most `size` requests at a time.

    By default its cache takes 60% of the memory; here it is as large as `size` requests need without sharing. It shares
    prefixes itself, in pages of 16 tokens.
    """
    from transformers import ContinuousBatchingConfig, GenerationConfig

    model = context.load()
    asked = prompts(model, count if not sizes else 2 * max(sizes))
    how = GenerationConfig(
        do_sample=True,
        temperature=TEMPERATURE,
        top_k=0,
        top_p=1.0,
        max_new_tokens=work.NEW_TOKENS,
        eos_token_id=-1,
        pad_token_id=model.tokenizer.pad_token_id or 0,
    )
    pages = -(-(len(asked[0]) + work.NEW_TOKENS) // _PAGE) + 1
    # transformers 5.17 calls pages blocks.
    page = "page_size" if "page_size" in ContinuousBatchingConfig.__dataclass_fields__ else "block_size"

    def run(which: list[list[int]], at_once: int) -> int:
        limits = ContinuousBatchingConfig(
            **{page: _PAGE},
            num_blocks=pages * (at_once + 1),
            max_batch_tokens=max(_PREFILL, at_once),
            max_requests_per_batch=at_once,
            seed=context.seed,
        )
        out = model.model.generate_batch(which, generation_config=how, continuous_batching_config=limits)
        failed = [one.error for one in out.values() if one.error is not None]
        if failed:
            raise RuntimeError(f"generate_batch failed for {len(failed)} requests: {failed[0]}")
        return check([one.generated_tokens for one in out.values()], len(which))

    run(asked[:2], 2)
    if sizes:
        return context.result(**fastest(sizes, lambda n: run(asked[: 2 * n], n)))
    with context.clock.running():
        tokens = run(asked, size)
    return context.result(tokens=tokens, size=size)


def fastest(sizes: Sequence[int], run: Callable[[int], int]) -> dict[str, Any]:
    """The batch size with the highest rate. Stops after two successive sizes that are slower than the best."""
    rates: dict[int, float] = {}
    for size in sorted(sizes):
        begun = time.perf_counter()
        done = run(size)
        rates[size] = done / (time.perf_counter() - begun)
        tried = sorted(rates)
        if len(tried) > 2 and max(rates[n] for n in tried[-2:]) < max(rates.values()):
            break
    return {"best": max(rates, key=lambda n: rates[n]), "tried": {str(n): rate for n, rate in rates.items()}}


def check(new: Sequence[Sequence[int]], rows: int) -> int:
    """Number of new tokens in all rows; raises unless each row has exactly 40."""
    lengths = [len(ids) for ids in new]
    if lengths != [work.NEW_TOKENS] * rows:
        raise ValueError(
            f"{len(lengths)} rows of {sorted(set(lengths))} new tokens: expected {rows} of {work.NEW_TOKENS}"
        )
    return sum(lengths)
