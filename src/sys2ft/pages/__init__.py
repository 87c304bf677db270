"""Room `pages`: the HTML shell, style sheet, scripts and charts that all pages share.

A page is one self-contained HTML file. `render` fills a room's own template, which extends `shell.html.j2`. The
content security policy allows only the page's own script and blocks every network request.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
