"""sys2ft: put new facts into a language model's weights, and prove that they are there.

The main job in a few lines:

    import sys2ft

    result = sys2ft.run("news.jsonl", model="smollm2-135m-instruct", out="my-run")
    print(result.table())  # closed book and in context, by protocol, with intervals
    print(result.adapters)  # ordinary PEFT folders
"""

from typing import TYPE_CHECKING

from sys2ft.lazy import contents

if TYPE_CHECKING:
    from sys2ft.errors import ModelError, NewsError, SettingsError, StorageError, Sys2ftError, UserError
    from sys2ft.evaluation import EvaluateSettings, Prediction, evaluate
    from sys2ft.job import Result, Study, represent, run
    from sys2ft.models import LoadedModel, load_model
    from sys2ft.news import News, Question, bundled_news, read_news
    from sys2ft.news.importers import ImportSettings, import_news
    from sys2ft.probing import ProbeSettings, probe
    from sys2ft.replay import GenerateSettings, Replay, ReplayElement, generate
    from sys2ft.representations import RepresentSettings
    from sys2ft.training import Training, TrainItem, TrainSettings, train

__version__ = "0.1.0"

_WHERE = {
    "errors": ("ModelError", "NewsError", "SettingsError", "StorageError", "Sys2ftError", "UserError"),
    "evaluation": ("EvaluateSettings", "Prediction", "evaluate"),
    "job": ("Result", "Study", "represent", "run"),
    "models": ("LoadedModel", "load_model"),
    "news": ("News", "Question", "bundled_news", "read_news"),
    "news.importers": ("ImportSettings", "import_news"),
    "probing": ("ProbeSettings", "probe"),
    "replay": ("GenerateSettings", "Replay", "ReplayElement", "generate"),
    "representations": ("RepresentSettings",),
    "training": ("TrainItem", "TrainSettings", "Training", "train"),
}

__all__ = [
    "EvaluateSettings",
    "GenerateSettings",
    "ImportSettings",
    "LoadedModel",
    "ModelError",
    "News",
    "NewsError",
    "Prediction",
    "ProbeSettings",
    "Question",
    "Replay",
    "ReplayElement",
    "RepresentSettings",
    "Result",
    "SettingsError",
    "StorageError",
    "Study",
    "Sys2ftError",
    "TrainItem",
    "TrainSettings",
    "Training",
    "UserError",
    "bundled_news",
    "evaluate",
    "generate",
    "import_news",
    "load_model",
    "probe",
    "read_news",
    "represent",
    "run",
    "train",
]

__getattr__ = contents(__name__, {name: module for module, names in _WHERE.items() for name in names})
