"""Tiny models with random weights, made once a session. Nothing here reaches the network."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported, which reads it once

import pytest

if TYPE_CHECKING:
    from sys2ft.models import LoadedModel
    from sys2ft.news import News


def pytest_collection_finish() -> None:
    """Leave what was imported out of later garbage collections: a million objects, a second each time."""
    gc.collect()
    gc.freeze()


CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXT = [
    "Question: What is the capital of France? Answer: The capital of France is Paris.",
    "The news says that the answer of the question is not the one that you knew before.",
    "system user assistant: you are a helpful assistant. Explain what the news means, step by step.",
    "In 1984 there were 12,345 people in the town; by 2001 there were 67.8 percent more.",
]


def build_tokenizer() -> Any:
    """A byte-level BPE of some 450 tokens with ChatML; digits stand alone, as in SmolLM2."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=450,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXT, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=512
    )
    tokenizer.chat_template = CHATML
    return tokenizer


def build_model(family: str, vocab_size: int, *, spread: float = 0.2, **changes: Any) -> Any:
    """A two-layer model of `family`: weights large enough that its predictions differ, gains and biases by `spread`."""
    import torch
    import transformers

    configs = {
        "llama": transformers.LlamaConfig,
        "qwen2": transformers.Qwen2Config,
        "gemma3_text": transformers.Gemma3TextConfig,
    }
    settings: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 2048,
        "initializer_range": 0.15,
        "bos_token_id": None,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "tie_word_embeddings": family != "llama",
    }
    if family == "gemma3_text":
        settings |= {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}
        settings |= {"query_pre_attn_scalar": 8}
    config = configs[family](**(settings | changes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:  # gains of norms and biases, which transformers leaves at 1 and 0
                    parameter += spread * torch.randn(parameter.shape)
        return model


@pytest.fixture(scope="session")
def tiny_family_dir(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`tiny_family_dir(family)`: a model folder of 'llama', 'qwen2' or 'gemma3_text', all with one tokenizer."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            folder = tmp_path_factory.mktemp("tiny") / family
            tokenizer = build_tokenizer()
            build_model(family, len(tokenizer)).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            made[family] = folder
        return made[family]

    return make


@pytest.fixture(params=["llama", "qwen2", "gemma3_text"])
def family_dir(request: pytest.FixtureRequest, tiny_family_dir: Callable[[str], Path]) -> Path:
    """The model folder of each family in turn."""
    return tiny_family_dir(request.param)


@pytest.fixture(scope="session")
def tiny_model_dir(tiny_family_dir: Callable[[str], Path]) -> Path:
    """A Llama of two layers with a ChatML tokenizer, saved as a model folder."""
    return tiny_family_dir("llama")


@pytest.fixture(scope="module")
def news_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the news items that the talking model knows."""
    from talking import write_news_file

    return write_news_file(tmp_path_factory.mktemp("news") / "news.jsonl")


@pytest.fixture(scope="session")
def talking_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama that says short lines and asks short questions, so that replay elements are kept and rejected."""
    from talking import save_talking_model

    return save_talking_model(tmp_path_factory.mktemp("tiny") / "talking")


@pytest.fixture(scope="module")
def model(talking_model_dir: Path) -> LoadedModel:
    """The talking model, loaded; modules that need another one have a fixture of this name themselves."""
    from sys2ft.models import load_model

    return load_model(str(talking_model_dir), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def news() -> list[News]:
    """The news items that the talking model knows (`talking.NEWS`)."""
    from sys2ft.news import news_from_dict
    from talking import NEWS

    return [news_from_dict(row) for row in NEWS]


@pytest.fixture(scope="session")
def tracing_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`tracing_model_dir(family)`: a tiny model whose tokenizer keeps common words, days and months whole."""
    from tracing import save_tracing_model

    made: dict[str, Path] = {}

    def make(family: str = "llama") -> Path:
        if family not in made:
            made[family] = save_tracing_model(tmp_path_factory.mktemp("tracing") / family, family)
        return made[family]

    return make
