"""The model class `sys2ft` of EleutherAI's `lm_eval`: this package's engine, the base model or adapters.

Imported in functions only, since `lm_eval` is an extra. Importing it registers the class, so that
`lm_eval.simple_evaluate(model="sys2ft", model_args={"pretrained": MODEL, "adapter": FOLDER})` works. As a program,
`python -m sys2ft.retention.harness`, this module is lm_eval's own command with the class registered.

Shapes: U supervised nodes, N targets, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lm_eval import utils
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

from sys2ft.engine import BASE, Bank, DecodeRequest, Example, Sampling, StopStrings, decode, open_adapter, prepare
from sys2ft.engine.cpu.plan import base_pass
from sys2ft.engine.trees.score import predictions, read_trees
from sys2ft.models import LoadedModel, load_model, position_limit
from sys2ft.runs import item_seed

_TOKENS_AT_ONCE = 4096
_POSITIONS = 2048  # of a model without a limit, as lm_eval has it


@register_model("sys2ft")
class Sys2ftLM(TemplateLM):  # type: ignore[misc] # lm_eval has no types
    """A loaded model with a bank, or the name of a model and a folder with an adapter in PEFT's format.

    Document i of a task is answered by the slot i modulo the number of `slots`, so that the mean is over adapters.
    `batch_size` and `max_batch_size`, which lm_eval gives, are not used: the engine packs texts by their tokens.
    """

    def __init__(
        self,
        model: LoadedModel | None = None,
        bank: Bank | None = None,
        slots: Sequence[int] = (BASE,),
        *,
        pretrained: str = "",
        adapter: str = "",
        dtype: str = "auto",
        device: str | None = None,
        batch_size: Any = None,
        max_batch_size: Any = None,
    ) -> None:
        super().__init__()
        loaded = model or load_model(pretrained, dtype=dtype, device=device or "auto")
        prepare(loaded.model)
        if adapter:
            bank, slots = open_adapter(loaded.model, Path(adapter)), (0,)
        self.loaded, self.bank, self.slots = loaded, bank, tuple(slots)
        self.tokenizer = loaded.tokenizer
        self.max_length = position_limit(loaded.model.config) or _POSITIONS
        self._slots_asked: list[int] = []

    @property
    def tokenizer_name(self) -> str:
        return str(self.loaded.source.name).replace("/", "__")

    @property
    def device(self) -> torch.device:
        return self.loaded.device

    @property
    def eot_token_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        first = self.tokenizer.bos_token_id
        return self.eot_token_id if first is None else int(first)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """The ids of a text; by default with what the tokenizer adds, unless the text begins with it."""
        special: dict[str, bool] = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        if add_special_tokens is None and self.tokenizer.bos_token and string.startswith(self.tokenizer.bos_token):
            special = {"add_special_tokens": False}
        ids: list[int] = self.tokenizer.encode(string, **special)
        return ids

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        text: str = self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
        return text

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Log-likelihood (nats) of each continuation, and whether it is what greedy decoding would say."""
        self._slots_asked = [self._slot(request) for request in requests]
        found: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        return found

    def _loglikelihood_tokens(self, requests: list[Any], **kwargs: Any) -> list[tuple[float, bool]]:
        return self._scored([(context, said) for _, context, said in requests], self._slots_asked)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihood (nats) of each whole text, in windows of the model's length."""
        windows, slots, owners = [], [], []
        for place, request in enumerate(requests):
            ids = self.tok_encode(request.args[0])
            rolling = utils.get_rolling_token_windows(ids, self.prefix_token_id, self.max_length, 1)
            for context, said in map(utils.make_disjoint_window, rolling):
                windows.append((context, said))
                slots.append(self._slot(request))
                owners.append(place)
        totals = [0.0] * len(requests)
        for place, (total, _) in zip(owners, self._scored(windows, slots), strict=True):
            totals[place] += total
        return totals

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """A continuation of each context up to one of its stop texts, greedy unless the task samples."""
        said: dict[int, str] = {}
        by_how: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            by_how.setdefault(repr(request.args[1]), []).append(place)
        for places in by_how.values():
            texts = self._generated([requests[place] for place in places])
            said |= zip(places, texts, strict=True)
        return [said[place] for place in range(len(requests))]

    def _generated(self, requests: Sequence[Any]) -> list[str]:
        how = normalize_gen_kwargs(requests[0].args[1])
        until = handle_stop_sequences(how.get("until"), eos=self.tokenizer.decode([self.eot_token_id]))
        until = [stop for stop in until if stop]
        room = int(how["max_gen_toks"])
        made = decode(
            self.loaded.model,
            [
                DecodeRequest(
                    self.tok_encode(request.args[0])[-(self.max_length - room) :],
                    item_seed(0, "lm_eval", request.args[0]),
                    slot=self._slot(request),
                )
                for request in requests
            ],
            Sampling(
                temperature=float(how.get("temperature") or 0.0),
                top_p=float(how.get("top_p") or 1.0),
                top_k=int(how.get("top_k") or 0),
            ),
            max_new_tokens=room,
            stop_ids=self.loaded.chat.stop_ids,
            stop_when=StopStrings(self.tokenizer, tuple(until)),
            bank=self.bank,
        )
        return [self._before(self.tokenizer.decode(one.ids, skip_special_tokens=True), until) for one in made.decoded]

    @staticmethod
    def _before(text: str, stops: Sequence[str]) -> str:
        for stop in stops:
            text = text.partition(stop)[0]
        return text

    def _slot(self, request: Any) -> int:
        return self.slots[(request.doc_id or 0) % len(self.slots)]

    def _scored(self, pairs: Sequence[tuple[list[int], list[int]]], slots: Sequence[int]) -> list[tuple[float, bool]]:
        """Sum of the log-probabilities of each continuation, and whether each of its tokens is the likeliest.

        What is longer than the model reads loses its beginning.
        """
        examples = []
        for (context, said), slot in zip(pairs, slots, strict=True):
            ids = [*context, *said][-self.max_length :]
            supervised = min(len(said), len(ids) - 1)
            examples.append(Example(ids, [False] * (len(ids) - supervised) + [True] * supervised, slot))
        totals, greedy = [0.0] * len(examples), [True] * len(examples)
        model = self.loaded.model
        with torch.inference_mode(), base_pass(model):
            for packed, hidden_UD in read_trees(model, examples, self.bank, {}, tokens_at_once=_TOKENS_AT_ONCE):
                values_N = torch.zeros(len(packed.target_N), device=hidden_UD.device)
                likeliest_N = torch.zeros(len(packed.target_N), dtype=torch.bool, device=hidden_UD.device)
                for here, rows, logits_uV in predictions(model, hidden_UD, packed):
                    target = packed.target_N[here]
                    values_N[here] = logits_uV.log_softmax(-1)[rows, target]
                    likeliest_N[here] = logits_uV.argmax(-1)[rows] == target
                found = zip(packed.owners, values_N.tolist(), likeliest_N.tolist(), strict=True)
                for example, value, likeliest in found:
                    totals[example] += value
                    greedy[example] &= likeliest
        return list(zip(totals, greedy, strict=True))


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
