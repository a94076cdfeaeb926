"""Segmenters: what turns points into masks."""
