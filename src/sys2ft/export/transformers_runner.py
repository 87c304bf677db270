"""Asks an exported adapter or merged model through transformers, without this package's engine."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sys2ft.export.proof import Written
from sys2ft.models import ChatFormat
from sys2ft.models.chat import Message


class TransformersRunner:
    """A causal language model of transformers, with a PEFT adapter if one is given."""

    def __init__(self, model: Path, chat: ChatFormat, tokenizer: Any, *, dtype: str, adapter: Path | None = None):
        import torch
        import transformers

        from sys2ft.models.convert import quiet_bars

        with quiet_bars(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of PEFT's calls into transformers
            loaded = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype))
            if adapter is not None:
                from peft import PeftModel

                loaded = PeftModel.from_pretrained(loaded, adapter)
        self._model = loaded.eval()
        self._chat, self._tokenizer = chat, tokenizer

    def likelihoods(self, messages: Sequence[Message], options: Sequence[str]) -> list[float]:
        """Log-likelihood of each option, with the prompt read once."""
        import torch

        prompt = self._chat.prompt_ids(messages)
        texts = [self._chat.continuation_ids(option) for option in options]
        with torch.inference_mode():
            read = self._model(torch.tensor([prompt]), use_cache=True)
            first = read.logits[0, -1].float().log_softmax(-1)
            longest = max(len(ids) for ids in texts)
            if longest < 2:
                return [float(first[ids[0]]) for ids in texts]
            cache = read.past_key_values
            cache.batch_repeat_interleave(len(texts))
            padded = torch.tensor([[*ids, *[0] * (longest - len(ids))][:-1] for ids in texts])
            rest = self._model(padded, past_key_values=cache).logits.float().log_softmax(-1)
        return [
            float(first[ids[0]]) + sum(float(rest[row, place, token]) for place, token in enumerate(ids[1:]))
            for row, ids in enumerate(texts)
        ]

    def write(self, messages: Sequence[Message], max_new_tokens: int) -> Written:
        """The greedy reply by `generate`."""
        import torch

        ids = torch.tensor([self._chat.prompt_ids(messages)])
        stops = sorted(self._chat.stop_ids)
        with torch.inference_mode():
            made = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=max_new_tokens,
                eos_token_id=stops,
                pad_token_id=stops[0],
            )
        new: list[int] = made[0, ids.shape[1] :].tolist()
        end = next((place for place, token in enumerate(new) if token in self._chat.stop_ids), None)
        text = self._tokenizer.decode(new[:end], skip_special_tokens=True)
        for stop in self._chat.stop_texts:
            text, found, _ = text.partition(stop)
            end = 0 if found else end
        return Written(text.strip(), end is not None, len(new))
