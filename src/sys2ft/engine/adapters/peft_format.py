"""Adapters on disk in PEFT's format: `peft` loads what the bank trained, and the bank loads what PEFT saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from sys2ft.engine.adapters.bank import AdapterBank
from sys2ft.engine.adapters.linears import TransposedLinear
from sys2ft.errors import ModelError
from sys2ft.files import atomic_folder, read_json, write_json

_PREFIX = "base_model.model."
_EXPERT_NAMES = {"gate", "gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"}
_OTHER_SCALINGS = ("use_rslora", "alpha_pattern", "rank_pattern")


def save_adapter(bank: AdapterBank, slot: int, folder: Path, *, base_name: str) -> None:
    """Write one slot as a PEFT LoRA folder, completely or not at all. `base_name` is recorded as the base model."""
    from peft import LoraConfig

    tensors = {}
    for name in bank.modules:
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = bank.a[name][slot].detach().cpu().contiguous()
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = bank.b[name][slot].detach().cpu().contiguous()
    modules, parameters = _named_for_peft(bank)
    config = LoraConfig(
        r=bank.rank,
        lora_alpha=bank.alpha,
        lora_dropout=bank.dropout,
        target_modules=modules,
        target_parameters=parameters or None,
        fan_in_fan_out=any(isinstance(layer, TransposedLinear) for layer in bank.modules.values()),
        bias="none",
        task_type="CAUSAL_LM",
        base_model_name_or_path=base_name,
        inference_mode=True,
    )
    with atomic_folder(folder) as temporary:
        config.save_pretrained(str(temporary))
        # PEFT writes the names of the layers in an order that differs between processes.
        written = read_json(temporary / "adapter_config.json")
        write_json(temporary / "adapter_config.json", {**written, "target_modules": modules})
        # Not by safetensors' `save_file`, whose errors do not say that the disk is full.
        (temporary / "adapter_model.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))


def _named_for_peft(bank: AdapterBank) -> tuple[list[str], list[str]]:
    """The covered layers as `target_modules` (last parts of names, if no other module has them) and
    `target_parameters` of PEFT.

    In models with fused experts PEFT takes some names for parts of these, also those of the shared ones, which are
    ordinary layers. A layer that is named as a parameter is the same to it, and keeps its place.
    """
    others = {name.rpartition(".")[2] for name, _ in bank.model.named_modules() if name not in bank.modules}
    modules, parameters = set(), []
    for name in bank.modules:
        last = name.rpartition(".")[2]
        if bank.fused and last in _EXPERT_NAMES:
            parameters.append(f"{name}.weight")
        else:
            modules.add(name if last in others else last)
    return sorted(modules), parameters


def _targets(config: dict[str, Any]) -> list[str]:
    """Last parts of the names of the layers that an adapter covers."""
    parameters = [name.removesuffix(".weight") for name in config.get("target_parameters") or []]
    return sorted({name.rpartition(".")[2] for name in (*config["target_modules"], *parameters)})


def open_adapter(model: nn.Module, folder: Path) -> AdapterBank:
    """A bank of one slot over `model` with the adapter of a PEFT LoRA folder. Raises ModelError if it does not load."""
    try:
        config = read_json(folder / "adapter_config.json")
        rank, alpha, targets = int(config["r"]), float(config["lora_alpha"]), _targets(config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder} cannot be read as an adapter: {type(error).__name__}: {error}",
            expected="a PEFT LoRA folder that names its target modules",
            fix="check the path, such as <run folder>/adapters/<protocol>/<news id>",
        ) from error
    bank = AdapterBank(model, 1, rank=rank, alpha=alpha, targets=targets)
    try:
        load_adapter(bank, 0, folder)
    except ModelError:
        bank.close()
        raise
    return bank


def open_adapters(model: nn.Module, folders: Sequence[Path]) -> AdapterBank:
    """A bank over `model` with the adapter of each PEFT LoRA folder in a slot, in order. There must be one at least.

    They may differ in rank, scaling and layers: the bank has the largest rank and all layers, and what an adapter lacks
    is zero. Its updates stay what they are. Raises ModelError if one does not load.
    """
    read = [_read(folder) for folder in folders]
    rank = max(int(config["r"]) for config, _ in read)
    scalings = [float(config["lora_alpha"]) / int(config["r"]) for config, _ in read]
    targets = sorted({target for config, _ in read for target in _targets(config)})
    bank = AdapterBank(model, len(folders), rank=rank, alpha=scalings[0] * rank, targets=targets)
    try:
        for slot, (folder, (_, tensors)) in enumerate(zip(folders, read, strict=True)):
            _fill(bank, slot, folder, tensors, scalings[slot] / scalings[0])
    except ModelError:
        bank.close()
        raise
    return bank


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and tensors of a PEFT LoRA folder whose layers are all scaled by lora_alpha / r."""
    try:
        config, tensors = read_json(folder / "adapter_config.json"), load_file(folder / "adapter_model.safetensors")
        if not (int(config["r"]) > 0 and float(config["lora_alpha"]) > 0 and _targets(config)):
            raise ValueError(f"r={config['r']}, lora_alpha={config['lora_alpha']}, targets {_targets(config)}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ModelError(
            f"{folder} cannot be read as an adapter: {type(error).__name__}: {error}",
            expected="a PEFT LoRA folder that names its target modules, with adapter_model.safetensors",
            fix="check the path, or train the adapter again",
        ) from error
    _require_plain_scaling(folder, config)
    return config, tensors


