"""Whether `torch.compile` pays off in a training pass, including its compile time.

    python -m benchmarks.compiled --model smollm2-135m-instruct

A forward and backward pass through the frozen body of the model, without adapters and head, over rows of equal length:
as transformers runs it, compiled (for exactly these shapes, its best case, or with --dynamic for any), and as the
engine runs it, in turns. Hidden states are compared before a time is printed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.clock import timed
from sys2ft.engine import Example, prepare
from sys2ft.engine.cpu.plan import base_pass
from sys2ft.engine.forward import sliding_window, tree_states
from sys2ft.engine.trees.tree import pack, slot_trees
from sys2ft.models import LoadedModel, load_model

Pass = Callable[[], Tensor]  # returns hidden states (T, D) after a backward pass through all layers


def main() -> None:
    options = _options()
    generator = torch.Generator().manual_seed(0)
    plain = load_model(options.model, dtype=options.dtype, device=options.device)
    ours = load_model(options.model, dtype=options.dtype, device=options.device)
    vocabulary = int(cast(Any, plain.model).config.vocab_size)
    ids_RT = torch.randint(vocabulary, (options.rows, options.tokens), generator=generator)
    eager = _transformers(plain, ids_RT, cast(Any, plain.model).base_model)
    compiled = _transformers(
        plain, ids_RT, torch.compile(cast(Any, plain.model).base_model, dynamic=options.dynamic or None)
    )
    forms: dict[str, Pass] = {"transformers": eager, "compiled": compiled, "engine": _engine(ours, ids_RT)}
    hidden, first = dict[str, Tensor](), dict[str, float]()
    for name, run in forms.items():
        hidden[name], first[name] = timed(plain.device, run)
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(options.rounds):
        for name, run in forms.items():
            seconds[name].append(timed(plain.device, run)[1])
    middle = {name: median(own) for name, own in seconds.items()}
    compiling = first["compiled"] - middle["compiled"]
    print(
        json.dumps(
            {
                "model": options.model,
                "dtype": str(plain.dtype).removeprefix("torch."),
                "device": str(plain.device),
                "threads": torch.get_num_threads(),
                "rows": options.rows,
                "tokens a row": options.tokens,
                "dynamic": options.dynamic,
                "rounds": options.rounds,
                "seconds a pass": {name: round(value, 3) for name, value in middle.items()},
                "seconds a pass, least and most": {
                    name: [round(min(own), 3), round(max(own), 3)] for name, own in seconds.items()
                },
                "seconds to compile": round(compiling, 1),
                "passes until compiled has caught up with": {
                    name: _repaid(compiling, middle[name] - middle["compiled"]) for name in ("transformers", "engine")
                },
                "largest difference of hidden states from transformers": {
                    name: float(f"{(own - hidden['transformers']).abs().max():.2g}") for name, own in hidden.items()
                },
            },
            indent=1,
        )
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="embedded name, folder, GGUF file or hub id")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64, help="tokens of each row")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dynamic", action="store_true", help="compile for any shape")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def _repaid(compiling: float, saved: float) -> int | str:
    return round(compiling / saved) if saved > 0 else "never: it is not faster"


def _transformers(model: LoadedModel, ids_RT: Tensor, body: Any) -> Pass:
    model.model.requires_grad_(False)
    embedded_RTD = model.model.get_input_embeddings()(ids_RT.to(model.device)).detach().requires_grad_()

    def run() -> Tensor:
        hidden_RTD = body(inputs_embeds=embedded_RTD, use_cache=False).last_hidden_state
        torch.autograd.grad(hidden_RTD, embedded_RTD, torch.ones_like(hidden_RTD))
        return cast(Tensor, hidden_RTD.detach().flatten(0, 1))

    return run


def _engine(model: LoadedModel, ids_RT: Tensor) -> Pass:
    prepare(model.model)
    # The last token of an example is only predicted, so each row gets one more.
    rows = [[*row, 0] for row in ids_RT.tolist()]
    examples = [Example(row, [False] + [True] * (len(row) - 1)) for row in rows]
    trees = slot_trees(examples, ids_RT.numel())
    packed = pack(examples, trees, model.device, window=sliding_window(model.model))
    embedding: Any = model.model.get_input_embeddings()

    def run() -> Tensor:
        hook = embedding.register_forward_hook(lambda _, __, output: output.requires_grad_())
        try:
            with base_pass(model.model):
                hidden_TD = tree_states(model.model, packed.tokens_T, packed.positions_T, packed.paths)
        finally:
            hook.remove()
        torch.autograd.backward(hidden_TD, torch.ones_like(hidden_TD))
        return hidden_TD.detach()

    return run


if __name__ == "__main__":
    main()
