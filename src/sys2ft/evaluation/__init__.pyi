from .measure import evaluate as evaluate
from .records import (
    CONDITIONS as CONDITIONS,
    SCORINGS as SCORINGS,
    Condition as Condition,
    Prediction as Prediction,
    Scoring as Scoring,
)
from .settings import EvaluateSettings as EvaluateSettings
from .statements import complete as complete
