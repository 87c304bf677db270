from .candidates import REASONS as REASONS, Candidate as Candidate
from .held_out import Probes as Probes, probe as probe
from .needs import probe_needs as probe_needs
from .settings import ProbeSettings as ProbeSettings
