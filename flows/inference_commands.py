"""The commands of inference: none yet."""

from __future__ import annotations

from typing import Any


def add_inference_commands(commands: Any) -> None:
    """Add them to the parsers of the command line."""
