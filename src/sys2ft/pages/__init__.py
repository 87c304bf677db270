"""Room `pages`: what the pages of all systems share: the HTML shell, its style sheet and scripts, and the charts.

A page is one self-contained HTML file. `render` fills a system's own template, which extends `shell.html.j2`; the
content security policy lets only the page's own script run and blocks every network request.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
