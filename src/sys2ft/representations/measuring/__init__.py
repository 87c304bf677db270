"""The measurements of a study: contexts, attention heads, interventions, and edges learnt in weights."""
