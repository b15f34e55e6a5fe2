"""Benchmarks: this package and the usual way, side by side in one run. `make bench` runs all of them."""
