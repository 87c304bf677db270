"""Training adapters: ours all at once, TRL's `SFTTrainer` one after the other, and a scorer for both."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks import work
from benchmarks.context import Context
from sys2ft.engine import AdapterBank
from sys2ft.models import LoadedModel, Message
from sys2ft.runs import item_seed
from sys2ft.training import TrainItem, TrainSettings, adapter, jobs_of, learner_of, train
from sys2ft.training.schedule import batches

EPOCHS = 3.0
_SCORED_AT_ONCE = 16


def settings(rank: int) -> TrainSettings:
    """How both sides train: the product's own settings at this rank."""
    return TrainSettings(rank=rank, alpha=2.0 * rank, epochs=EPOCHS, learning_rate=5e-4, strength=1.0)


def items(adapters: int, pairs: int) -> list[TrainItem]:
    """The work as items for `train`."""
    return [
        TrainItem(adapter=_name(index), prompt=_prompt(pair.question), completion=pair.answer)
        for index, own in enumerate(work.pairs(adapters, pairs))
        for pair in own
    ]


def _name(index: int) -> str:
    return f"subject-{index}"


def _prompt(question: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": work.SYSTEM}, {"role": "user", "content": question}]


def rendered(model: LoadedModel, adapters: int, pairs: int) -> list[list[dict[str, list[int]]]]:
    """The work as ids and labels, by adapter: rendered as by `train`."""
    found = []
    for own in work.pairs(adapters, pairs):
        shown = [
            model.chat.render([Message("system", work.SYSTEM), Message("user", pair.question)], pair.answer)
            for pair in own
        ]
        found.append(
            [
                {"input_ids": r.ids, "labels": [i if on else -100 for i, on in zip(r.ids, r.loss_mask, strict=True)]}
                for r in shown
            ]
        )
    return found


def ours(
    context: Context,
    *,
    adapters: int,
    pairs: int,
    rank: int,
    folder: str | None = None,
    orders: Sequence[Sequence[int]] | None = None,
) -> dict[str, Any]:
    """`sys2ft.training.train`, all adapters at once; the adapters are saved in `folder`.

    `orders`: the pairs that each adapter sees over all epochs, instead of the order that `train` draws.
    """
    model, how = context.load(), settings(rank)
    warm = TrainSettings(rank=rank, alpha=2.0 * rank, epochs=1)
    train(model, jobs_of(items(adapters, how.batch_size), warm, seed=context.seed)).bank.close()
    with _meeting(orders), context.clock.running():
        training = train(model, jobs_of(items(adapters, pairs), how, seed=context.seed), show=context.show)
    report = context.result(
        diverged=training.diverged,
        tokens=training.totals["tokens_trained"],
        tokens_computed=training.totals["tokens_computed"],
        flop=training.totals["flop"],
        tokens_each=[sum(r["tokens"] for r in training.curve if r["adapter"] == name) for name in training.names],
        rates=[row["lr"] for row in training.curve if row["adapter"] == training.names[0]],
    )
    if folder:
        for slot in range(adapters):
            learner_of(how).save(training.bank, slot, Path(folder) / str(slot), base_name=context.model)
    return report


@contextmanager
def _meeting(orders: Sequence[Sequence[int]] | None) -> Iterator[None]:
    """Make `train` give its adapters these pairs in this order."""
    if orders is None:
        yield
        return
    given = {_name(index): order for index, order in enumerate(orders)}

    def given_batches(name: str, count: int, how: TrainSettings, *_: Any) -> list[list[int]]:
        return [[*given[name][at : at + how.batch_size]] for at in range(0, len(given[name]), how.batch_size)]

    with mock.patch.object(adapter, "batches", given_batches):
        yield


def trl(
    context: Context,
    *,
    adapters: int,
    pairs: int,
    rank: int,
    only: int,
    rates: Sequence[float],
    tuned: bool,
    bf16: bool,
    folder: str | None = None,
) -> dict[str, Any]:
    """TRL, one adapter after the other, the first `only` of them.

    `rates` is the learning rate of each step, from our curve. Every adapter starts from the same weights as ours and,
    except with `tuned`, sees its pairs in the same order. `tuned`: no gradient checkpointing, batches of similar
    length, no logging or saving, weights in our dtype; otherwise TRL's defaults, with float32 weights. `bf16` is TRL's
    setting of that name (autocast). `orders` of the report are the pairs that each adapter saw.
    """
    model = context.load(None if tuned else "float32")
    how, work_items = settings(rank), rendered(model, adapters, pairs)[:only]
    build = _Builder(context, model, how, list(rates), starts(model, how, only, context.seed), tuned, bf16)
    build.run(work_items[0][: how.batch_size], 0, steps=1)
    tokens_each, steps, orders = list[int](), list[int](), list[list[int]]()
    with tempfile.TemporaryDirectory() as scratch, context.show.task("adapters", only) as advance:
        build.scratch = scratch
        for index, own in enumerate(work_items):
            with context.clock.running():
                trainer = build.run(own, index)
            steps.append(trainer.state.global_step)
            orders.append(build.met)
            tokens_each.append(round(sum(len(one["input_ids"]) for one in own) * how.epochs))
            if folder:
                trainer.model.save_pretrained(Path(folder) / str(index))
            build.clean(trainer)
            advance(1)
    return context.result(
        bf16=bf16,
        tokens=sum(tokens_each),
        tokens_each=tokens_each,
        steps=steps,
        orders=orders,
    )


def starts(model: LoadedModel, how: TrainSettings, adapters: int, seed: int) -> list[dict[str, torch.Tensor]]:
    """Initial A of every layer by name, as drawn by `train` for the first `adapters` adapters; B is zero."""
    bank = AdapterBank(model.model, 1, rank=how.rank, alpha=how.alpha)
    found = []
    for index in range(adapters):
        bank.initialise(0, item_seed(seed, "adapter", _name(index)))
        found.append({name: a_KrI[0].clone() for name, a_KrI in bank.a.items()})
    bank.close()
    return found


class _InOrder(torch.utils.data.Sampler[int]):
    """The pairs of each epoch in the order that `train` gives them."""

    def __init__(self, name: str, count: int, how: TrainSettings, seed: int) -> None:
        order = [index for batch in batches(name, count, how, seed) for index in batch]
        self.count, self.epochs = count, [order[at : at + count] for at in range(0, len(order), count)]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter(self.epochs.pop(0))


class _Recorded(torch.utils.data.Sampler[int]):
    """Another sampler, whose indices are recorded."""

    def __init__(self, sampler: Any, met: list[int]) -> None:
        self.sampler, self.met = sampler, met

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        for index in self.sampler:
            self.met.append(index)
            yield index


class _Builder:
    """Builds and runs one `SFTTrainer` after the other on one base model."""

    def __init__(
        self,
        context: Context,
        model: LoadedModel,
        how: TrainSettings,
        rates: list[float],
        starts: list[dict[str, torch.Tensor]],
        tuned: bool,
        bf16: bool,
    ) -> None:
        self.context, self.model, self.how, self.rates, self.starts = context, model, how, rates, starts
        self.tuned, self.bf16 = tuned, bf16
        self.scratch = tempfile.gettempdir()
        self.met: list[int] = []

    def run(self, own: list[dict[str, list[int]]], index: int, steps: int = -1) -> Any:
        """Train one adapter, from data set to trained weights, or for `steps` steps. `met` are the pairs it saw."""
        import datasets
        from peft import LoraConfig
        from trl import SFTConfig, SFTTrainer

        how, rates, met = self.how, self.rates, list[int]()
        order = None if self.tuned else _InOrder(_name(index), len(own), how, self.context.seed)

        class Trainer(SFTTrainer):  # type: ignore[misc]
            """Uses our learning rate of each step instead of a named schedule."""

            def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
                self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                    optimizer or self.optimizer, lambda step: rates[min(step, len(rates) - 1)] / how.learning_rate
                )
                return self.lr_scheduler

            def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
                return _Recorded(order or super()._get_train_sampler(*args, **kwargs), met)

        seed = item_seed(self.context.seed, "peer", index) % 2**31
        tuning: dict[str, Any] = {}
        if self.tuned:
            tuning = {
                "gradient_checkpointing": False,
                "train_sampling_strategy": "group_by_length",
                "logging_strategy": "no",
                "save_strategy": "no",
                "report_to": "none",
                "disable_tqdm": True,
            }
        trainer = Trainer(
            model=self.model.model,
            args=SFTConfig(
                output_dir=self.scratch,
                learning_rate=how.learning_rate,
                num_train_epochs=how.epochs,
                max_steps=steps,
                per_device_train_batch_size=how.batch_size,
                weight_decay=how.weight_decay,
                max_grad_norm=how.max_grad_norm,
                bf16=self.bf16,
                use_cpu=self.model.device.type == "cpu",
                seed=seed,
                **tuning,
            ),
            train_dataset=datasets.Dataset.from_list(own),
            processing_class=self.model.tokenizer,
            peft_config=LoraConfig(
                r=how.rank,
                lora_alpha=how.alpha,
                lora_dropout=0.0,
                target_modules="all-linear",
                bias="none",
                task_type="CAUSAL_LM",
            ),
        )
        self._start(trainer.model, self.starts[index])
        trainer.train()
        self.met = met
        if steps > 0:
            self.clean(trainer)
        return trainer

    @torch.no_grad()
    def _start(self, model: Any, start: Mapping[str, torch.Tensor]) -> None:
        """Replace the A that PEFT drew."""
        drawn = {name: weight for name, weight in model.named_parameters() if ".lora_A." in name}
        named = {name.removeprefix("base_model.model.").partition(".lora_A.")[0]: w for name, w in drawn.items()}
        if named.keys() != start.keys():
            raise ValueError(f"PEFT adapts {len(named)} layers, ours {len(start)}: they should be the same")
        for name, weight in named.items():
            weight.copy_(start[name])

    def clean(self, trainer: Any) -> None:
        """Restore the base model: without the adapter, and without TRL's replacement of its forward pass."""
        base = trainer.model.unload()
        base.__dict__.pop("forward", None)
        if base.is_gradient_checkpointing:
            base.gradient_checkpointing_disable()
        base.requires_grad_(False)


