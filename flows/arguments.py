"""What several commands take: whole numbers above 0, strategies and precisions by name."""

from __future__ import annotations

import argparse

STRATEGIES = ("paper", "grid", "proposal")
DTYPES = ("auto", "float32", "bfloat16", "float16")


def positive(text: str) -> int:
    """A whole number above 0. Raises ArgumentTypeError."""
    value = int(text) if text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value
