"""Recipes: a dataset given away without its pictures, and made again from the source photographs."""

from __future__ import annotations

from flows.recipes.pack import pack
from flows.recipes.rebuild import Rebuilt, rebuild

__all__ = ["Rebuilt", "pack", "rebuild"]
