"""Benchmarks: ours beside the usual way, in one run. `make bench` runs all of them."""
