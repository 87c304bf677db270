"""The whole job as a plain script of transformers, peft and TRL would do it; imports nothing of this package.

The order (JSON data, see `benchmarks.jobs.job`) has what `sys2ft run` asked its model:

    generate   calls, each with prompts (ids) and how to sample, or with options to score
    train      adapters: examples (`input_ids`, `labels`) and hyper-parameters
    evaluate   the base's options and each adapter's, and the folder of that adapter

An option is [ids, number of supervised tokens at the end]. What helps on a CPU is used: batches of like length in the
size that was found to be fastest, padding on the left, the cache of keys and values, logits at the last positions only,
and one forward pass for options that differ in their last token only (as lm-eval does). Training groups batches by
length, without gradient checkpointing, logs or checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

Option = Sequence[Any]  # [ids, supervised]
Phase = Callable[[str], AbstractContextManager[None]]
Order = Mapping[str, Any]


def run(order: Order, model: Any, tokenizer: Any, sizes: Mapping[str, int], scratch: Path, phase: Phase) -> Order:
    """Generate, train and evaluate; returns what came out of each, for the comparison."""
    made: list[Any] = []
    for call in order["generate"]:
        with phase("generate" if "prompts" in call else "judge"):
            if "prompts" in call:
                made.append(write(model, tokenizer, call, sizes["generate"]))
            else:
                made.append(score(model, call["options"], sizes["score"]))
    trained: dict[str, Any] = {}
    with phase("train"):
        for name, job in order["train"].items():
            trained[name] = train(model, tokenizer, job, scratch / name)
    answered: list[list[float]] = []
    with phase("evaluate"):
        for one in order["evaluate"]:
            answered.append(evaluate(model, one["adapter"], one["options"], sizes["score"]))
    return {"generate": made, "train": trained, "evaluate": answered}


def by_length(items: Sequence[Any], size: int, length: Callable[[Any], int]) -> Iterator[list[int]]:
    """Places of the items in batches of like length, the longest first."""
    order = sorted(range(len(items)), key=lambda i: -length(items[i]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


@torch.inference_mode()
def write(model: Any, tokenizer: Any, call: Order, size: int) -> list[list[int]]:
    """A reply to each prompt by `generate`, with the token that ended it."""
    from transformers import GenerationConfig

    prompts, stops = call["prompts"], call["stops"]
    pad = next((i for i in tokenizer.all_special_ids if i not in call["stop_ids"]), 0)
    sampled = {"temperature": call["temperature"], "top_p": call["top_p"], "top_k": call["top_k"]}
    model.generation_config = GenerationConfig()  # the model's own would apply to what is not set here
    how = GenerationConfig(
        do_sample=call["temperature"] > 0,
        max_new_tokens=call["max_new_tokens"],
        eos_token_id=call["stop_ids"],
        pad_token_id=pad,
        **({"stop_strings": stops} if stops else {}),
        **(sampled if call["temperature"] > 0 else {}),
    )
    replies: list[list[int]] = [[] for _ in prompts]
    for batch in by_length(prompts, size, len):
        width = max(len(prompts[i]) for i in batch)
        ids, mask = left_padded([prompts[i] for i in batch], width, pad, model.device)
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=how,
            **({"tokenizer": tokenizer} if stops else {}),
        )
        for i, row in zip(batch, out[:, width:].tolist(), strict=True):
            while row and row[-1] == pad:
                row.pop()
            replies[i] = row
    return replies


@torch.inference_mode()
def score(model: Any, options: Sequence[Option], size: int) -> list[float]:
    """The log-likelihood of each option's supervised tokens, each batch in one forward pass."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, (ids, _) in enumerate(options):
        alike.setdefault(tuple(ids[:-1]), []).append(place)  # these differ in the token that is only predicted
    read, found = list(alike), [0.0] * len(options)
    for batch in by_length(read, size, len):
        own = [read[i] for i in batch]
        width = max(map(len, own))
        keep = max(options[place][1] for ids in own for place in alike[ids])
        ids_, mask = left_padded(own, width, 0, model.device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        logits = model(input_ids=ids_, attention_mask=mask, position_ids=positions, logits_to_keep=keep).logits
        log = logits.float().log_softmax(-1)
        for row, ids in enumerate(own):
            for place in alike[ids]:
                whole, supervised = options[place]
                wanted = torch.tensor(whole[-supervised:], device=model.device)
                found[place] = float(log[row, -supervised:].gather(1, wanted[:, None]).double().sum())
    return found


def left_padded(rows: Sequence[Sequence[int]], width: int, pad: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask of the rows, padded on the left to `width`."""
    ids = torch.tensor([[pad] * (width - len(row)) + [*row] for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask


def train(model: Any, tokenizer: Any, job: Order, folder: Path) -> dict[str, Any]:
    """One adapter by TRL's `SFTTrainer`, saved in `folder`; the base model is left as it was."""
    import datasets
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    rates = job["rates"]

    class Trainer(SFTTrainer):  # type: ignore[misc]
        """Uses the given learning rate of each step instead of a named schedule."""

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                optimizer or self.optimizer, lambda step: rates[min(step, len(rates) - 1)] / job["learning_rate"]
            )
            return self.lr_scheduler

    trainer = Trainer(
        model=model,
        args=SFTConfig(
            output_dir=str(folder),
            learning_rate=job["learning_rate"],
            num_train_epochs=job["epochs"],
            per_device_train_batch_size=job["batch_size"],
            weight_decay=job["weight_decay"],
            max_grad_norm=job["max_grad_norm"],
            max_length=None,
            bf16=next(model.parameters()).dtype == torch.bfloat16,
            use_cpu=model.device.type == "cpu",
            seed=job["seed"],
            gradient_checkpointing=False,
            train_sampling_strategy="group_by_length",
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=datasets.Dataset.from_list(list(job["examples"])),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=job["rank"],
            lora_alpha=job["alpha"],
            lora_dropout=0.0,
            target_modules="all-linear",
            bias="none",
            task_type="CAUSAL_LM",
        ),
    )
    done = trainer.train()
    with torch.no_grad():  # what is kept of the update
        for name, weight in trainer.model.named_parameters():
            if ".lora_B." in name:
                weight.mul_(job["strength"])
    trainer.model.save_pretrained(folder)
    base = trainer.model.unload()
    base.__dict__.pop("forward", None)  # TRL replaces it
    base.requires_grad_(False)
    return {
        "steps": trainer.state.global_step,
        "tokens": round(trainer._total_train_tokens),
        "loss": done.training_loss,
    }


def evaluate(model: Any, adapter: str | None, options: Sequence[Option], size: int) -> list[float]:
    """The log-likelihoods of one subject's options: the base model's, or with the adapter in a folder."""
    if adapter is None:
        return score(model, options, size)
    from peft import PeftModel

    adapted = PeftModel.from_pretrained(model, adapter).eval()
    found = score(adapted, options, size)
    adapted.unload()
    return found
