"""A process that serves a GGUF file by llama.cpp (xllamacpp): `python llama_server.py FILE KEY`, until its input ends.

It prints its address.
"""

from __future__ import annotations

import sys

import xllamacpp

how = xllamacpp.CommonParams()
how.model.path, how.api_keys = sys.argv[1], [sys.argv[2]]
how.hostnames, how.port = ["127.0.0.1"], 0
how.n_parallel, how.n_ctx, how.warmup = 4, 4 * 1024, False
how.cpuparams.n_threads = how.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(how)
print(server.listening_address, flush=True)
sys.stdin.read()
