"""An objective: cross-entropy with label smoothing (arXiv 1512.00567), compared with plain cross-entropy.

    python examples/objective.py --model smollm2-135m-instruct

An entry point makes it available to `--objective`: see docs/extending.md.
"""

from __future__ import annotations

import argparse

from torch import Tensor

import sys2ft
from sys2ft.engine import Differentiated, Targets
from sys2ft.models import DEFAULT_MODEL
from sys2ft.training import jobs_of, train


class LabelSmoothing(Differentiated):
    """Cross-entropy with a share of the target probability spread evenly over the vocabulary."""

    name = "label_smoothing"

    def __init__(self, share: float = 0.1) -> None:
        self.share = share

    def losses(self, logits_uV: Tensor, targets: Targets) -> Tensor:
        log_nV = logits_uV.log_softmax(-1)[targets.row_n]
        likely_n = log_nV.gather(-1, targets.token_n[:, None])[:, 0]
        return -(1 - self.share) * likely_n - self.share * log_nV.mean(-1)


def label_smoothing(settings: sys2ft.TrainSettings) -> LabelSmoothing:
    """Create the objective; an entry point in the group 'sys2ft.objectives' names this function."""
    return LabelSmoothing()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=DEFAULT_MODEL)
    model = sys2ft.load_model(parser.parse_args().model)
    question = ({"role": "user", "content": "How many people does the ferry carry?"},)
    items = [sys2ft.TrainItem(adapter="ferry", prompt=question, completion="It carries 40 people.")] * 4
    how = sys2ft.TrainSettings(rank=4, alpha=8, epochs=3, batch_size=2)
    for objective in (None, LabelSmoothing(0.1)):
        training = train(model, jobs_of(items, how, objective=objective))
        losses = [round(row["loss"], 3) for row in training.curve]
        print(f"{training.jobs[0].chosen_objective.name:<16} {losses}")
        training.bank.close()
