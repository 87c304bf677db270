"""Compare protocols across run folders, such as one for each seed: `python -m tools.effect mixed naive RUN...`.

The first protocol is compared with the second, paired over news items. A protocol's outcome on a question is its mean
over the folders that have it, so seeds narrow the interval and news items remain the unit of sampling. Folders must
ask the same questions; one folder may hold several protocols, or each its own.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from rich.table import Table

from sys2ft.evaluation.records import share_of_right
from sys2ft.report import number
from sys2ft.report.artifacts import BASE, Artifacts, Record, read_artifacts
from sys2ft.statistics import Item, Outcomes, gap_share, mean_over_news, paired_difference
from sys2ft.terminal import Console

CLOSED, OPEN, NEIGHBOURS = "closed book", "in context", "neighbours"
Cells: TypeAlias = Mapping[tuple[str, str], Sequence[Outcomes]]
"""(subject, what was measured) -> outcomes, of each folder."""


def cells(folders: Iterable[Artifacts], scoring: str) -> Cells:
    """The outcomes of every subject in every folder."""
    found: dict[tuple[str, str], list[Outcomes]] = defaultdict(list)
    for run in folders:
        for subject, rows in run.predictions.items():
            for name, condition in ((CLOSED, "closed_book"), (OPEN, "in_context")):
                asked = [row for row in rows if row["scoring"] == scoring and row["condition"] == condition]
                if asked:
                    found[subject, name].append({_item(row): row["correct"] for row in asked})
                    shares = {_item(row): share_of_right(row["detail"], row["expected"]) for row in asked}
                    if None not in shares.values():
                        found[subject, f"p {name}"].append(shares)
        for subject, rows in run.controls.get("neighbours", {}).items():
            found[subject, NEIGHBOURS].append({_item(row): row["correct"] for row in rows})
    return found


def _item(row: Record) -> Item:
    return row["news_id"], row["question"]


def averaged(outcomes: Sequence[Outcomes]) -> dict[Item, float]:
    """Mean of each question over folders; one that could not be graded counts as wrong."""
    if any(set(one) != set(outcomes[0]) for one in outcomes):
        raise SystemExit("The folders ask different questions; compare runs on the same news items.")
    return {item: sum(float(one[item] or 0) for one in outcomes) / len(outcomes) for item in outcomes[0]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.effect", description=__doc__)
    parser.add_argument("ours")
    parser.add_argument("peer")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--scoring", default="cloze")
    given = parser.parse_args()
    held = cells([read_artifacts(folder) for folder in given.runs], given.scoring)
    mean = {key: averaged(outcomes) for key, outcomes in held.items()}
    names = list(dict.fromkeys(name for _, name in mean))
    table = Table(*("", "runs", *names, "share of gap"))
    for subject in (BASE, given.peer, given.ours):
        share = (
            "–" if subject == BASE else number(gap_share(mean[BASE, CLOSED], mean[BASE, OPEN], mean[subject, CLOSED]))
        )
        row = [number(mean_over_news(mean[subject, name])) if (subject, name) in mean else "–" for name in names]
        table.add_row(subject, str(len(held[subject, CLOSED])), *row, share)
    for left, right in ((given.ours, given.peer), (given.peer, BASE), (given.ours, BASE)):
        row = [
            number(paired_difference(mean[left, name], mean[right, name]), signed=True)
            if (left, name) in mean and (right, name) in mean
            else "–"
            for name in names
        ]
        table.add_row(f"{left} − {right}", "", *row, "")
    console = Console(width=220)
    console.print(table)
    one = mean_over_news(mean[BASE, CLOSED])
    console.print(f"{one.n_items} questions of {one.n_news} news items; scoring {given.scoring}; 95% over news items.")
    for place, (ours, peer) in enumerate(zip(held[given.ours, CLOSED], held[given.peer, CLOSED], strict=False)):
        difference = number(paired_difference(ours, peer), signed=True)
        console.print(f"folder {place}: {given.ours} − {given.peer} = {difference}")


if __name__ == "__main__":
    main()
