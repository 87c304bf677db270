"""Sub-package `protocols`: the bundled protocols, one a file, and finding a protocol by name.

docs/protocols.md compares them. `registry.py` lists them.
"""

from sys2ft.replay.protocols.registry import protocol as protocol, protocol_names as protocol_names