def losses(
    context: Context, *, adapters: int, pairs: int, folders: Mapping[str, str]
) -> dict[str, dict[str, list[float]]]:
    """Mean loss (nats per supervised token) of each side's adapters on their own pairs, and of the base on the same.

    One scorer for all: plain transformers and peft, the base in one dtype, adapters from their PEFT folders.
    """
    from peft import PeftModel

    model = context.load()
    examples = rendered(model, adapters, pairs)
    found: dict[str, list[float]] = {"base": [_mean_loss(model, model.model, own) for own in examples]}
    with context.show.task("final losses", sum(len(list(Path(f).iterdir())) for f in folders.values())) as advance:
        for name, folder in folders.items():
            found[name] = []
            for index in range(len(list(Path(folder).iterdir()))):
                adapted = PeftModel.from_pretrained(model.model, Path(folder) / str(index))
                found[name].append(_mean_loss(model, adapted, examples[index]))
                adapted.unload()
                advance(1)
    return {"losses": found}


@torch.inference_mode()
def _mean_loss(loaded: LoadedModel, model: Any, examples: Sequence[Mapping[str, Sequence[int]]]) -> float:
    total, count = 0.0, 0
    order = sorted(examples, key=lambda one: len(one["input_ids"]))
    for start in range(0, len(order), _SCORED_AT_ONCE):
        batch = order[start : start + _SCORED_AT_ONCE]
        width = max(len(one["input_ids"]) for one in batch)
        ids = torch.tensor([[*one["input_ids"], *[0] * (width - len(one["input_ids"]))] for one in batch])
        labels = torch.tensor([[*one["labels"], *[-100] * (width - len(one["labels"]))] for one in batch])
        mask = torch.tensor([[1] * len(one["labels"]) + [0] * (width - len(one["labels"])) for one in batch])
        logits = model(input_ids=ids.to(loaded.device), attention_mask=mask.to(loaded.device)).logits[:, :-1]
        wanted = labels[:, 1:].to(loaded.device)
        on = wanted != -100
        total += torch.nn.functional.cross_entropy(logits[on].float(), wanted[on], reduction="sum").item()
        count += int(on.sum())
    return total / count
