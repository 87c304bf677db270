"""Room `generators`: who writes text. The engine is one generator; a server or another library can be another."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
