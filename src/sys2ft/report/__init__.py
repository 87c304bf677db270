"""Room `report`: tables, figures and one self-contained page, each a pure function of a run folder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
