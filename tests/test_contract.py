"""The package's own rules: imports point downwards, contents pages keep their word, files stay readable."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sys2ft

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "sys2ft"

# From top to bottom; a module imports from its own room and from rooms below it, never beside it or above.
ROOMS = (
    {"__main__"},
    {"cli"},
    {"__init__"},  # the contents page
    {"serve"},
    {"ledger", "studies"},
    {"job"},
    {"export", "report", "representations"},
    {"probing", "combining", "lint", "retention", "checkup"},
    {"replay", "training", "evaluation"},
    {"generators"},
    {"engine", "executors"},
    {"models", "news", "runs", "pages", "stores"},
    {"files", "languages", "machine", "plugins", "statistics", "terminal", "text"},
    {"errors"},
)
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}


def module_name(file: Path) -> str:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


MODULES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(module: str, text: str, is_package: bool = False) -> Iterator[str]:
    """Modules of this package that a module's text imports, at its top, in functions, or for type checkers."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "sys2ft")
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".") if is_package else module.split(".")[:-1]
            start = base[: len(base) + 1 - node.level] if node.level else []
            name = ".".join([*start, *(node.module or "").split(".")]).strip(".")
            if name == "sys2ft" or (node.level and len(start) == 1 and not node.module):
                yield from (f"sys2ft.{alias.name}" for alias in node.names)  # `from sys2ft import engine`
            elif name.split(".")[0] == "sys2ft":
                yield name


def violations(module: str, text: str, is_package: bool = False) -> list[str]:
    """What a module imports from beside or above its room."""
    own = room_of(module)
    wrong = []
    for imported in imports(module, text, is_package):
        other = room_of(imported)
        if other != own and LEVEL.get(other, -1) <= LEVEL[own]:
            wrong.append(f"{module} ({own}) imports {imported} ({other})")
    return wrong


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards(module: str) -> None:
    file = MODULES[module]
    stub = file.with_suffix(".pyi")
    if stub.exists():  # what a contents page imports when a name is first used
        assert violations(module, stub.read_text(encoding="utf-8"), is_package=True) == []
    assert room_of(module) in LEVEL, "a room that the design does not know: give it a place in ROOMS"
    assert violations(module, file.read_text(encoding="utf-8"), file.name == "__init__.py") == []


def test_representations_are_a_system_of_their_own() -> None:
    found = {
        room_of(module)
        for module, file in MODULES.items()
        for text in (file, file.with_suffix(".pyi"))
        if text.exists()
        for imported in imports(module, text.read_text(encoding="utf-8"), file.name == "__init__.py")
        if room_of(imported) == "representations"
    }
    assert found <= {"representations", "cli", "__init__"}


def test_the_list_of_rooms_is_that_of_the_package() -> None:
    assert {room_of(module) for module in MODULES} == set(LEVEL)


