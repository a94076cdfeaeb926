"""The region labellers, one a file: `make(config)` gives the one that a configuration names by its file."""
