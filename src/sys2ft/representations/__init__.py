"""Room `representations`: how a model's inner representations take the shape of a graph given only in context.

After Park et al., 'ICLR: In-Context Learning of Representations' (arXiv 2501.00070). A system of its own: it uses the
engine, models and run folders (and the main job's stages to learn edges in weights), and nothing but `cli` imports it.

A reader starts with `study.represent`, which runs the steps in this order:

settings    what is measured and how
plan        the settings resolved for one model, and checked before any work
graphs/     graphs by name or from a file, words that are one token each, contexts
geometry    PCA, Dirichlet energy, alignment with the spectral embedding, and their null models
baselines   tables of successors; random vectors mixed with those of the word before
measuring/  the work units: one pass over each context, attention heads, interventions, edges learnt in weights
analyses/   from the measurements to results.json and results.npz: curves, transitions, claims with verdicts
pages/      report.html with its figures, and the tables for a terminal
study       represent(): all of it on a run folder
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
