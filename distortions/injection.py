"""Applying distortions: to a whole picture, or in order through a mask so that nothing outside changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from distortions.frame import BoolMask, Frame, Image
from distortions.registry import Entry, Parameters, resolve
from schemas.hashing import derived_seed
from schemas.masks import bounding_box


@dataclass(frozen=True)
class Op:
    """One operation to inject: a catalog name or a peer's alias, and a level from 1 to 5."""

    name: str
    level: int


def apply(image: NDArray[np.uint8], name: str, level: int, seed: int = 0) -> Image:
    """Distort a whole picture.

    `image` is (H, W, 3) uint8 RGB, at least 1x1, and isn't changed; the result is a new array with its
    shape and type. The same arguments give the same pixels on any number of threads. Raises
    UnknownDistortion (a ValueError) for an unknown name, ValueError for a wrong picture or level.
    """
    pixels = _check_image(image)
    frame, entry = Frame.whole(pixels, seed), resolve(name, level)
    parameters = entry.parameters(level, frame.short_side)
    return entry.function.run(pixels, replace(frame, seed=_own_seed(seed, entry, 0)), **parameters)


def inject(
    image: NDArray[np.uint8], mask: BoolMask, ops: Sequence[Op], seed: int = 0, feather: int = 0
) -> Image:
    """Apply `ops` one after another inside `mask`.

    `image` (H, W, 3) uint8 RGB and `mask` (H, W) bool aren't changed; the result is a new array, identical to
    `image` outside the mask when `feather` is 0. The chain of operations runs on the mask's bounding box,
    padded by the sum of their reaches and aligned to their grids; inside the mask, local operations give
    what they would give on the whole picture; operations with statistics compute them over the mask's pixels
    (JPEG 2000: over the padded box). Spatial parameters and noise follow the whole picture. `feather` > 0
    blends over about that many pixels on both sides of the edge. An empty mask or no operations: a copy.
    Raises ValueError for shapes and types that don't fit, and UnknownDistortion.
    """
    pixels = _check_image(image)
    if mask.dtype != np.bool_ or mask.shape != pixels.shape[:2]:
        raise ValueError(f"mask must be boolean and {pixels.shape[:2]}; got {mask.dtype} {mask.shape}")
    if feather < 0:
        raise ValueError(f"feather must not be negative; got {feather}")
    height, width = mask.shape
    entries = [(resolve(op.name, op.level), op.level) for op in ops]
    chain = [(entry, entry.parameters(level, min(height, width))) for entry, level in entries]
    x, y, w, h = bounding_box(mask)
    if w == 0 or not chain:
        return image.copy()
    box = Frame(y, x, y + h, x + w, height, width, seed).grow(feather)
    frame = _pad(box, chain)
    part = slice(frame.top, frame.bottom), slice(frame.left, frame.right)
    crop, inside = np.ascontiguousarray(pixels[part]), mask[part]
    changed = crop
    earlier: dict[str, int] = {}
    for entry, parameters in chain:
        repeat = earlier.get(entry.operation, 0)
        own = replace(frame, seed=_own_seed(seed, entry, repeat), mask=inside)
        changed = entry.function.run(changed, own, **parameters)
        earlier[entry.operation] = repeat + 1
    out = image.copy()
    if feather:
        out[part] = _blend(crop, changed, inside, feather)
    else:
        cv2.copyTo(changed, inside.view(np.uint8), out[part])
    return out


def _own_seed(seed: int, entry: Entry, repeat: int) -> int:
    """An operation's own seed, from its name and how often it ran earlier in the chain, not its position.

    So a-then-b and b-then-a draw the same noise, and differ only by the order.
    """
    return derived_seed(seed, entry.operation, str(repeat))


def _pad(box: Frame, chain: Sequence[tuple[Entry, Parameters]]) -> Frame:
    """The box grown by the context the chain needs, last operation first, and aligned to grids."""
    frame = box
    for entry, parameters in reversed(chain):
        frame = frame.grow(int(entry.function.padding(frame, **parameters)))
    grid = max(entry.function.grid for entry, _ in chain)
    if grid == 1:
        return frame
    return replace(
        frame,
        top=frame.top // grid * grid,
        left=frame.left // grid * grid,
        bottom=min(frame.height, -(-frame.bottom // grid) * grid),
        right=min(frame.width, -(-frame.right // grid) * grid),
    )


def _blend(before: Image, after: Image, inside: BoolMask, feather: int) -> Image:
    """A soft composite: the mask smoothed by a box of 2 feather + 1 pixels is the share of `after`."""
    size = 2 * feather + 1
    share = cv2.blur(inside.astype(np.float32), (size, size), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.blendLinear(after, before, share, 1 - share), dtype=np.uint8)


def _check_image(image: NDArray[np.uint8]) -> Image:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"a picture is (H, W, 3) uint8 with H, W >= 1; got {image.dtype} {image.shape}")
    return np.ascontiguousarray(image)
