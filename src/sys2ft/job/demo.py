"""Settings of `sys2ft demo`: the main job on the bundled news, sized for two processor cores."""

from __future__ import annotations

from sys2ft.evaluation import EvaluateSettings
from sys2ft.replay import GenerateSettings
from sys2ft.training import TrainSettings

DEMO_NEWS = "demo"
DEMO_GENERATE = GenerateSettings(
    samples_per_news=6, temperature=0.6, max_new_tokens=48, rounds=3, margin=1.6, min_gain=0.1, min_support=-2.0
)
DEMO_TRAIN = TrainSettings(adapters="per-news", rank=8, alpha=16.0, learning_rate=3e-3, epochs=2.0, batch_size=2)
# Without `reasoned`: step-by-step reasoning takes a third of the time and is uninformative for a model this small.
DEMO_EVALUATE = EvaluateSettings(scorings=("cloze", "cloze_raw", "letter", "direct"))
