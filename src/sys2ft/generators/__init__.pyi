from .engine_generator import EngineGenerator as EngineGenerator, as_generator as as_generator
from .named import (
    Opening as Opening,
    is_local as is_local,
    open_generator as open_generator,
    require_generator as require_generator,
)
from .server_generator import ServerGenerator as ServerGenerator
from .server_settings import Address as Address, ServerSettings as ServerSettings
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
