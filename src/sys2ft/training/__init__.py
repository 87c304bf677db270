"""Room `training`: replay elements to adapters."""

from typing import TYPE_CHECKING

from sys2ft.lazy import contents

if TYPE_CHECKING:
    from sys2ft.training.checkpoint import Checkpoint
    from sys2ft.training.ending import told
    from sys2ft.training.loop import Training, TrainItem, train
    from sys2ft.training.settings import FREE, JOINT, TrainSettings

__all__ = [
    "FREE",
    "JOINT",
    "Checkpoint",
    "TrainItem",
    "TrainSettings",
    "Training",
    "told",
    "train",
]

__getattr__ = contents(
    __name__,
    {
        "Checkpoint": "checkpoint",
        "FREE": "settings",
        "JOINT": "settings",
        "TrainItem": "loop",
        "TrainSettings": "settings",
        "Training": "loop",
        "told": "ending",
        "train": "loop",
    },
)
