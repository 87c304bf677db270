"""Graders decide whether a free-text answer is correct, and why.

`exact` compares whole texts. `alias` also accepts the aliases, and a text that names the answer, neither denied nor
beside another choice. `number` compares the number that answers. The rules, and the cases that they are tested on, are
in docs/grading.md. Other packages provide graders as entry points in the group 'sys2ft.graders'.
"""

from sys2ft.evaluation.graders.final import final_answer
from sys2ft.evaluation.graders.numeric import number
from sys2ft.evaluation.graders.phrases import alias, exact
from sys2ft.evaluation.graders.quantities import numbers
from sys2ft.evaluation.graders.registry import GRADERS, VERSION, grade, grader, identity, takes
from sys2ft.evaluation.graders.tokens import normalise
from sys2ft.evaluation.graders.verdict import Grade, Grader

__all__ = [
    "GRADERS", "VERSION", "Grade", "Grader", "alias", "exact", "final_answer", "grade", "grader", "identity",
    "normalise", "number", "numbers", "takes",
]  # fmt: skip
