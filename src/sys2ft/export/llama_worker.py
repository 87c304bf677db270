"""A process that serves one GGUF file by llama.cpp until its standard input ends.

    python -m sys2ft.export.llama_worker MODEL CONTEXT THREADS KEY [LORA]

Prints the server's address on standard output. It is a process of its own, so that a fault in native code ends it and
not the export.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    import xllamacpp

    model, context, threads, key, *lora = sys.argv[1:]
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    if lora:
        parameters.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(lora[0], 1.0)]
    parameters.n_ctx = int(context)
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = int(threads)
    parameters.n_gpu_layers = 0
    parameters.fit_params = parameters.warmup = False
    parameters.api_keys = [key]
    # llama.cpp writes its log to both streams: the address gets a descriptor of its own.
    own = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = xllamacpp.Server(parameters)
    own.write(json.dumps({"address": server.listening_address}) + "\n")
    own.flush()
    sys.stdin.read()
    os._exit(0)  # not `sys.exit`: freeing the model takes seconds, and nobody waits for it


if __name__ == "__main__":
    main()
