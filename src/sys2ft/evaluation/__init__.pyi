from .controls import Measurement as Measurement, measurements as measurements
from .graders import Grade as Grade, Grader as Grader
from .measure import evaluate as evaluate
from .needs import unit_needs as unit_needs
from .probes import Probe as Probe, Questions as Questions, Route as Route, Subject as Subject, routes_to as routes_to
from .records import (
    CONDITIONS as CONDITIONS,
    SCORINGS as SCORINGS,
    Condition as Condition,
    Prediction as Prediction,
    Scoring as Scoring,
)
from .scorings import Answerer as Answerer
from .settings import EvaluateSettings as EvaluateSettings
from .statements import Statements as Statements
