"""Adapter jobs: the items and settings of one adapter, and the division of jobs into banks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from sys2ft.engine import Learner, Lesson, Objective
from sys2ft.errors import SettingsError
from sys2ft.files import FILE_NAME_RULE, is_file_name
from sys2ft.training.choices import learner_of, objective_of, require_object
from sys2ft.training.settings import TrainSettings
from sys2ft.training.sizes import sized

# All jobs of one bank must have the same values of these settings; the others may differ per job.
SHARED = (
    "objective", "teacher", "kl", "distil_top", "distil_weight", "sample_tokens", "anchor", "anchor_share", "learner",
    "rank", "alpha", "target_modules", "dropout", "weight_decay", "max_grad_norm",
    "tokens_at_once", "max_adapters_at_once", "offload_moments", "checkpoint_seconds",
)  # fmt: skip
BANK_BYTES = 2 * 2**30
"""Maximum size in bytes of a bank shared by several groups. Fixed, so that a resumed run divides jobs the same way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainItem:
    """One training example of an adapter: the prompt messages, and the completion to learn.

    `context` is the text of the news item, which a teacher reads before the prompt; the adapter never does.
    `source` is the id of the news item that it is from: batches mix news items, and an adapter's size is their number.
    """

    adapter: str
    prompt: Sequence[dict[str, str]]
    completion: str
    context: str = ""
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterJob:
    """One adapter to train.

    `name` (such as a news item's id) and `seed` decide the initial weights, the order of the items and the dropout.
    Jobs with the same name and seed therefore differ only in their items and settings; `group` (such as a protocol)
    distinguishes them. A rank or learning rate that the settings leave open is set by the size of the job.
    """

    name: str
    items: tuple[TrainItem, ...]
    settings: TrainSettings
    seed: int = 0
    group: str = ""
    parameters: int = 0
    """Number of parameters of the base model, by which settings that leave the learning rate open choose it; 0: that of
    the embedded model."""
    objective: Objective | None = None
    """None: the one that the settings name."""
    learner: Learner | None = None
    """None: the one that the settings name."""
    start: Path | None = None
    """Folder of a saved adapter to go on from, with the same strength, rank and layers; None: a new one."""

    def __post_init__(self) -> None:
        for what, name in (("name", self.name), ("group", self.group or "none")):
            if not is_file_name(name):
                raise SettingsError(
                    f"the {what} {name!r} of an adapter job",
                    expected=FILE_NAME_RULE,
                    fix=f"choose another {what}: it becomes part of file names",
                )
        size = {"news": len({item.source for item in self.items}), "elements": len(self.items)}
        object.__setattr__(self, "settings", sized(self.settings, **size, parameters=self.parameters))
        require_object("objective", self.objective)
        require_object("learner", self.learner)

    @property
    def chosen_objective(self) -> Objective:
        """The objective to train with. Raises SettingsError if the settings name an unknown one."""
        return self.objective or objective_of(self.settings)

    @property
    def lesson(self) -> Lesson | None:
        """What the objective needs of a teacher; None: nothing."""
        lesson: Lesson | None = getattr(self.chosen_objective, "lesson", None)
        return lesson

    @property
    def chosen_learner(self) -> Learner:
        """The learner to train with. Raises SettingsError if the settings name an unknown one."""
        return self.learner or learner_of(self.settings)

    @property
    def shared(self) -> tuple[Any, ...]:
        """Values that all jobs of one bank have in common: the settings in `SHARED`, the objective and the learner."""
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
    parameters: int = 0,
    objective: Objective | None = None,
    learner: Learner | None = None,
) -> list[AdapterJob]:
    """One job per adapter named in `items`, in order of first appearance."""
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
            parameters=parameters,
            objective=objective,
            learner=learner,
        )
        for name, own in by_name.items()
    ]


def banks(model: nn.Module, jobs: Sequence[AdapterJob]) -> list[list[AdapterJob]]:
    """Divide the jobs among as few banks as possible; each part can be passed to `train`.

    Jobs of one bank have the same `AdapterJob.shared`. Such jobs of one group are never split; several groups share a
    bank up to `BANK_BYTES`.
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
    """Raise SettingsError for jobs that cannot be trained in one bank."""
    if not jobs or any(not job.items for job in jobs):
        empty = ", ".join(job.key for job in jobs if not job.items)
        raise SettingsError(
            f"no replay element to train {empty or 'on'}", expected="at least one", fix="generate replay elements first"
        )
    keys = [job.key for job in jobs]
    if len(set(keys)) < len(keys):
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise SettingsError(
            f"several jobs have the key {', '.join(twice)}",
            expected="a different combination of group and name for each job",
            fix="give jobs with the same name different groups",
        )
    first = asdict(jobs[0].settings)
    for job in jobs[1:]:
        own = asdict(job.settings)
        wrong = [f"{name}: {first[name]} and {own[name]}" for name in SHARED if own[name] != first[name]]
        if not wrong and job.shared != jobs[0].shared:
            wrong = ["objective or learner: different objects"]
        if wrong:
            raise SettingsError(
                f"{jobs[0].key} and {job.key} cannot share a bank; {'; '.join(wrong)}",
                expected=f"jobs with the same {', '.join(SHARED)}",
                fix="train them separately: `for group in banks(model, jobs): train(model, group)`",
            )
