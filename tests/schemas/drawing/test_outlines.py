"""How deep pixels lie inside a mask, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from schemas.drawing.outlines import depth, spot
from schemas.masks import BoolMask


@given(arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_depth_is_the_distance_to_the_nearest_pixel_outside(mask: BoolMask) -> None:
    padded = np.pad(mask, 1)
    outside = np.argwhere(~padded)
    found = depth(mask)
    for row, column in np.ndindex(mask.shape):
        wanted = np.sqrt(((outside - [row + 1, column + 1]) ** 2).sum(axis=1).min())
        assert found[row, column] == pytest.approx(wanted, abs=1e-4)
    if not mask.any():
        with pytest.raises(ValueError, match="no inside"):
            spot(mask)
        return
    x, y = spot(mask)
    assert found[int(y), int(x)] == found.max()


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_spot_of_a_whole_picture_is_in_its_middle(height: int, width: int) -> None:
    x, y = spot(np.ones((height, width), bool))
    short = min(height, width)
    assert abs((y if height == short else x) - short / 2) <= 0.5
    assert 0 < x < width
    assert 0 < y < height
