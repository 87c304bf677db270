"""Tiny models with random weights of many families of transformers, by `model_type`, and what README says of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from conftest import build_tokenizer

README = Path(__file__).resolve().parents[1] / "README.md"
# What differs between families in name only, and what keeps a model tiny. A family gets what its configuration knows.
_SMALL: dict[str, Any] = {
    "hidden_size": 32, "n_embd": 32, "d_model": 32, "word_embed_proj_dim": 32,
    "intermediate_size": 64, "ffn_dim": 64, "n_inner": 64, "dff": 64,
    "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16,
    "num_hidden_layers": 2, "n_layer": 2, "num_layers": 2, "n_layers": 2,
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "rotary_dim": 4,
    "max_position_embeddings": 512, "n_positions": 512, "max_seq_len": 512, "sliding_window": 16,
    "initializer_range": 0.15, "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "moe_num_experts": 4,
    "num_experts_per_tok": 2, "moe_k": 2,
    "n_group": 1, "topk_group": 1, "n_shared_experts": 1, "first_k_dense_replace": 1,
    "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 6,
    "hidden_size_per_layer_input": 8,
}  # fmt: skip
_LATENT = {"head_dim": 4, "num_key_value_heads": 4}  # multi-head latent attention
_CHANGES: dict[str, dict[str, Any]] = {
    "cwm": {"bos_token_id": 1},
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT,
    "minicpm3": _LATENT,
    "youtu": _LATENT,
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
}


def tiny(family: str) -> Any:
    """A two-layer float32 model of `family` with large random weights; the same at each call."""
    import torch
    import transformers

    tokens = len(build_tokenizer())
    kind = transformers.AutoConfig.for_model(family)
    renamed: dict[str, str] = getattr(kind, "attribute_map", {})
    known = {*kind.to_dict(), *renamed}
    wanted = {**_SMALL, "vocab_size": tokens, "vocab_size_per_layer_input": tokens}
    settings = {name: value for name, value in wanted.items() if name in known and name not in renamed}
    config = transformers.AutoConfig.for_model(family, **{**settings, **_CHANGES.get(family, {})})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter += 0.2 * torch.randn(parameter.shape)
    return model


def readme_rows() -> dict[str, list[str]]:
    """State -> families, of README's table of models."""
    lines = README.read_text(encoding="utf-8").partition("## Which models")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {state: re.findall(r"`([^`]+)`", families) for state, families in rows[2:]}
