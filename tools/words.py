"""Find words and phrases that the project avoids, in its documents and in the prose of its source files.

    python -m tools.words                   # every place, with file and line
    python -m tools.words README.md docs    # of these files and folders only

The list is the table 'Plain words' in CONTRIBUTING.md: phrases in backticks in its first column.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "CONTRIBUTING.md"
HEADING = "### Plain words"

# `news` may begin a compound: "a news item", "each news file".
_COMPOUND = r"(?![-\s]+(?:items?|files?|sets?|ids?|texts?|stor(?:y|ies)|articles?|sources?|site)\b)"
_PROSE = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def word_list() -> list[str]:
    """The avoided phrases."""
    _, _, section = LIST.read_text(encoding="utf-8").partition(HEADING)
    rows = [line.split("|") for line in section.split("\n#")[0].splitlines() if line.startswith("| `")]
    return [phrase for row in rows for phrase in re.findall(r"`([^`]+)`", row[1])]


def pattern() -> re.Pattern[str]:
    """Matches any avoided phrase as whole words, in any case, across line breaks."""
    parts = []
    for phrase in word_list():
        words = r"[\s#>]+".join(re.escape(word) for word in phrase.split())
        parts.append(words + (_COMPOUND if phrase.endswith("news") else ""))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(parts)})(?![\w-])", re.IGNORECASE)


def prose(file: Path) -> Iterator[tuple[int, str]]:
    """(first line, text) of what a reader reads: comments and strings of Python; Markdown without code and the list."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in _PROSE:
                yield token.start[0], token.string
        return
    if file == LIST:
        before, heading, after = text.partition(HEADING)
        section, found, rest = after.partition("\n#")
        text = before + heading + "\n" * section.count("\n") + found + rest
    yield 1, without_code(text)


def without_code(markdown: str) -> str:
    """Markdown with its code blanked, line numbers kept."""
    lines, fenced = [], False
    for line in markdown.splitlines():
        fence = line.lstrip().startswith("```")
        fenced ^= fence
        lines.append("" if fenced or fence or line.startswith("    ") else re.sub(r"`[^`]*`", "``", line))
    return "\n".join(lines)


def found_in(file: Path) -> list[str]:
    """'path:line: phrase' for every avoided phrase."""
    name, avoided = file.relative_to(ROOT), pattern()
    return [
        f"{name}:{first + text[: match.start()].count(chr(10))}: {' '.join(match.group().split())}"
        for first, text in prose(file)
        for match in avoided.finditer(text)
    ]


def files(paths: list[str]) -> list[Path]:
    wanted = [ROOT / path for path in paths or ["README.md", "CONTRIBUTING.md", "docs", "src"]]
    found = [file for path in wanted for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return [file for file in found if file.suffix in {".md", ".py"}]


def main() -> None:
    lines = [line for file in files(sys.argv[1:]) for line in found_in(file)]
    print(*lines, sep="\n")
    if lines:
        raise SystemExit(f"{len(lines)} places; what to write instead: CONTRIBUTING.md, 'Plain words'")


if __name__ == "__main__":
    main()
