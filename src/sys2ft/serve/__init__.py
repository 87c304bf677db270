"""Room `serve`: an OpenAI-compatible server over the engine, for a model with its adapters and news items.

It takes a run folder, or a PEFT folder and a model, and answers HTTP requests (`/v1/models`, `/v1/chat/completions`,
`/v1/completions`). Read `app.py` first: it lists the routes; `worker.py` is the thread that runs the model.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
