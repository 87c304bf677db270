from .engine_generator import EngineGenerator as EngineGenerator, as_generator as as_generator
from .thinking import without_thought as without_thought
from .types import (
    Generated as Generated,
    Generator as Generator,
    Likelihoods as Likelihoods,
    Pair as Pair,
    Reply as Reply,
    Request as Request,
    SamplingParams as SamplingParams,
    Usage as Usage,
)
from .work import Context as Context
