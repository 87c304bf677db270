"""Room `ledger`: news arrive one update after another, and all go into one adapter that can be rolled back."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
