"""Recipes: a dataset given away without its pictures, and made again from the source photographs."""

from __future__ import annotations

from flows.dataset.recipes.pack import pack
from flows.dataset.recipes.rebuild import Rebuilt, rebuild

__all__ = ["Rebuilt", "pack", "rebuild"]
