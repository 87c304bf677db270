"""Room `engine`: everything that touches a model's tensors. One frozen base, many adapters."""

from sys2ft.engine.adapters.bank import BASE, AdapterBank
from sys2ft.engine.adapters.optimiser import SlotAdamW
from sys2ft.engine.adapters.peft_format import load_adapter, open_adapter, save_adapter
from sys2ft.engine.decoding.decode import Decoded, DecodeRequest, DecodeResult, decode
from sys2ft.engine.decoding.sampling import Sampling
from sys2ft.engine.decoding.stops import StopStrings
from sys2ft.engine.forward import prepare
from sys2ft.engine.trees.loss import SlotGradients, backward
from sys2ft.engine.trees.score import LogLikelihood, ScoreResult, score
from sys2ft.engine.trees.tree import Example, StepCost

__all__ = [
    "BASE",
    "AdapterBank",
    "DecodeRequest",
    "DecodeResult",
    "Decoded",
    "Example",
    "LogLikelihood",
    "Sampling",
    "ScoreResult",
    "SlotAdamW",
    "SlotGradients",
    "StepCost",
    "StopStrings",
    "backward",
    "decode",
    "load_adapter",
    "open_adapter",
    "prepare",
    "save_adapter",
    "score",
]
