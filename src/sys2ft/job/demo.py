"""Settings of `sys2ft demo`: the main job on the bundled news, sized for two processor cores."""

from __future__ import annotations

from sys2ft.evaluation import EvaluateSettings
from sys2ft.replay import GenerateSettings
from sys2ft.training import TrainSettings

DEMO_NEWS = "demo"
DEMO_GENERATE = GenerateSettings(samples_per_news=6, temperature=0.7, max_new_tokens=48, rounds=3, margin=1.5)
DEMO_TRAIN = TrainSettings(learning_rate=1e-3, epochs=3.0, batch_size=3)
DEMO_EVALUATE = EvaluateSettings(reasoned_tokens=64)
