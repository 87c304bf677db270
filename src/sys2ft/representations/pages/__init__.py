"""The page, the figures and the terminal tables of a study."""
