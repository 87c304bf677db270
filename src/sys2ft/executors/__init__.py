"""Room `executors`: computes units of work in workers, on this machine or on a cluster.

Takes units and a recipe for the context that they need; returns their results in order. A worker that is lost costs
one unit, which is given again.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
