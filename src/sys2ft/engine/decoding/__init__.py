"""Sub-room `decoding`: batched sampling: a queue of requests over shared prefixes."""
