"""Fixtures of the region tests."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image

NAMES = ("astronaut", "chelsea", "coffee", "rocket", "stereo_motorcycle", "china", "flower")


@cache
def load(name: str) -> NDArray[np.uint8]:
    """One real photograph, (H, W, 3) uint8 RGB, read-only."""
    if name in ("china", "flower"):
        picture = load_sample_image(f"{name}.jpg")
    elif name == "stereo_motorcycle":
        picture = skimage.data.stereo_motorcycle()[0]  # type: ignore[no-untyped-call]
    else:
        picture = getattr(skimage.data, name)()
    picture = np.array(picture, dtype=np.uint8)
    picture.flags.writeable = False
    return picture


@pytest.fixture(params=NAMES)
def photograph(request: pytest.FixtureRequest) -> NDArray[np.uint8]:
    """Each of seven real photographs in turn."""
    return load(request.param)


@pytest.fixture
def astronaut() -> NDArray[np.uint8]:
    """One real photograph, 512 x 512."""
    return load("astronaut")