@pytest.mark.parametrize(
    ("module", "text", "caught"),
    [
        ("sys2ft.engine.adapters.bank", "from sys2ft.training import train", True),
        ("sys2ft.engine.adapters.bank", "def f():\n    import sys2ft.replay.filters", True),
        ("sys2ft.engine.adapters.bank", "if TYPE_CHECKING:\n    from sys2ft.job import run", True),
        ("sys2ft.engine.adapters.bank", "from ...job import run", True),
        ("sys2ft.engine.adapters.bank", "from ... import job", True),
        ("sys2ft.engine.adapters.bank", "from sys2ft import job", True),
        ("sys2ft.engine.adapters.bank", "from sys2ft import train", True),
        ("sys2ft.engine.adapters.bank", "import sys2ft", True),
        ("sys2ft.replay.generation", "from sys2ft.training import train", True),
        ("sys2ft.evaluation.measure", "from sys2ft.replay.filters import normal", True),
        ("sys2ft.models.load", "from sys2ft.runs import digest", True),
        ("sys2ft.errors", "from sys2ft.news import News", True),
        ("sys2ft.report.page", "from sys2ft.job import run", True),
        ("sys2ft.report.page", "from sys2ft.representations import Graph", True),
        ("sys2ft.representations.study", "from sys2ft.report import summarise", True),
        ("sys2ft.engine.adapters.bank", "from sys2ft.unheard_of import x", True),
        (
            "sys2ft.engine.adapters.bank",
            "from sys2ft.errors import ModelError\nfrom sys2ft.files import write_json",
            False,
        ),
        (
            "sys2ft.engine.adapters.bank",
            "from . import tree\nfrom .tree import pack\nfrom ...errors import UserError",
            False,
        ),
        ("sys2ft.report.table", "from sys2ft.replay.elements import Yield", False),
        ("sys2ft.job.stages", "from sys2ft.report import summarise", False),
        ("sys2ft.cli.run", "import sys2ft", False),
        ("sys2ft.engine.adapters.bank", "import torch\nfrom sys import path\nimport sys2ftx", False),
    ],
)
def test_the_check_sees_what_it_should(module: str, text: str, caught: bool) -> None:
    assert bool(violations(module, text)) is caught


@pytest.mark.parametrize("module", [m for m in MODULES if room_of(m) not in {"cli", "__init__", "representations"}])
def test_the_first_system_does_without_representations(module: str) -> None:
    file = MODULES[module]
    imported = imports(module, file.read_text(encoding="utf-8"), file.name == "__init__.py")
    assert not [name for name in imported if room_of(name) == "representations"]


def packages() -> list[str]:
    rooms = [m for m, file in MODULES.items() if file.name == "__init__.py" and m.count(".") == 1]
    return ["sys2ft", *(room for room in rooms if room != "sys2ft.__init__")]


@pytest.mark.parametrize("package", packages())
def test_every_name_of_a_contents_page_is_there(package: str) -> None:
    page = importlib.import_module(package)
    names = getattr(page, "__all__", [])
    assert len(set(names)) == len(names)
    for name in names:
        assert getattr(page, name) is not None, name
    assert page.__doc__ or package == "sys2ft.cli"


def test_there_are_contents_pages() -> None:
    pages = {p: getattr(importlib.import_module(p), "__all__", None) for p in packages()}
    assert [p for p, names in pages.items() if not names] == ["sys2ft.cli"]
    with pytest.raises(AttributeError, match="attribute nonsense"):
        _ = sys2ft.nonsense


@pytest.mark.parametrize("name", sys2ft.__all__)
def test_the_public_names_are_documented(name: str) -> None:
    value = getattr(sys2ft, name)
    assert callable(value)
    doc = inspect.getdoc(value)
    assert doc
    # dataclass writes a signature where there is no docstring.
    assert not doc.startswith(f"{name}("), "a docstring of its own"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_what_it_is_and_stays_short(module: str) -> None:
    text = MODULES[module].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert not text or ast.get_docstring(ast.parse(text)), "no docstring"


# Places on the machine of whoever wrote a file; '/dev' and '/proc' are everybody's.
_PLACE = re.compile(r"(?<![\w.:/-])(?:/(?:home|work|root|Users|mnt|data|tmp|opt)/|[A-Z]:\\)\S*")


def public_files() -> list[Path]:
    docs = [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*")]
    package = [f for f in PACKAGE.rglob("*") if f.suffix in {".py", ".txt", ".jsonl", ".j2", ".css"}]
    return [f for f in (*package, *docs) if f.is_file()]


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    found = {
        f"{file.relative_to(ROOT)}: {place}"
        for file in public_files()
        for place in _PLACE.findall(file.read_text(encoding="utf-8", errors="replace"))  # a PDF is among the examples
    }
    assert not found
    assert _PLACE.findall("see /work/main/x and C:\\Users\\me") == ["/work/main/x", "C:\\Users\\me"]
    assert not _PLACE.findall("https://site.org/work/x and docs/data/y and a/tmp/b")
