"""A tiny model whose tokenizer keeps common words, the days and the months whole, so that graphs can be traced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conftest import CHATML, SPECIAL_TOKENS, build_model
from sys2ft.representations.graphs import DAYS, MONTHS
from sys2ft.representations.words import COMMON

WORDS = [*COMMON[:40], *DAYS, *MONTHS, "the", "word", "linked", "Which"]


def word_tokenizer() -> Any:
    """A byte-level BPE trained on the words alone, so that each becomes one token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([" " + " ".join(WORDS) + ", , the " * 3] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = CHATML
    return tokenizer


def save_tracing_model(folder: Path, family: str = "llama", **changes: Any) -> Path:
    tokenizer = word_tokenizer()
    build_model(family, len(tokenizer), **changes).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
