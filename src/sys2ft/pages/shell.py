"""Renders a page: a template that extends the shared shell, with its style sheet, script and content policy.

Text from runs and models is untrusted: the template escapes every value not marked as `trusted`, and the page's content
security policy allows only the script whose hash it names.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent

Filters = Mapping[str, Callable[..., Any]]


def render(
    folder: Path, name: str, values: Mapping[str, Any], *, filters: Filters | None = None, tests: Filters | None = None
) -> str:
    """The page made from `name`.html.j2, `name`.css and `name`.js.j2 in `folder`, on top of the shared shell.

    `filters` and `tests` are added to those of Jinja. A name that the template uses and `values` lacks is an error.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([folder, _HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters or {})
    environment.tests.update(tests or {})
    css = _read(_HERE / "page.css") + _read(folder / f"{name}.css")
    script = _read(_HERE / "page.js.j2") + _read(folder / f"{name}.js.j2")
    script_hash = b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return environment.get_template(f"{name}.html.j2").render(
        {**values, "css": trusted(css), "script": trusted(script), "script_hash": script_hash}
    )


def trusted(text: str) -> Any:
    """Marks text that the package itself made, or has already escaped, to be inserted without escaping."""
    from markupsafe import Markup

    return Markup(text)


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")
