"""Inference: from a model's answer to points and masks, and the benchmarks of it."""
