"""One side of a comparison each, run by `benchmarks.worker` in a separate process."""
