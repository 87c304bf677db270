"""The documents: links resolve, generated parts are current, the prose avoids the words of the list."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tools import pictures, tree, words

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
ELSEWHERE = re.compile(r"^(?:[a-z]+:|//)")

# Places whose prose is held to the word list.
PLAIN = ["README.md", "CONTRIBUTING.md", "docs", "src"]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as both GitHub and Python-Markdown make them."""
    text = without_fences(page.read_text(encoding="utf-8"))
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        found.add(slug)
    return found


def without_fences(text: str) -> str:
    return re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
    """Targets of a page's links and pictures that are not elsewhere on the web."""
    text = re.sub(r"`[^`\n]*`", "", without_fences(page.read_text(encoding="utf-8")))
    text = re.sub(r"^(?: {4}|\t).*$", "", text, flags=re.MULTILINE)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target for target in targets if not ELSEWHERE.match(target)]


def broken(page: Path, target: str) -> str | None:
    """Why a link of a page leads nowhere; None if it does not."""
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return f"{target}: no such file"
    if anchor and file.suffix == ".md" and anchor not in anchors(file):
        return f"{target}: no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    assert [why for target in links(page) if (why := broken(page, target))] == []


def test_the_link_check_sees_what_it_should(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text(
        "# A `b` title: x\n\n[1](#a-b-title-x) [2](#gone) [3](gone.md) [4](a.md#a-b-title-x)\n"
        "[5](https://x.org/y) `[6](z.md)`\n\n    [7](z.md)\n\n```\n[8](z.md)\n```\n",
        encoding="utf-8",
    )
    assert links(page) == ["#a-b-title-x", "#gone", "gone.md", "a.md#a-b-title-x"]
    assert [why for target in links(page) if (why := broken(page, target))] == [
        "#gone: no such heading",
        "gone.md: no such file",
    ]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_source_files_that_a_page_names_exist(page: Path) -> None:
    named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|txt|toml|yaml))`", page.read_text(encoding="utf-8")))
    places = (ROOT, tree.PACKAGE, tree.PACKAGE / "engine")
    assert [path for path in sorted(named) if not any((place / path).exists() for place in places)] == []


def test_every_page_is_reachable_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in links(page)]
    assert [name(page) for page in PAGES if page not in seen] == []


def test_the_numbers_of_the_readme_are_those_of_the_results() -> None:
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    scores = re.findall(r"\d\.\d\d \[-?\d\.\d\d, \d\.\d\d\]", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(scores) > 5
    assert [score for score in scores if score not in results] == []


def test_the_first_pages_are_short() -> None:
    for page, most in (("README.md", 130), ("CONTRIBUTING.md", 120)):
        assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= most, page


def test_the_architecture_page_is_current() -> None:
    page = tree.PAGE.read_text(encoding="utf-8")
    assert page == tree.current(page), "python -m tools"


def test_the_pictures_are_current() -> None:
    for file, svg in pictures.pictures().items():
        assert file.read_text(encoding="utf-8") == svg, "python -m tools"
        ET.fromstring(svg)


def test_every_decision_has_a_number_and_the_same_parts() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    index = (ROOT / "docs" / "decisions" / "index.md").read_text(encoding="utf-8")
    for record in records:
        text = record.read_text(encoding="utf-8")
        title = re.match(r"# (\d{4})\. (.+)\n\nStatus: (accepted|superseded by .+), \d{4}-\d\d-\d\d\n", text)
        assert title and title[1] == record.name[:4], record.name
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"], record.name
        assert f"| [{title[1]}]({record.name}) | {title[2]} |" in index, record.name


@pytest.mark.parametrize("file", words.files(PLAIN), ids=name)
def test_prose_is_plain(file: Path) -> None:
    assert words.found_in(file) == []


def test_the_word_list_sees_what_it_should() -> None:
    avoided = words.pattern()
    for bad in ("a news", "Each\nnews", "# it goes\n# on", "somebody's"):
        assert avoided.search(bad), bad
    for good in ("a news item", "each news file", "per-news", "understands in", "retold"):
        assert not avoided.search(good), good
    assert words.without_code("told\n```\ntold\n```\n    told\n`told` told") == "told\n\n\n\n\n`` told"
