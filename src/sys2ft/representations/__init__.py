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

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
