"""Room `probing`: held-out questions for news that have none, written and checked by the model itself."""

from typing import TYPE_CHECKING

from sys2ft.lazy import contents

if TYPE_CHECKING:
    from sys2ft.probing.candidates import REASONS, Candidate
    from sys2ft.probing.held_out import Probes, probe
    from sys2ft.probing.settings import ProbeSettings

__all__ = ["REASONS", "Candidate", "ProbeSettings", "Probes", "probe"]

__getattr__ = contents(
    __name__,
    {
        "Candidate": "candidates",
        "ProbeSettings": "settings",
        "Probes": "held_out",
        "REASONS": "candidates",
        "probe": "held_out",
    },
)
