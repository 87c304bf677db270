"""Room `combining`: ways to serve many news items: adapters routed by a retriever, adapters merged, texts retrieved."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
