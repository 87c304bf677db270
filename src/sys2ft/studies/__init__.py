"""Room `studies`: grids of cells, each an answer to one question: run, resume, compare, and put on a page."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
