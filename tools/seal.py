"""Prepare SEAL's passages, and what models wrote about them, as a study of who writes.

    python -m tools.seal PASSAGES.json seal --count 24
    sys2ft study seal/study.yaml

PASSAGES.json is a list of mappings: `title`, `context`, `questions` (each `question` and `answer`), and
`written_by_peers`, texts about the context by the name of their author, one statement on each line. SEAL (arXiv
2506.10943) trained a model to write such texts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sys2ft.files import write_jsonl, write_text

LEAST_WORDS = 4  # of a line that is a statement and not a heading or a number


def news_of(passages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The passages as news items; their questions have no choices."""
    return [
        {
            "id": f"passage-{place:02d}",
            "domain": "passages",
            "news": f"{passage['title']}\n\n{passage['context']}",
            "questions": [{"question": one["question"], "answer": one["answer"]} for one in passage["questions"]],
        }
        for place, passage in enumerate(passages)
    ]


def written(passages: Sequence[Mapping[str, Any]], author: str) -> list[dict[str, str]]:
    """The statements of one author as texts of the news items, each with the title of its passage."""
    return [
        {"news_id": f"passage-{place:02d}", "text": f"{passage['title']}: {line.strip()}"}
        for place, passage in enumerate(passages)
        for line in passage["written_by_peers"][author].splitlines()
        if len(line.split()) >= LEAST_WORDS
    ]


def study(folder: Path, authors: Sequence[str]) -> dict[str, Any]:
    """Every author's texts, our own elements and the passage itself, all with an adapter for each passage."""
    ways: dict[str, dict[str, Any]] = {"passage": {"protocol": "naive"}, "own mixed": {"protocol": "mixed"}}
    ways |= {author: {"written": str(folder / f"{author}.jsonl")} for author in authors}
    return {
        "name": "seal",
        "asks": "Who writes what a model learns a passage from best?",
        "source": "SEAL, arXiv 2506.10943",
        "news": str(folder / "news.jsonl"),
        "settings": {
            "adapters": "per-news", "strength": 1.0, "samples_per_news": 16, "elements": 16, "epochs": 3.0,
            "headline": "direct", "direct_tokens": 32,
        },
        "vary": {"writer": ways},
        "measures": ["closed_book", "in_context"],
        "compare": {"axis": "writer", "to": "passage", "measure": "closed_book"},
        "small": {"take": 4, "settings": {"samples_per_news": 4, "elements": 4, "epochs": 1.0}},
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.seal", description=__doc__)
    parser.add_argument("passages", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=0, help="only the first passages, so many")
    given = parser.parse_args(arguments)
    passages = json.loads(given.passages.read_text(encoding="utf-8"))[: given.count or None]
    authors = list(passages[0]["written_by_peers"])
    write_jsonl(given.out / "news.jsonl", news_of(passages))
    for author in authors:
        write_jsonl(given.out / f"{author}.jsonl", written(passages, author))
    write_text(given.out / "study.yaml", yaml.safe_dump(study(given.out, authors), sort_keys=False))
    print(f"study     {given.out / 'study.yaml'}")


if __name__ == "__main__":
    main()
