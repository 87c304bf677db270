from .cells import Cell as Cell
from .measures import Outcome as Outcome, Subject as Subject, outcomes as outcomes
from .running import Failure as Failure, Runner as Runner
from .spec import Study as Study, load_study as load_study, parse_study as parse_study, study_names as study_names
from .store import Store as Store
