"""Room `languages`: what the prompts say in each language, and which language a text is in.

A language is one text file of this room. A reader comes from `replay`, which prompts in the language of a news item,
from `probing` or from `evaluation`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
