"""Room `lint`: finds training samples whose prompt already says what the completion teaches (contextual shadowing)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
