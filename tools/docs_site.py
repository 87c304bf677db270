"""MkDocs hook: pages of the site that are generated instead of written.

The front page is the README, 'Contributing' is CONTRIBUTING.md, the command line's page is what `--help` prints, and
the API reference lists the public names of every room.
"""

# mypy: disable-error-code="import-not-found, misc"
from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import commands  # noqa: E402

# Rooms with a reference page, in the order in which a user meets them.
ROOMS = (
    *("sys2ft", "sys2ft.news", "sys2ft.news.importers", "sys2ft.models", "sys2ft.generators", "sys2ft.replay"),
    *("sys2ft.training", "sys2ft.evaluation", "sys2ft.retention", "sys2ft.statistics", "sys2ft.probing"),
    "sys2ft.combining",
    *("sys2ft.representations", "sys2ft.lint", "sys2ft.engine", "sys2ft.runs", "sys2ft.files", "sys2ft.job"),
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the reference to the navigation."""
    pages = [{room.removeprefix("sys2ft."): f"api/{room}.md"} for room in ROOMS if exists(room)]
    config.nav = [*(config.nav or []), {"API": pages}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {
        "index.md": from_root("README.md"),
        "contributing.md": from_root("CONTRIBUTING.md"),
        "cli.md": command_line(),
        **{f"api/{room}.md": api_page(room) for room in ROOMS if exists(room)},
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Adapt what GitHub renders otherwise: links to source files become names; pipes in code lose their backslash."""
    source = r"\[([^]]+)\]\((?:\.\./)+(?!decisions|images)[\w/.]+\.(?:py|yaml|toml|jsonl)(?:#\S*)?\)"
    markdown = re.sub(source, r"`\1`", markdown)
    return re.sub(r"`[^`\n]*`", lambda code: code[0].replace(r"\|", "|"), markdown)


def from_root(name: str) -> str:
    """A page beside docs/, with its links as seen from docs/."""
    text = (ROOT / name).read_text(encoding="utf-8")
    text = text.replace("](docs/", "](").replace("](CONTRIBUTING.md", "](contributing.md")
    return re.sub(r"\]\((?!https?:|#)((?:src|examples|benchmarks|tests)/[^)]*)\)", "]", text)


def exists(room: str) -> bool:
    return importlib.util.find_spec(room) is not None


def public_names(module: ModuleType) -> list[str]:
    """`__all__`, or what a module without it defines under a name that is not private."""
    own = [n for n, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
    return list(getattr(module, "__all__", [name for name in own if not name.startswith("_")]))


def api_page(room: str) -> str:
    """The public names of a room, each with its docstring; constants by name."""
    module = importlib.import_module(room)
    about = inspect.getdoc(module) or ""
    objects = {name: getattr(module, name) for name in sorted(public_names(module), key=str.lower)}
    documented = {name: thing for name, thing in objects.items() if inspect.isclass(thing) or inspect.isfunction(thing)}
    lines = [f"# {room}", "", about, ""]
    for name, thing in documented.items():
        if thing.__module__.startswith("sys2ft"):
            lines += [f"::: {thing.__module__}.{thing.__qualname__}", "    options:", f"      heading: {name}", ""]
    rest = [name for name in objects if name not in documented]
    if rest:
        lines += ["## Constants and types", "", ", ".join(f"`{name}`" for name in rest), ""]
    return "\n".join(lines)


def command_line() -> str:
    """`--help` of every command, as the parser prints it."""
    lines = ["# Command line", "", "What `--help` prints, for every command.", ""]
    for words in commands.names():
        lines += [f"## {' '.join(['sys2ft', *words])}", "", "```text", commands.help_text(words), "```", ""]
    return "\n".join(lines)
