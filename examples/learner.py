"""A learner: rank-stabilised LoRA (arXiv 2312.03732), which scales the update by alpha / sqrt(rank).

    python examples/learner.py --model smollm2-135m-instruct

An entry point makes it available to `--learner`: see docs/extending.md.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

import sys2ft
from sys2ft.engine import LoRA
from sys2ft.models import DEFAULT_MODEL
from sys2ft.training import jobs_of, train


class RankStabilised(LoRA):
    """LoRA with alpha multiplied by sqrt(rank), so that PEFT loads the saved files unchanged."""

    @property
    def name(self) -> str:
        return "rank_stabilised"


def rank_stabilised(settings: sys2ft.TrainSettings) -> RankStabilised:
    """Create the learner; an entry point in the group 'sys2ft.learners' names this function."""
    alpha = settings.alpha * math.sqrt(settings.rank)
    return RankStabilised(rank=settings.rank, alpha=alpha, targets=settings.target_modules, dropout=settings.dropout)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=DEFAULT_MODEL)
    model = sys2ft.load_model(parser.parse_args().model)
    question = ({"role": "user", "content": "How many people does the ferry carry?"},)
    items = [sys2ft.TrainItem(adapter="ferry", prompt=question, completion="It carries 40 people.")] * 4
    how = sys2ft.TrainSettings(rank=4, alpha=8, epochs=3, batch_size=2)
    learner = rank_stabilised(how)
    training = train(model, jobs_of(items, how, learner=learner))
    print("losses", [round(row["loss"], 3) for row in training.curve])
    with tempfile.TemporaryDirectory() as folder:
        learner.save(training.bank, 0, Path(folder) / "ferry", base_name=model.source.name)
        other = learner.bank(model.model, 1)
        learner.load(other, 0, Path(folder) / "ferry")
        same = bool((other.weights_KP == training.bank.weights_KP).all())
        print(f"saved and loaded: {'the same weights' if same else 'other weights'}")
        other.close()
    training.bank.close()
