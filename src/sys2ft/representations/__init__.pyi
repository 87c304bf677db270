from .graphs import Graph as Graph, from_networkx as from_networkx, make_graph as make_graph
from .one_pass import Measurement as Measurement, measure as measure
from .plan import Plan as Plan, make_plan as make_plan
from .prompts import Prompt as Prompt, make_prompt as make_prompt
from .results import analyse as analyse
from .settings import (
    LEARN_GENERATE as LEARN_GENERATE,
    LEARN_TRAIN as LEARN_TRAIN,
    RepresentSettings as RepresentSettings,
)
from .study import trace as trace
from .words import choose_words as choose_words
