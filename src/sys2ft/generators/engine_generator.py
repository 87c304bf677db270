"""The generator over this package's engine: batched sampling with shared prefixes, with or without adapters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from sys2ft.engine import Bank, DecodeRequest, Example, Sampling, StopStrings, decode, flops, prepare, score
from sys2ft.errors import SettingsError
from sys2ft.generators.thinking import AfterThought
from sys2ft.generators.types import (
    Generated,
    Generator,
    Likelihoods,
    Pair,
    Reply,
    Request,
    SamplingParams,
    Usage,
)
from sys2ft.models import LoadedModel
from sys2ft.runs import Advance, Needs


class EngineGenerator:
    """Writes with a loaded model, its adapters in `bank` if there are any, up to `rows_at_once` replies at a time.

    `skip_special_tokens` leaves them out of the replies' text. `chat_stops` also ends a reply at the stop texts of the
    chat format, which a model without a chat template needs, and cuts the reply there.
    """

    def __init__(
        self,
        model: LoadedModel,
        bank: Bank | None = None,
        *,
        rows_at_once: int = 512,
        skip_special_tokens: bool = False,
        chat_stops: bool = False,
    ) -> None:
        prepare(model.model)
        self.model, self.bank, self.rows_at_once = model, bank, rows_at_once
        self.skip_special_tokens = skip_special_tokens
        self._chat_stops = model.chat.stop_texts if chat_stops else ()
        self._stops: dict[tuple[tuple[str, ...], bool], Callable[[list[int]], bool] | None] = {}

    @property
    def identity(self) -> str:
        """The digest of the model's files."""
        return self.model.fingerprint

    def generate(
        self, requests: Sequence[Request], sampling: SamplingParams, *, advance: Advance | None = None
    ) -> Generated:
        """Sample a reply to each request; those that think and those that do not are two batches."""
        replies: dict[int, Reply] = {}
        usage = Usage()
        for thinking in (False, True):
            places = [place for place, request in enumerate(requests) if request.thinking == thinking]
            if places:
                made = self._decode([requests[place] for place in places], sampling, thinking, advance)
                replies |= zip(places, made.replies, strict=True)
                usage += made.usage
        return Generated([replies[place] for place in range(len(requests))], usage)

    def loglik(self, pairs: Sequence[Pair]) -> Likelihoods:
        """Log-likelihood of each pair's text. Pairs that begin alike are cheapest next to each other."""
        if not pairs:
            return Likelihoods([], Usage())
        chat = self.model.chat
        examples = []
        for pair in pairs:
            prompt, ids = chat.prompt_ids(pair.messages), chat.continuation_ids(pair.text)
            # The end of the turn is left out: how long a text is says nothing about how likely its content is.
            examples.append(Example([*prompt, *ids], [False] * len(prompt) + [True] * len(ids), pair.slot))
        scored = score(self.model.model, examples, self.bank)
        usage = self._usage(scored.tokens_computed, 0, scored.predictions)
        return Likelihoods(scored.likelihoods, usage)

    def needs(self, requests: Sequence[Request], sampling: SamplingParams) -> Needs:
        """What `generate` would need at most: prompts, a group's common beginning once, and every reply in full."""
        groups: dict[tuple[str, int], list[list[int]]] = defaultdict(list)
        for request in requests:
            ids = self.model.chat.prompt_ids(request.messages, thinking=request.thinking)
            groups[request.group, request.slot].append(ids)
        read = sum(_tokens_of_group(prompts) for prompts in groups.values())
        said = len(requests) * sampling.max_new_tokens
        return Needs(tokens=read + said, flop=flops.forward(self.model.model, read + said, said))

    def _decode(
        self, requests: Sequence[Request], sampling: SamplingParams, thinking: bool, advance: Advance | None
    ) -> Generated:
        chat = self.model.chat
        made = decode(
            self.model.model,
            [
                DecodeRequest(
                    prompt_ids=chat.prompt_ids(request.messages, thinking=thinking),
                    seed=request.seed,
                    group=request.group,
                    slot=request.slot,
                )
                for request in requests
            ],
            Sampling(temperature=sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k),
            max_new_tokens=sampling.max_new_tokens,
            stop_ids=chat.stop_ids,
            stop_when=self._stop_when(sampling.stops, thinking),
            bank=self.bank,
            rows_at_once=self.rows_at_once,
            on_done=advance,
        )
        replies = [Reply(self._text(one.ids), one.finished, len(one.ids)) for one in made.decoded]
        return Generated(replies, self._usage(made.tokens_computed, made.tokens_generated, made.tokens_generated))

    def _text(self, ids: list[int]) -> str:
        text: str = self.model.tokenizer.decode(ids, skip_special_tokens=self.skip_special_tokens)
        for stop in self._chat_stops:
            text = text.strip().partition(stop)[0]
        return text

    def _stop_when(self, stops: tuple[str, ...], thinking: bool) -> Callable[[list[int]], bool] | None:
        """The test for the end of a reply. It is kept, because it learns which tokens can complete a stop."""
        if (stops, thinking) not in self._stops:
            tokenizer = self.model.tokenizer
            tests = [StopStrings(tokenizer, stops, after_text=True)] if stops else []
            tests += [StopStrings(tokenizer, self._chat_stops)] if self._chat_stops else []
            test: Callable[[list[int]], bool] | None = None
            if tests:
                test = tests[0] if len(tests) == 1 else lambda ids: any(one(ids) for one in tests)
                test = AfterThought(tokenizer, test) if thinking else test
            self._stops[stops, thinking] = test
        return self._stops[stops, thinking]

    def _usage(self, computed: int, generated: int, predictions: int) -> Usage:
        body, head = flops.weights(self.model.model)
        # A whole number: sums over many calls stay exact.
        flop = 2 * (body * computed + head * predictions)
        return Usage(tokens_computed=computed, tokens_generated=generated, predictions=predictions, flop=flop)


def as_generator(model: LoadedModel | Generator, *, rows_at_once: int = 512) -> Generator:
    """`model` if it is a generator; the engine's generator over it if it is a loaded model."""
    if isinstance(model, LoadedModel):
        return EngineGenerator(model, rows_at_once=rows_at_once)
    if not isinstance(model, Generator):
        raise SettingsError(
            f"{model!r} in place of a model",
            expected="a loaded model, or a generator with `identity`, `generate` and `loglik`",
            fix="load the model with `load_model`, or give the generator the missing members",
        )
    return model


def _tokens_of_group(prompts: Sequence[list[int]]) -> int:
    first, last = min(prompts), max(prompts)  # what these two begin with, all begin with
    shared = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(map(len, prompts)))
    return shared + sum(len(ids) - shared for ids in prompts)
