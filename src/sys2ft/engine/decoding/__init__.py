"""Sub-package `decoding`: batched sampling with shared prefixes.

It takes requests (a prompt, a seed, a group, a slot) and gives their continuations. Read `decode.py` first, then
`decoder.py`, which it loops over: `prefill.py` reads prompts, `prefix_attention.py` is one step of all rows, and
`sampling.py` chooses tokens.
"""
