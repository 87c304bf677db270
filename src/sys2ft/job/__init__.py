"""Room `job`: the main job on a run folder, stage by stage and as a whole."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
