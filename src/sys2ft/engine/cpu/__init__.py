"""Sub-room `cpu`: what only makes a CPU faster; the engine computes the same without it."""
