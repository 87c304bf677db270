"""Sub-room `adapters`: many LoRA adapters over one frozen base: their weights, products, optimiser, memory and files."""
