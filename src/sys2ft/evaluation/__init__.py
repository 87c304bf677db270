"""Room `evaluation`: questions to predictions, and predictions to scores."""

from typing import TYPE_CHECKING

from sys2ft.lazy import contents

if TYPE_CHECKING:
    from sys2ft.evaluation.measure import evaluate
    from sys2ft.evaluation.records import CONDITIONS, SCORINGS, Condition, Prediction, Scoring
    from sys2ft.evaluation.settings import EvaluateSettings
    from sys2ft.evaluation.statements import complete
    from sys2ft.evaluation.statistics import (
        Score,
        Undefined,
        gap_share,
        mean_over_news,
        noise_of_chance,
        paired_difference,
    )

__all__ = [
    "CONDITIONS",
    "SCORINGS",
    "Condition",
    "EvaluateSettings",
    "Prediction",
    "Score",
    "Scoring",
    "Undefined",
    "complete",
    "evaluate",
    "gap_share",
    "mean_over_news",
    "noise_of_chance",
    "paired_difference",
]

__getattr__ = contents(
    __name__,
    {
        "CONDITIONS": "records",
        "Condition": "records",
        "EvaluateSettings": "settings",
        "Prediction": "records",
        "SCORINGS": "records",
        "Score": "statistics",
        "Scoring": "records",
        "Undefined": "statistics",
        "complete": "statements",
        "evaluate": "measure",
        "gap_share": "statistics",
        "mean_over_news": "statistics",
        "noise_of_chance": "statistics",
        "paired_difference": "statistics",
    },
)
