"""Inference: from a model's answer to points and masks, and the benchmarks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.points import text_to_point

__all__ = ["text_to_point"]


def __getattr__(name: str) -> Any:
    """`text_to_point` is loaded when it is first named."""
    if name == "text_to_point":
        from inference.points import text_to_point

        return text_to_point
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
