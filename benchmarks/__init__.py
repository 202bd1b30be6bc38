"""Benchmarks: what cymlp costs beside its peers. Nothing here is installed."""
