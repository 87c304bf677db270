from .analyses.results import analyse as analyse
from .graphs.graph import Graph as Graph, from_networkx as from_networkx, make_graph as make_graph
from .graphs.prompts import Prompt as Prompt, make_prompt as make_prompt
from .graphs.words import choose_words as choose_words
from .measuring.one_pass import Measurement as Measurement, measure as measure
from .measuring.trace import trace as trace
from .pages.page import write_study_page as write_study_page
from .pages.table import study_tables as study_tables
from .plan import Plan as Plan, make_plan as make_plan
from .settings import (
    LEARN_GENERATE as LEARN_GENERATE,
    LEARN_TRAIN as LEARN_TRAIN,
    RepresentSettings as RepresentSettings,
)
from .study import Study as Study, finish_study as finish_study, represent as represent
