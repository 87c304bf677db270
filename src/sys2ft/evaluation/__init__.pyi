from .measure import evaluate as evaluate
from .needs import unit_needs as unit_needs
from .probes import Probe as Probe, Questions as Questions, Route as Route, Subject as Subject
from .records import (
    CONDITIONS as CONDITIONS,
    SCORINGS as SCORINGS,
    Condition as Condition,
    Prediction as Prediction,
    Scoring as Scoring,
)
from .scorings import Answerer as Answerer
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
