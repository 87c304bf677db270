"""Settings of where units are computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sys2ft.errors import SettingsError

LOCAL = "local"
KNOWN = (LOCAL, "ray", "slurm")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutorSettings:
    """Where units and cells are computed. Results are those of this process, up to rounding."""

    executor: str = LOCAL
    """local: this process; ray: actors of a Ray cluster; slurm: jobs of one Slurm array. All of them compute; this
    process alone writes results."""
    workers: int = 1
    """Number of workers, each with a model of its own: one for each GPU."""
    address: str = ""
    """Address of a Ray cluster, such as `auto` or `ray://HOST:10001`. Empty: Ray is started on this machine, and ended
    with the command."""
    slurm: tuple[str, ...] = ()
    """Parameters of the Slurm jobs by submitit's names, such as `slurm_partition=gpu gpus_per_node=1 timeout_min=240`.
    """

    def __post_init__(self) -> None:
        if self.executor not in KNOWN:
            raise SettingsError(
                f"unknown executor {self.executor!r}", expected=f"one of {', '.join(KNOWN)}", fix="correct --executor"
            )
        if self.workers < 1:
            raise SettingsError(f"workers={self.workers}", expected="at least 1", fix="correct --workers")
        for flag, value, owner in (("--address", self.address, "ray"), ("--slurm", self.slurm, "slurm")):
            if value and self.executor != owner:
                raise SettingsError(
                    f"{flag} with the executor {self.executor}",
                    expected=f"{flag} belongs to --executor {owner}",
                    fix=f"give --executor {owner}, or leave {flag} out",
                )
        if self.executor == LOCAL and self.workers != 1:
            raise SettingsError(
                f"{self.workers} workers with the executor local",
                expected="one: this process",
                fix=f"give --executor ray --workers {self.workers}, also on one machine, or leave --workers out",
            )
        self.slurm_parameters  # noqa: B018 - raises for a text that is no parameter

    @property
    def slurm_parameters(self) -> dict[str, Any]:
        """The parameters of the Slurm jobs; whole numbers as numbers."""
        found: dict[str, Any] = {}
        for text in self.slurm:
            name, equals, value = text.partition("=")
            if not name.isidentifier() or not equals:
                raise SettingsError(f"--slurm {text}", expected="name=value", fix="write --slurm gpus_per_node=1")
            found[name] = int(value) if value.isdigit() else value
        return found
