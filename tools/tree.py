"""Write the rooms table and the source tree of docs/architecture.md from the docstrings of the package.

    python -m tools.tree            # say whether the page is current
    python -m tools.tree --write    # bring it up to date

The order of the rooms is `ROOMS` in tests/test_contract.py, which is also what the import rule is checked against.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "sys2ft"
PAGE = ROOT / "docs" / "architecture.md"


def summary(file: Path) -> str:
    """First sentence of a module's docstring, without the full stop; '' where there is none."""
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    first = " ".join(doc.split("\n\n")[0].split())
    first = re.split(r"(?<=[\w`)])\. (?=[A-Z`])", first)[0].rstrip(".")
    kind = r"(?:[Rr]oom|[Ss]ub-room|[Pp]ackage|[Ss]ub-package)"
    about = re.sub(rf"^(?:{kind} `\w+`: )+", "", first)
    return about if about == first else about[0].upper() + about[1:]


def rooms() -> list[list[str]]:
    """Rooms from top to bottom; those of one line may not import each other."""
    tree = ast.parse((ROOT / "tests" / "test_contract.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ROOMS":
            lines = [sorted(line) for line in ast.literal_eval(node.value)]
            return [[room for room in line if not room.startswith("__") and source(room)] for line in lines]
    raise SystemExit("tests/test_contract.py has no ROOMS")


def source(room: str) -> Path | None:
    """The file whose docstring describes a room: a package's `__init__.py`, or a module."""
    files = (PACKAGE / room / "__init__.py", PACKAGE / f"{room}.py")
    return next((file for file in files if file.exists()), None)


def rooms_table() -> str:
    rows = ["| level | room | purpose |", "|---:|---|---|"]
    for level, line in enumerate((line for line in rooms() if line), start=1):
        for room in line:
            file = source(room)
            assert file
            text = summary(file) or "the command line: parses, calls, prints; one module for each command"
            rows.append(f"| {level} | `{room}` | {text[0].lower() + text[1:] if text[1].islower() else text} |")
    return "\n".join(rows)


def tree_lines(folder: Path, depth: int) -> Iterator[tuple[str, str]]:
    """(indented name, summary) of a folder's modules, then of its sub-folders."""
    indent = "  " * depth
    files = sorted(file for file in folder.glob("*.py") if file.name != "__init__.py")
    yield from ((f"{indent}{file.name}", summary(file)) for file in files)
    for child in sorted(path for path in folder.iterdir() if (path / "__init__.py").exists()):
        yield f"{indent}{child.name}/", summary(child / "__init__.py")
        yield from tree_lines(child, depth + 1)


def source_tree() -> str:
    lines = [("src/sys2ft/", summary(PACKAGE / "__init__.py")), *tree_lines(PACKAGE, 1)]
    width = max(len(name) for name, _ in lines) + 2
    return "\n".join(["```text", *(f"{name:<{width}}{text}".rstrip() for name, text in lines), "```"])


def current(page: str) -> str:
    """The page with both generated parts as they should be."""
    for name, text in (("rooms", rooms_table()), ("tree", source_tree())):
        begin, end = f"<!-- {name}: python -m tools.tree --write -->", f"<!-- end of {name} -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise SystemExit(f"{PAGE.relative_to(ROOT)}: found no part between {begin!r} and {end!r}")
        page = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    return page


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    wanted = current(page)
    if "--write" in sys.argv[1:]:
        PAGE.write_text(wanted, encoding="utf-8")
    elif page != wanted:
        raise SystemExit("docs/architecture.md is out of date\n  fix: python -m tools.tree --write")


if __name__ == "__main__":
    main()
