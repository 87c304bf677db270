from .provenance import facts as facts
from .shell import render as render, trusted as trusted
