"""Settings of `sys2ft demo`: the main job on the bundled news, sized for two processor cores."""

from __future__ import annotations

from sys2ft.evaluation import EvaluateSettings
from sys2ft.news.bundled import DEMO
from sys2ft.replay import GenerateSettings
from sys2ft.training import TrainSettings

DEMO_NEWS = DEMO
DEMO_GENERATE = GenerateSettings(tokens_per_news=800)
DEMO_TRAIN = TrainSettings()
# Free text is left out: it takes a third of the time and is uninformative for a model this small.
DEMO_EVALUATE = EvaluateSettings(scorings=("cloze", "cloze_raw", "letter"))
