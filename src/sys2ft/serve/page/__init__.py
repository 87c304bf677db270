"""The page of the server: base, news in context and tuned model next to each other, and what folders hold.

`site.py` has its routes, `page.html`, `page.css` and `page.js` are what a browser gets; nothing is loaded from
elsewhere, and every text of a model or a news item is shown as text.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
