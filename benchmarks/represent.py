"""One pass over the longest context against one pass for every context length.

    python -m benchmarks.represent --model qwen2.5-coder-0.5b-instruct.gguf

Both give, for every layer and every length, the mean of the residual stream by node over the window, and the
probability of the nodes' words at that length. The separate passes are transformers' own: its SDPA attention, all
hidden states returned, and logits of the last position only, which is the least that they can compute. The one pass is
timed twice: with predictions at the requested lengths only, as the separate passes give them, and at every word, as
`sys2ft represent` takes them. The results are compared before a time is printed.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from typing import Any

import numpy as np
import torch

from benchmarks.clock import timed
from sys2ft.engine.trace import Reader, decoder_layers
from sys2ft.models import LoadedModel, load_model
from sys2ft.representations import Measurement, Prompt, RepresentSettings, geometry, make_plan, measure
from sys2ft.representations.measuring.one_pass import ordinary_words


def main() -> None:
    options = _options()
    model = load_model(options.model, dtype=options.dtype, device=options.device)
    settings = RepresentSettings(graph=(options.graph,), context=options.context, walks=1, probe_walks=0)
    plan = make_plan(model, settings)
    prompt = plan.prompt(model, plan.graphs[0], 0, seed=0)
    lengths = [int(n) for n in np.linspace(options.context / options.lengths, options.context, options.lengths).round()]
    reader = Reader(model=model.model)
    given: dict[str, Any] = {"lengths": lengths, "layers": plan.layers, "window": settings.window, "skip": 1}
    measure(reader, prompt.head(min(50, options.context)), lengths=[20], layers=plan.layers, window=10)  # warm up
    one, one_seconds = timed(model.device, lambda: measure(reader, prompt, every_word=False, **given))
    every, every_seconds = timed(model.device, lambda: measure(reader, prompt, **given))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    separate, separate_seconds = timed(model.device, lambda: _separate(model, prompt, lengths, settings.window))
    print(
        json.dumps(
            {
                "model": options.model,
                "dtype": str(model.dtype).removeprefix("torch."),
                "device": str(model.device),
                "threads": torch.get_num_threads(),
                "context": options.context,
                "lengths": len(lengths),
                "layers": len(plan.layers),
                "one pass, seconds": round(one_seconds, 2),
                "one pass with every word predicted, seconds": round(every_seconds, 2),
                "a pass for each length, seconds": round(separate_seconds, 2),
                "times faster": round(separate_seconds / one_seconds, 1),
                "times faster with every word predicted": round(separate_seconds / every_seconds, 1),
                "peak memory of the one pass, GiB": round(memory, 2),
                "largest difference": _difference(one, separate, lengths),
                "of it with every word predicted": _difference(every, separate, lengths),
            },
            indent=1,
        )
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="embedded name, folder, GGUF file or hub id")
    parser.add_argument("--graph", default="grid:4x4")
    parser.add_argument("--context", type=int, default=1400, help="words of the longest context")
    parser.add_argument("--lengths", type=int, default=50, help="context lengths, evenly spaced up to the longest")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def _separate(model: LoadedModel, prompt: Prompt, lengths: list[int], window: int) -> list[tuple[Any, Any]]:
    """For each length: squared distances between node means by layer, and probabilities of the nodes' words."""
    engine = model.model.config._attn_implementation
    model.model.set_attn_implementation("sdpa")
    found = []
    try:
        for number, length in enumerate(lengths, start=1):
            found.append(_one_length(model, prompt, length, window))
            print(f"\r{number} of {len(lengths)} separate passes", end="", file=sys.stderr)
    finally:
        model.model.set_attn_implementation(engine)
        print(file=sys.stderr)
    return found


def _one_length(model: LoadedModel, prompt: Prompt, length: int, window: int) -> tuple[Any, Any]:
    cut = int(prompt.places_W[length - 1]) + 1
    tokens = torch.tensor([prompt.tokens[:cut]], device=model.device)
    last: list[Any] = []
    # Of the last layer transformers returns what comes after the final norm; the residual stream before it is wanted.
    hook = decoder_layers(model.model)[-1].register_forward_hook(
        lambda _, args, out: last.append(out[0] if isinstance(out, tuple) else out)
    )
    try:
        with torch.inference_mode():
            output = model.model(tokens, output_hidden_states=True, use_cache=False, logits_to_keep=1)
    finally:
        hook.remove()
    means = np.full((len(output.hidden_states), prompt.graph.nodes, last[0].shape[-1]), np.nan, dtype=np.float32)
    words = np.arange(max(1, length - window), length)
    for layer, stream in enumerate((*output.hidden_states[:-1], last[0])):
        norms = stream[0, prompt.places_W[:length]].float().norm(dim=-1).cpu().numpy()
        ordinary = ordinary_words(norms, RepresentSettings().massive)
        for node in range(prompt.graph.nodes):
            own = words[(prompt.nodes_W[words] == node) & ordinary[words]]
            if len(own):
                means[layer, node] = stream[0, prompt.places_W[own]].float().mean(dim=0).cpu().numpy()
    squares = np.square(means[:, :, None] - means[:, None]).sum(axis=-1)
    said = output.logits[0, -1].float().softmax(-1)[list(prompt.word_ids)].cpu().numpy()
    return geometry.pairs_of(squares), said


def _difference(found: Measurement, separate: list[tuple[Any, Any]], lengths: list[int]) -> dict[str, float]:
    """Largest differences: of distances by their mean in each layer, and of probabilities."""
    apart = np.stack([distances for distances, _ in separate], axis=1)
    scale = np.nanmean(apart, axis=(1, 2), keepdims=True)
    said = np.stack([probabilities for _, probabilities in separate])
    at = np.array(lengths) - 1
    return {
        "distances, relative": float(f"{np.nanmax(np.abs(found.distances_LCP - apart) / scale):.2g}"),
        "probabilities": float(f"{np.abs(found.probability_WN[at] - said).max():.2g}"),
    }


if __name__ == "__main__":
    main()
