"""Room `statistics`: accuracies, differences and shares with confidence intervals, over news items.

It takes outcomes by question, of one or several columns, and returns scores. No interval is computed anywhere else.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
