from .elements import ReplayElement as ReplayElement, Yield as Yield, count_yield as count_yield
from .filters import REASONS as REASONS, withheld as withheld
from .generation import Replay as Replay, generate as generate
from .protocols import Protocol as Protocol, protocol as protocol, protocol_names as protocol_names
from .settings import GenerateSettings as GenerateSettings
