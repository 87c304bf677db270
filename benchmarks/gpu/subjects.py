"""Models with random weights in the shapes of real ones, with a tokenizer trained on the benchmarks' own texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks import work
from benchmarks.context import Context
from sys2ft.engine import prepare
from sys2ft.models import LoadedModel
from sys2ft.models.chat import ChatFormat
from sys2ft.models.registry import Source

_CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_TOKENS = 4096
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": _TOKENS, "tie_word_embeddings": True,
    },
    "small": {
        "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 6, "num_attention_heads": 8,
        "num_key_value_heads": 2, "vocab_size": _TOKENS, "tie_word_embeddings": True,
    },
    "0.5B": {
        "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
        "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True,
    },
    "7B": {
        "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False,
    },
}  # fmt: skip
"""Qwen2 by size: 0.5B and 7B are those of Qwen2.5; `small` is for parity, `tiny` for trying the benchmark itself."""


def build(size: str, device: torch.device, dtype: torch.dtype, *, spread: float = 0.02, **changes: Any) -> LoadedModel:
    """A model of `SHAPES[size]` with normal weights of standard deviation `spread`, the same at each call."""
    import transformers

    shape = SHAPES[size] | {"rope_theta": 1e6, "max_position_embeddings": 4096} | changes
    config = transformers.Qwen2Config(
        **shape, initializer_range=spread, bos_token_id=None, eos_token_id=None, pad_token_id=0
    )
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.device(device):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    words = tokenizer()
    return LoadedModel(
        model.eval().requires_grad_(False),
        words,
        ChatFormat.of(words),
        Source(f"random-{size}", "folder", Path(f"random-{size}")),
        f"random weights in the shape of {size}",
        device,
        dtype,
    )


@cache
def tokenizer() -> Any:
    """A byte-level BPE of up to 4,096 tokens with ChatML."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    texts = [work.SYSTEM, work.prefix_text(), *work.own_texts(400)]
    texts += [text for own in work.pairs(32, 64) for pair in own for text in (pair.question, pair.answer)]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_TOKENS,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.chat_template = _CHATML
    return made


@dataclass
class Given(Context):
    """The context of the benchmarks' jobs with a model that is in memory already.

    `plain`: its attention is transformers' own, as a peer needs it; otherwise the engine's.
    """

    subject: LoadedModel | None = field(default=None, kw_only=True)
    plain: bool = field(default=False, kw_only=True)

    def load(self, dtype: str | None = None) -> LoadedModel:
        assert self.subject is not None and dtype is None, "a job that needs another model or dtype than the given one"
        self.number = str(self.subject.dtype).removeprefix("torch.")
        if self.plain:
            plainly(self.subject)
        else:
            prepare(self.subject.model)
        return self.subject


def given(subject: LoadedModel, *, plain: bool = False) -> Given:
    """The context of a job over `subject`."""
    return Given(model=subject.source.name, device=str(subject.device), subject=subject, plain=plain)


def plainly(subject: LoadedModel) -> Any:
    """The model with transformers' own attention."""
    subject.model.set_attn_implementation("sdpa")
    return subject.model
