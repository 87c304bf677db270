"""From measurements to results.json: curves, transitions, power laws, and claims with verdicts."""
