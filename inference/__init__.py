"""Inference: from a model's answer to points and masks, and the benchmarks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.points import text_to_point
    from inference.spider import Spider

__all__ = ["Spider", "text_to_point"]


def __getattr__(name: str) -> Any:
    """`Spider` and `text_to_point` are loaded when they are first named."""
    if name == "Spider":
        from inference.spider import Spider

        return Spider
    if name == "text_to_point":
        from inference.points import text_to_point

        return text_to_point
    raise AttributeError(f"module 'inference' has no attribute {name!r}")
