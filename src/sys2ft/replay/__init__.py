"""Room `replay`: news to replay elements, by protocol."""

from typing import TYPE_CHECKING

from sys2ft.lazy import contents

if TYPE_CHECKING:
    from sys2ft.replay.elements import ReplayElement, Yield, count_yield
    from sys2ft.replay.filters import REASONS, withheld
    from sys2ft.replay.generation import Replay, generate
    from sys2ft.replay.protocols import Protocol, protocol, protocol_names
    from sys2ft.replay.settings import GenerateSettings

__all__ = [
    "REASONS",
    "GenerateSettings",
    "Protocol",
    "Replay",
    "ReplayElement",
    "Yield",
    "count_yield",
    "generate",
    "protocol",
    "protocol_names",
    "withheld",
]

__getattr__ = contents(
    __name__,
    {
        "GenerateSettings": "settings",
        "Protocol": "protocols",
        "REASONS": "filters",
        "Replay": "generation",
        "ReplayElement": "elements",
        "Yield": "elements",
        "count_yield": "elements",
        "generate": "generation",
        "protocol": "protocols",
        "protocol_names": "protocols",
        "withheld": "filters",
    },
)
