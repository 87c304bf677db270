"""Checks that hold a replay element against its news item: one file each, which gives scores and says what fails."""
