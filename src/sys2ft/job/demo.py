"""Settings of `sys2ft demo`: the main job on the bundled news, sized for two processor cores."""

from __future__ import annotations

from sys2ft.evaluation import EvaluateSettings
from sys2ft.replay import GenerateSettings
from sys2ft.training import TrainSettings

DEMO_NEWS = "demo"
DEMO_GENERATE = GenerateSettings(samples_per_news=8, max_new_tokens=48, rounds=3, margin=1.5)
DEMO_TRAIN = TrainSettings()
DEMO_EVALUATE = EvaluateSettings(reasoned_tokens=64)
