"""The generator over vLLM in this process (`vllm:MODEL`): a local model whose replies are sampled in large batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sys2ft.errors import SettingsError
from sys2ft.generators.server_probe import QUIET
from sys2ft.generators.server_reply import end_of
from sys2ft.generators.thinking import without_thought
from sys2ft.generators.types import Generated, Likelihoods, Pair, Reply, Request, SamplingParams, Usage
from sys2ft.models import resolve
from sys2ft.runs import Advance


class VllmGenerator:
    """Writes with vLLM. It computes no log-likelihoods. Raises SettingsError if vLLM is not installed."""

    def __init__(self, model: str) -> None:
        try:
            import vllm
        except ImportError as error:
            raise SettingsError(
                f"the generator vllm:{model}, and the Python package `vllm` is not installed",
                expected="the extra `vllm`, on a machine with a GPU that it supports",
                fix="pip install 'sys2ft[vllm]', or start `vllm serve` elsewhere and give --generator openai:MODEL@URL",
            ) from error
        source = resolve(model)
        self._vllm: Any = vllm
        self._llm: Any = vllm.LLM(model=str(source.path))
        self.identity = f"vllm:{source.fingerprint()} {vllm.__version__}"

    def generate(
        self, requests: Sequence[Request], sampling: SamplingParams, *, advance: Advance | None = None
    ) -> Generated:
        """A reply to each request; those that think and those that do not are two batches."""
        replies: dict[int, Reply] = {}
        usage = Usage()
        for thinking in (False, True):
            places = [place for place, request in enumerate(requests) if request.thinking == thinking]
            own = [requests[place] for place in places]
            made = self._llm.chat(
                [[{"role": one.role, "content": one.content} for one in request.messages] for request in own],
                [self._params(request, sampling) for request in own],
                chat_template_kwargs={} if thinking else QUIET["chat_template_kwargs"],
                use_tqdm=False,
            ) if own else []  # fmt: skip
            for place, output in zip(places, made, strict=True):
                said = output.outputs[0]
                text = without_thought(said.text)
                end = end_of(text, sampling.stops)
                finished = end is not None or said.finish_reason == "stop"
                replies[place] = Reply(text[:end], finished, len(said.token_ids))
                read, written = len(output.prompt_token_ids), len(said.token_ids)
                usage += Usage(tokens_computed=read + written, tokens_generated=written)
            if advance and places:
                advance(len(places))
        return Generated([replies[place] for place in range(len(requests))], usage)

    def loglik(self, pairs: Sequence[Pair]) -> Likelihoods | None:
        """None: they are computed by the model that is trained."""
        return None

    def _params(self, request: Request, sampling: SamplingParams) -> Any:
        # Stops are applied here: vLLM counts leading white space.
        return self._vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k or -1,
            max_tokens=sampling.max_new_tokens,
            seed=request.seed,
        )
