"""Package `engine`: everything that computes with a model's tensors. One frozen base, many adapters.

It takes a transformers model, examples or prompts, and gives losses with gradients, log-likelihoods, texts and
adapters. The plain path, in the order to read it: `forward.py` (the one pass through the model), `attention.py` (its
attention), `trees/loss.py` (training), `trees/score.py`, `decoding/decode.py`. `preparing.py` tries a model and refuses
what would be computed wrong, `adapters/` is the bank of LoRA slots, `cpu/` what only makes a CPU faster, `trace.py` a
reader that observes every layer. What is below uses `models`, `runs` and `errors` only.
"""

from sys2ft.engine.adapters.bank import BASE, AdapterBank
from sys2ft.engine.adapters.coverage import Uncovered, uncovered
from sys2ft.engine.adapters.interface import Bank, Learner
from sys2ft.engine.adapters.learner import LoRA
from sys2ft.engine.adapters.optimiser import SlotAdamW
from sys2ft.engine.adapters.peft_format import load_adapter, open_adapter, open_adapters, save_adapter
from sys2ft.engine.decoding.decode import Decoded, DecodeRequest, DecodeResult, decode, group_of
from sys2ft.engine.decoding.decoder import Decoder, Logprobs, Row, Said, decoding
from sys2ft.engine.decoding.prefix_attention import Group
from sys2ft.engine.decoding.sampling import Sampling, Uniforms
from sys2ft.engine.decoding.stops import StopStrings
from sys2ft.engine.preparing import prepare
from sys2ft.engine.trees.distributions import Distributions
from sys2ft.engine.trees.loss import SlotGradients, backward
from sys2ft.engine.trees.objective import (
    CROSS_ENTROPY,
    FORWARD_KL,
    REVERSE_KL,
    CrossEntropy,
    Differentiated,
    KullbackLeibler,
    Lesson,
    Objective,
    Targets,
    Taught,
)
from sys2ft.engine.trees.score import LogLikelihood, ScoreResult, score
from sys2ft.engine.trees.teach import teach
from sys2ft.engine.trees.tree import Example, StepCost

__all__ = [
    "BASE",
    "CROSS_ENTROPY",
    "FORWARD_KL",
    "REVERSE_KL",
    "AdapterBank",
    "Bank",
    "CrossEntropy",
    "DecodeRequest",
    "DecodeResult",
    "Decoded",
    "Decoder",
    "Differentiated",
    "Distributions",
    "Example",
    "Group",
    "KullbackLeibler",
    "Learner",
    "Lesson",
    "LoRA",
    "LogLikelihood",
    "Logprobs",
    "Objective",
    "Row",
    "Said",
    "Sampling",
    "ScoreResult",
    "SlotAdamW",
    "SlotGradients",
    "StepCost",
    "StopStrings",
    "Targets",
    "Taught",
    "Uncovered",
    "Uniforms",
    "backward",
    "decode",
    "decoding",
    "group_of",
    "load_adapter",
    "open_adapter",
    "open_adapters",
    "prepare",
    "save_adapter",
    "score",
    "teach",
    "uncovered",
]
