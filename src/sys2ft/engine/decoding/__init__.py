"""Sub-package `decoding`: batched sampling with shared prefixes.

It takes requests (a prompt, a seed, a group, a slot) and gives their continuations. Read `decode.py` first: the loop
over `prefill.py` (reading prompts), `prefix_attention.py` (one step of all rows) and `sampling.py` (choosing tokens).
"""
