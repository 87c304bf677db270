"""Where the time of training or decoding goes, by `torch.profiler`.

    python -m benchmarks.profile train --threads 1
    python -m benchmarks.profile decode --rows 256

Runs a step of the `train` part (8 adapters, 8 pairs each), or completions of the `decode` part: first as a warm-up,
then timed, then under the profiler, which takes time itself. Seconds are summed over all threads, and exclude the
operations that an operation calls. Functions of the engine (`_GroupFunction`) include their Python.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import count
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.clock import timed
from benchmarks.jobs import decode as decoding, train as training
from benchmarks.work import NEW_TOKENS
from sys2ft.engine import AdapterBank, DecodeRequest, Example, Sampling, SlotAdamW, backward, decode, prepare
from sys2ft.models import LoadedModel, load_model

_ADAPTERS, _RANK, _BEFORE = 8, 16, 2


def main() -> None:
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    model = load_model(options.model, dtype=options.dtype, device=options.device)
    prepare(model.model)
    run = _training(model) if options.work == "train" else _decoding(model, options.rows)
    for _ in range(_BEFORE):
        run()
    _, seconds = timed(model.device, run)
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (model.device.type == "cuda")
    # torch 2.11 warns that it clears events between cycles unless they are kept; there is only one cycle here.
    with profile(activities=activities, with_flops=True, acc_events=True) as seen:
        run()
    number = str(model.dtype).removeprefix("torch.")
    where = f"{number} on {model.device}, {torch.get_num_threads()} threads"
    print(f"{options.model}, {where}: {options.work}, {seconds:.2f} s")
    _show(seen.key_averages(), model.device.type == "cuda", options.top)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=("train", "decode"))
    parser.add_argument("--model", default="smollm2-135m-instruct", help="embedded name, folder, GGUF file or hub id")
    parser.add_argument("--rows", type=int, default=256, help="completions, all decoded together")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--top", type=int, default=25, help="operations to show")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def _training(model: LoadedModel) -> Callable[[], None]:
    """Each call takes the next step, with new pairs."""
    how = training.settings(_RANK)
    batch = how.batch_size
    own = [
        [Example(one["input_ids"], [label != -100 for label in one["labels"]], slot) for one in pairs]
        for slot, pairs in enumerate(training.rendered(model, _ADAPTERS, batch * (_BEFORE + 2)))
    ]
    bank = AdapterBank(model.model, _ADAPTERS, rank=how.rank, alpha=how.alpha)
    for slot in range(_ADAPTERS):
        bank.initialise(slot, slot)
    optimiser, steps = SlotAdamW(bank.weights_KP), count()

    def step() -> None:
        start = batch * next(steps)
        examples = [example for examples in own for example in examples[start : start + batch]]
        for part in backward(model.model, bank, examples, tokens_at_once=how.tokens_a_pass(model.model)):
            optimiser.step(part, dict.fromkeys(part.slots, how.learning_rate), how.max_grad_norm)

    return step


def _decoding(model: LoadedModel, rows: int) -> Callable[[], None]:
    asked = decoding.prompts(model, rows)
    requests = [DecodeRequest(ids, seed=i, group="all") for i, ids in enumerate(asked)]

    def run() -> None:
        how = Sampling(temperature=decoding.TEMPERATURE)
        decode(model.model, requests, how, max_new_tokens=NEW_TOKENS, stop_ids=frozenset(), rows_at_once=rows)

    return run


def _show(operations: Any, on_gpu: bool, top: int) -> None:
    def seconds(operation: Any) -> float:
        return float(operation.self_device_time_total if on_gpu else operation.self_cpu_time_total) / 1e6

    total = sum(map(seconds, operations))
    print(f"{'operation':52}{'calls':>9}{'seconds':>9}{'share':>8}{'GFLOP/s':>9}")
    for one in sorted(operations, key=seconds, reverse=True)[:top]:
        own = seconds(one)
        rate = f"{one.flops / own / 1e9:9.0f}" if one.flops and own else ""
        print(f"{one.key[:51]:52}{one.count:9,}{own:9.3f}{own / total:8.1%}{rate}")
    print(f"{'all':52}{'':9}{total:9.3f}")


if __name__ == "__main__":
    main()
