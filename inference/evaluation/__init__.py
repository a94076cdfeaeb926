"""Evaluation: benchmarks, metrics, judge, comparison."""
