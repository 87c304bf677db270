"""Room `training`: replay elements to adapters."""

from typing import TYPE_CHECKING

from sys2ft.lazy import contents

if TYPE_CHECKING:
    from sys2ft.training.loop import Training, TrainItem, train
    from sys2ft.training.settings import JOINT, TrainSettings

__all__ = [
    "JOINT",
    "TrainItem",
    "TrainSettings",
    "Training",
    "train",
]

__getattr__ = contents(
    __name__,
    {
        "JOINT": "settings",
        "TrainItem": "loop",
        "TrainSettings": "settings",
        "Training": "loop",
        "train": "loop",
    },
)
