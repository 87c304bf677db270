"""Graphs given by name, words that are one token each, and the contexts built from both."""
