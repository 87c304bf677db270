from .cells import Cell as Cell
from .estimate import Estimate as Estimate, Outlook as Outlook, outlook as outlook
from .measures import Outcome as Outcome, Subject as Subject, outcomes as outcomes
from .options import Options as Options, option_types as option_types
from .page import study_table as study_table
from .results import Results as Results, results as results
from .running import Failure as Failure, Runner as Runner
from .spec import (
    Study as Study,
    changed as changed,
    load_study as load_study,
    parse_study as parse_study,
    study_names as study_names,
    study_text as study_text,
    template_text as template_text,
)
from .store import Store as Store
from .study import Studied as Studied, run_study as run_study
from .words import sentences as sentences
