from .candidates import REASONS as REASONS, Candidate as Candidate
from .held_out import Probes as Probes, probe as probe
from .settings import ProbeSettings as ProbeSettings
