from .graders import Grade as Grade, Grader as Grader
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
from .statistics import (
    Score as Score,
    Undefined as Undefined,
    gap_share as gap_share,
    mean_over_news as mean_over_news,
    noise_of_chance as noise_of_chance,
    paired_difference as paired_difference,
)
