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
    folder: Path,
    name: str,
    values: Mapping[str, Any],
    *,
    template: str = "",
    filters: Filters | None = None,
    tests: Filters | None = None,
) -> str:
    """Render the page `name`.html.j2, or `template`.html.j2, with `name`.css and `name`.js.j2, within the shared shell.

    All of them are files of `folder`.

    `filters` and `tests` extend those of Jinja. Raises jinja2.UndefinedError if the template uses a name that `values`
    does not have.
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
    return environment.get_template(f"{template or name}.html.j2").render(
        {**values, "css": trusted(css), "script": trusted(script), "script_hash": script_hash}
    )


def trusted(text: str) -> Any:
    """Mark text that the package generated or has already escaped, so that it is inserted without escaping."""
    from markupsafe import Markup

    return Markup(text)


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")
