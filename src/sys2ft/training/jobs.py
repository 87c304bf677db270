"""Adapter jobs: what one adapter is trained on and how; jobs that fit together share a bank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from sys2ft.engine import Learner, Objective
from sys2ft.errors import SettingsError
from sys2ft.training.choices import learner_of, objective_of
from sys2ft.training.settings import TrainSettings

# Jobs of one bank agree in these settings; all others belong to the job.
SHARED = (
    "objective", "learner", "rank", "alpha", "target_modules", "dropout", "weight_decay", "max_grad_norm",
    "tokens_at_once", "max_adapters_at_once", "offload_moments", "checkpoint_seconds",
)  # fmt: skip
BANK_BYTES = 2 * 2**30
"""Most weights of a bank that several groups share. Fixed, so that a resumed run trains the same adapters together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainItem:
    """One training example of an adapter: the conversation that asks, and the completion to learn."""

    adapter: str
    prompt: Sequence[dict[str, str]]
    completion: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterJob:
    """One adapter to train.

    `name` (a news item's id, say) and `seed` decide its initial weights, the order of its items and its dropout, so
    that jobs of the same name and seed differ only in what they are trained on and how. `group` (a protocol, say)
    tells such jobs apart.
    """

    name: str
    items: tuple[TrainItem, ...]
    settings: TrainSettings
    seed: int = 0
    group: str = ""
    objective: Objective | None = None
    """None: the one that the settings name."""
    learner: Learner | None = None
    """None: the one that the settings name."""

    @property
    def chosen_objective(self) -> Objective:
        """The objective to train with. Raises SettingsError if the settings name an unknown one."""
        return self.objective or objective_of(self.settings)

    @property
    def chosen_learner(self) -> Learner:
        """The learner to train with. Raises SettingsError if the settings name an unknown one."""
        return self.learner or learner_of(self.settings)

    @property
    def shared(self) -> tuple[Any, ...]:
        """What jobs of one bank agree in: the settings in `SHARED`, the objective and the learner."""
        return (*(getattr(self.settings, name) for name in SHARED), self.objective, self.learner)

    @property
    def key(self) -> str:
        """Unique among the jobs of one training."""
        return f"{self.group}/{self.name}" if self.group else self.name


def jobs_of(
    items: Sequence[TrainItem],
    settings: TrainSettings,
    *,
    seed: int = 0,
    group: str = "",
    objective: Objective | None = None,
    learner: Learner | None = None,
) -> list[AdapterJob]:
    """A job for each adapter named among `items`, in order of first appearance."""
    by_name: dict[str, list[TrainItem]] = {}
    for item in items:
        by_name.setdefault(item.adapter, []).append(item)
    return [
        AdapterJob(
            name=name,
            items=tuple(own),
            settings=settings,
            seed=seed,
            group=group,
            objective=objective,
            learner=learner,
        )
        for name, own in by_name.items()
    ]


def banks(model: nn.Module, jobs: Sequence[AdapterJob]) -> list[list[AdapterJob]]:
    """The jobs divided among as few banks as may be; each part is an argument of `train`.

    Jobs of one bank agree in `SHARED`. Jobs of one group stay together; groups share a bank up to `BANK_BYTES`.
    """
    alike: dict[tuple[Any, ...], dict[str, list[AdapterJob]]] = {}
    for job in jobs:
        alike.setdefault(job.shared, {}).setdefault(job.group, []).append(job)
    divided: list[list[AdapterJob]] = []
    for groups in alike.values():
        learner = next(iter(groups.values()))[0].chosen_learner
        most = BANK_BYTES // (4 * learner.size(model))
        bank: list[AdapterJob] = []
        for own in groups.values():
            if bank and len(bank) + len(own) > most:
                divided.append(bank)
                bank = []
            bank += own
        divided.append(bank)
    return divided


def check_jobs(jobs: Sequence[AdapterJob]) -> None:
    """Raise SettingsError for jobs that one bank cannot train."""
    if not jobs or any(not job.items for job in jobs):
        empty = ", ".join(job.key for job in jobs if not job.items)
        raise SettingsError(
            f"no replay element to train {empty or 'on'}", expected="at least one", fix="generate some first"
        )
    keys = [job.key for job in jobs]
    if len(set(keys)) < len(keys):
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise SettingsError(
            f"several jobs are called {', '.join(twice)}",
            expected="each job with a group and name of its own",
            fix="give jobs of the same name different groups",
        )
    first = asdict(jobs[0].settings)
    for job in jobs[1:]:
        own = asdict(job.settings)
        wrong = [f"{name}: {first[name]} and {own[name]}" for name in SHARED if own[name] != first[name]]
        if not wrong and job.shared != jobs[0].shared:
            wrong = ["objective or learner: two objects"]
        if wrong:
            raise SettingsError(
                f"{jobs[0].key} and {job.key} cannot share a bank; {'; '.join(wrong)}",
                expected=f"jobs that agree in {', '.join(SHARED)}",
                fix="train them apart: `for group in banks(model, jobs): train(model, group)`",
            )
