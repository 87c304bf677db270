"""Sub-package `adapters`: many LoRA adapters over one frozen base, from their weights to files on disk.

It takes a model and batches whose parts name a slot, and gives the low-rank terms of a pass, the gradient of each
slot's weights, their AdamW updates, and adapters in PEFT's format. Read `bank.py` first; `low_rank.py` has the
products.
"""
