"""Room `representations`: how a model's inner representations take the shape of a graph given only in context.

After Park et al., 'ICLR: In-Context Learning of Representations' (arXiv 2501.00070).

settings     what is measured and how
graphs       grids, rings, hexagons, trees, files of edges; the week and the year in another order
words        words that are one token each
prompts      words laid on nodes, and walks, pairs or random sequences of them
one_pass     one pass over the longest context: distances between node means, predictions
geometry     PCA, Dirichlet energy, alignment with the spectral embedding, and their nulls
baselines    tables of what followed what; random vectors mixed with the word before
probes       induction heads and their removal; representations moved to another node's
learn        the graph's edges learnt in weights, as news
plan         settings settled for one model
study        the measurements, unit by unit, in a run folder
analysis     the analyses of one graph's contexts
transitions  intervals over walks, phases of a curve, power laws
results      results.json and results.npz
findings     claims with verdicts
"""

from typing import TYPE_CHECKING

from sys2ft.lazy import contents

if TYPE_CHECKING:
    from sys2ft.representations.graphs import Graph, from_networkx, make_graph
    from sys2ft.representations.one_pass import Measurement, measure
    from sys2ft.representations.plan import Plan, make_plan
    from sys2ft.representations.prompts import Prompt, make_prompt
    from sys2ft.representations.results import analyse
    from sys2ft.representations.settings import LEARN_GENERATE, LEARN_TRAIN, RepresentSettings
    from sys2ft.representations.study import trace
    from sys2ft.representations.words import choose_words

__all__ = [
    "LEARN_GENERATE",
    "LEARN_TRAIN",
    "Graph",
    "Measurement",
    "Plan",
    "Prompt",
    "RepresentSettings",
    "analyse",
    "choose_words",
    "from_networkx",
    "make_graph",
    "make_plan",
    "make_prompt",
    "measure",
    "trace",
]

__getattr__ = contents(
    __name__,
    {
        "Graph": "graphs",
        "LEARN_GENERATE": "settings",
        "LEARN_TRAIN": "settings",
        "Measurement": "one_pass",
        "Plan": "plan",
        "Prompt": "prompts",
        "RepresentSettings": "settings",
        "analyse": "results",
        "choose_words": "words",
        "from_networkx": "graphs",
        "make_graph": "graphs",
        "make_plan": "plan",
        "make_prompt": "prompts",
        "measure": "one_pass",
        "trace": "study",
    },
)
