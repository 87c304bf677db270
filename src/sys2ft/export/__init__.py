"""Room `export`: a run's adapter as files for other programs, and the proof that these files answer as the run did.

It takes a finished run folder and writes folders that PEFT, transformers, llama.cpp, Ollama or a trainer read. Every
file that answers is asked the run's own questions again, through the program that will run it (`proof`). A reader comes
from `evaluation`, whose recorded predictions are what the files are compared with.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