def _fill(bank: AdapterBank, slot: int, folder: Path, tensors: dict[str, Tensor], factor: float) -> None:
    """Copy an adapter of at most the bank's rank into an empty slot, its B times `factor`."""
    left = dict(tensors)
    for name, layer in bank.modules.items():
        a_rI, b_Or = (left.pop(f"{_PREFIX}{name}.lora_{part}.weight", None) for part in "AB")
        if a_rI is None and b_Or is None:
            continue
        shapes = [None if one is None else tuple(one.shape) for one in (a_rI, b_Or)]
        rank = 0 if a_rI is None else a_rI.shape[0]
        if a_rI is None or b_Or is None or shapes != [(rank, layer.in_features), (layer.out_features, rank)]:
            raise ModelError(
                f"{folder} contains an adapter of another model: A and B of {name} are {shapes[0]} and {shapes[1]}",
                expected=f"(r, {layer.in_features}) and ({layer.out_features}, r)",
                fix="load it over the model that it was trained for",
            )
        bank.a[name][slot, :rank].copy_(a_rI)
        bank.b[name][slot, :, :rank].copy_(b_Or * factor)
    if left:
        raise ModelError(
            f"{folder} has tensors that are no LoRA of this model's layers: {', '.join(sorted(left)[:3])}",
            expected=f"lora_A and lora_B of the layers {', '.join(bank.targets)}",
            fix="load it over the model that it was trained for",
        )


def _require_plain_scaling(folder: Path, config: dict[str, Any]) -> None:
    other = [name for name in _OTHER_SCALINGS if config.get(name)]
    if other:
        raise ModelError(
            f"{folder} scales its layers in another way: {', '.join(other)}",
            expected="every layer scaled by lora_alpha / r",
            fix="use an adapter without these settings",
        )


def load_adapter(bank: AdapterBank, slot: int, folder: Path) -> None:
    """Read a PEFT LoRA folder into one slot. Raises ModelError if rank, scaling or layers do not fit the bank."""
    try:
        config = read_json(folder / "adapter_config.json")
        tensors = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"{folder} cannot be read as an adapter: {error}",
            expected="a PEFT LoRA folder: adapter_config.json and adapter_model.safetensors",
            fix="check the path, or train the adapter again",
        ) from error
    expected = {f"{_PREFIX}{name}.lora_{part}.weight" for name in bank.modules for part in "AB"}
    if config.get("r") != bank.rank or config.get("lora_alpha") != bank.alpha or set(tensors) != expected:
        odd = sorted(set(tensors) ^ expected)[:3]
        raise ModelError(
            f"{folder} has rank {config.get('r')}, alpha {config.get('lora_alpha')}"
            + (f", and layers that differ: {', '.join(odd)}" if odd else ""),
            expected=f"rank {bank.rank}, alpha {bank.alpha:g} over {', '.join(bank.targets)}",
            fix="load it with the settings that it was trained with",
        )
    _require_plain_scaling(folder, config)
    for name in bank.modules:
        for part, weights in (("A", bank.a[name][slot]), ("B", bank.b[name][slot])):
            found = tensors[f"{_PREFIX}{name}.lora_{part}.weight"]
            if found.shape != weights.shape:
                raise ModelError(
                    f"{folder} contains an adapter of another model: lora_{part} of {name} is {tuple(found.shape)}",
                    expected=f"{tuple(weights.shape)}",
                    fix="load it over the model that it was trained for",
                )
    with torch.no_grad():
        for name in bank.modules:
            bank.a[name][slot].copy_(tensors[f"{_PREFIX}{name}.lora_A.weight"])
            bank.b[name][slot].copy_(tensors[f"{_PREFIX}{name}.lora_B.weight"])
