"""Sub-package `trees`: token trees, in which every shared prefix is computed once, for training loss and scoring.

It takes examples (token ids, a mask of the supervised ones, a slot) and gives each slot's loss with its gradient, or
each example's log-likelihood. Read `tree.py` first, then `loss.py`; `path_attention.py` is the attention of such a
batch.
"""
