"""Prepare SEAL's passages, and what models wrote about them, as a study of who writes.

    python -m tools.seal PASSAGES.json seal --count 24
    sys2ft study seal/study.yaml

PASSAGES.json is the file of `python -m benchmarks.passages`, which compares the same texts in SEAL's own form. SEAL
(arXiv 2506.10943) trained a model to write them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.passages.passages import Passage, read_passages, sequences
from sys2ft.files import write_jsonl, write_text


def news_of(passages: Sequence[Passage]) -> list[dict[str, Any]]:
    """The passages as news items; their questions have no choices."""
    return [
        {
            "id": one.name,
            "domain": "passages",
            "news": f"{one.title}\n\n{one.context}",
            "questions": [{"question": asked.question, "answer": asked.answer} for asked in one.questions],
        }
        for one in passages
    ]


def written(passages: Sequence[Passage], author: str) -> list[dict[str, str]]:
    """The statements of one author as texts of the news items, each with the title of its passage."""
    return [
        {"news_id": one.name, "text": f"{one.title}: {line}"}
        for one in passages
        for line in sequences(one.written[author])
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
    passages = read_passages(given.passages, given.count)
    authors = list(passages[0].written)
    write_jsonl(given.out / "news.jsonl", news_of(passages))
    for author in authors:
        write_jsonl(given.out / f"{author}.jsonl", written(passages, author))
    write_text(given.out / "study.yaml", yaml.safe_dump(study(given.out, authors), sort_keys=False))
    print(f"study     {given.out / 'study.yaml'}")


if __name__ == "__main__":
    main()
