"""The comparisons: who takes part, what is equal, and what the table says."""
