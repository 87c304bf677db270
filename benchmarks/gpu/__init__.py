"""The engine on one GPU in one command: parity with transformers and peft, then speed and memory, within a time budget.

`benchmarks/gpu.sh` runs it on a machine without a network; `python -m benchmarks.gpu` is the same without wheels.
Models have random weights in the shapes of real ones and a tokenizer that is trained on the spot, so nothing is
downloaded. `parts.py` lists what is measured, in order of value; `budget.py` skips by name what does not fit.
"""
