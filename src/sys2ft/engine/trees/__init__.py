"""Sub-room `trees`: token trees: every shared prefix computed once, for training loss and log-likelihood."""
