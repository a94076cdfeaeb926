"""Measuring a model: opening it, asking benchmarks' questions, judging, comparing."""
