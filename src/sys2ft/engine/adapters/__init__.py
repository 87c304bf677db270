"""Sub-room `adapters`: LoRA adapters over one frozen base: weights, products, optimiser, memory, files."""
