"""Stored pages (a run's report, a study's page) in a frame that can do nothing to the page around it.

Such a page is one self-contained file with an inline script. It is sent with a policy of its own: no network, no
origin (`sandbox`), and only those scripts whose digests were computed from the file. The policy inside the file holds
as well.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from html.parser import HTMLParser


def policy(page: str) -> Mapping[str, str]:
    """The response headers for a stored page."""
    scripts = " ".join(f"'sha256-{one}'" for one in _digests(page)) or "'none'"
    rules = (
        "default-src 'none'", "style-src 'unsafe-inline'", f"script-src {scripts}", "base-uri 'none'",
        "form-action 'none'", "frame-ancestors 'self'", "sandbox allow-scripts",
    )  # fmt: skip
    return {"content-security-policy": "; ".join(rules), "x-frame-options": "SAMEORIGIN"}


def _digests(page: str) -> list[str]:
    found = _Scripts()
    found.feed(page)
    found.close()
    return [b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") for text in found.texts]


class _Scripts(HTMLParser):
    """The texts of the inline scripts of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.texts: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self._inside = True
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data
