"""sys2ft: put new facts into a language model's weights, and prove that they are there.

The main job in a few lines:

    import sys2ft

    result = sys2ft.run("news.jsonl", model="smollm2-135m-instruct", out="my-run")
    print(result.table())  # closed book and in context, by protocol, with intervals
    print(result.adapters)  # ordinary PEFT folders
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
