"""`python -m tools.effect`: outcomes are averaged over run folders, and compared over news items."""

from __future__ import annotations

from pathlib import Path

import pytest

from known_run import build_run
from sys2ft.report.artifacts import read_artifacts
from sys2ft.statistics import paired_difference
from tools.effect import CLOSED, averaged, cells


def test_seeds_are_averaged_before_news_items_are_compared(tmp_path: Path) -> None:
    runs = [build_run(tmp_path / str(seed), seed=seed, protocols=("naive", "self_qa")) for seed in (1, 2)]
    found = cells([read_artifacts(run) for run in runs], "cloze")
    ours, peer = found["self_qa", CLOSED], found["naive", CLOSED]
    assert len(ours) == len(peer) == 2
    difference = paired_difference(averaged(ours), averaged(peer))
    single = [paired_difference(a, b) for a, b in zip(ours, peer, strict=True)]
    assert difference.estimate == pytest.approx(sum(one.estimate for one in single) / 2)
    assert (difference.n_items, difference.n_news) == (single[0].n_items, single[0].n_news)


def test_folders_with_other_questions_are_refused(tmp_path: Path) -> None:
    runs = [build_run(tmp_path / str(n), n_news=n, protocols=("naive",)) for n in (6, 7)]
    with pytest.raises(SystemExit, match="different questions"):
        averaged(cells([read_artifacts(run) for run in runs], "cloze")["naive", CLOSED])
