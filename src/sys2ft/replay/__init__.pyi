from .budget import Schedule as Schedule
from .elements import (
    ReplayElement as ReplayElement,
    Yield as Yield,
    count_yield as count_yield,
    joined_yield as joined_yield,
    shown as shown,
)
from .filters import REASONS as REASONS, Filter as Filter, Reason as Reason, Said as Said, withheld as withheld
from .generation import Replay as Replay, generate as generate, parts_of as parts_of, protocols_for as protocols_for
from .leaks import Leak as Leak, leaks as leaks, require_unleaked as require_unleaked
from .mixed import DEFAULT_MIX as DEFAULT_MIX, MIXED as MIXED, Mix as Mix, Part as Part
from .planning import expected as expected, plan as plan
from .prompts import Template as Template, parse_template as parse_template, template as template
from .protocols import protocol as protocol, protocol_names as protocol_names
from .rehearsal import RehearsalSettings as RehearsalSettings, rehearse as rehearse
from .settings import GenerateSettings as GenerateSettings
from .stages import Protocol as Protocol, Stage as Stage, Trail as Trail
