"""Tiny models of each family, loaded once a session, and photographs for them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from inference.load_model import LoadedModel, load_model
from tests.conftest import photograph
from training.sft.tiny import save_tiny

FAMILIES = ("qwen2.5-vl", "qwen3-vl", "internvl")


_HOME = TemporaryDirectory(prefix="tiny-")
"""Gone with the process."""


@cache
def folder_of(family: str) -> Path:
    folder = Path(_HOME.name) / family
    save_tiny(family, folder)
    return folder


@cache
def tiny(family: str) -> LoadedModel:
    return load_model(folder_of(family))


def pictures(count: int) -> list[NDArray[np.uint8]]:
    """Small photographs, each of another shape."""
    names = ("coffee", "chelsea", "astronaut")
    return [np.ascontiguousarray(photograph(names[k % 3], 60 + 14 * k)) for k in range(count)]
