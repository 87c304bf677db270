"""A generator over plain `transformers`: generates replay data without this package's engine.

python examples/generator.py --model smollm2-135m-instruct
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch

import sys2ft
from sys2ft.generators import Generated, Likelihoods, Opening, Pair, Reply, Request, SamplingParams, Usage
from sys2ft.models import DEFAULT_MODEL
from sys2ft.runs import Advance


def up_to_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """The text up to and including its first stop after leading white space, and whether there is a stop."""
    start = len(text) - len(text.lstrip())
    ends = [text.find(stop, start) + len(stop) for stop in stops if stop in text[start:]]
    return (text[: min(ends)], True) if ends else (text, False)


class Transformers:
    """Answers requests sequentially with the model's own `generate`."""

    def __init__(self, model: sys2ft.LoadedModel) -> None:
        self.model = model
        self.identity = f"transformers:{model.fingerprint}"

    def generate(
        self, requests: Sequence[Request], sampling: SamplingParams, *, advance: Advance | None = None
    ) -> Generated:
        replies, usage = [], Usage()
        for request in requests:
            prompt = self.model.chat.prompt_ids(request.messages, thinking=request.thinking)
            ids = self._sample(prompt, request.seed, sampling)
            ended = ids[-1] in self.model.chat.stop_ids
            text = self.model.tokenizer.decode(ids[:-1] if ended else ids)
            text, stopped = up_to_stop(text, sampling.stops)
            replies.append(Reply(text, ended or stopped, len(ids) - ended))
            usage += Usage(tokens_computed=len(prompt) + len(ids), tokens_generated=len(ids), predictions=len(ids))
            if advance:
                advance(1)
        return Generated(replies, usage)

    def _sample(self, prompt: list[int], seed: int, sampling: SamplingParams) -> list[int]:
        torch.manual_seed(seed)
        how = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
        ids = torch.tensor([prompt])
        made = self.model.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=sampling.max_new_tokens,
            eos_token_id=sorted(self.model.chat.stop_ids), do_sample=sampling.temperature > 0,
            **(how if sampling.temperature > 0 else {}),
        )  # fmt: skip
        new: list[int] = made[0, len(prompt) :].tolist()
        return new

    def loglik(self, pairs: Sequence[Pair]) -> Likelihoods | None:
        return None  # so the model that is trained judges what this generator writes


def opened(rest: str, opening: Opening) -> Transformers:
    """The generator of `--generator transformers:MODEL` (entry point in 'sys2ft.generators')."""
    return Transformers(sys2ft.load_model(rest, dtype=opening.dtype, device=opening.device))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=DEFAULT_MODEL)
    generator = Transformers(sys2ft.load_model(parser.parse_args().model, device="cpu"))
    news = [sys2ft.News(id="ferry", text="The town of Paris has a new ferry. In 2031 it carries 40 people.")]
    settings = sys2ft.GenerateSettings(protocols=("paraphrase",), samples_per_news=2, rounds=1, max_new_tokens=32)
    for element in sys2ft.generate(generator, news, settings)["paraphrase"].elements:
        print(f"{element.id:<22} {element.reason or 'kept':<10} {element.completion}")
