"""Weather in front of the camera: fog, snow, frost on the glass, drops of water and mud.

After ImageNet-C (Hendrycks and Dietterich, 2019). All lengths are in pixels of the picture at hand. What
falls where depends on the seed and the position in the picture: a crop gets what the whole picture gets.
"""

from __future__ import annotations

import math
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from distortions import blur, random_fields, warp
from distortions.frame import Frame, Image
from schemas.hashing import rng

_FOG_CELLS = 256
_FOG_HEIGHT = 100.0
_FROST_FILES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg", "frost6.jpg")
# Flakes are drawn on a lattice of a third of their size.
_FLAKE_PARTS = 3
_FLAKE_LIGHT, _FLAKE_LIFT = 1.5, 0.5
_WATER, _MUD = (175 / 255, 238 / 255, 238 / 255), (63 / 255, 42 / 255, 20 / 255)
# A drop reaches full brightness this many `smooth` from its rim.
_DROP_DEPTH = 2.2
_DROP_LIGHT = np.array([[-2, -1, 0], [-1, 0, 1], [0, 1, 2]], np.float32) / 12


def fog(pixels: Image, frame: Frame, density: float, decay: float) -> Image:
    """A white veil, `density` thick where it is thickest, over the picture: (v + density f) / (1 + density).

    f, 0 to 1, is a diamond-square fractal over the picture whose detail fades by `decay` squared per octave.
    """
    cell = -(-max(frame.height, frame.width) // _FOG_CELLS)
    veil = plasma(frame.seed, decay)
    top, left = frame.top // cell, frame.left // cell
    bottom, right = (frame.bottom - 1) // cell + 1, (frame.right - 1) // cell + 1
    rows = np.clip(np.arange(top - 1, bottom + 1), 0, _FOG_CELLS - 1)
    columns = np.clip(np.arange(left - 1, right + 1), 0, _FOG_CELLS - 1)
    part = veil[rows[:, None], columns[None, :]]
    thick = random_fields.enlarge(part, cell, frame, (top - 1) * cell, (left - 1) * cell)
    layer = cv2.cvtColor(thick, cv2.COLOR_GRAY2RGB)
    share = density / (1 + density)
    foggy = cv2.addWeighted(pixels.astype(np.float32), 1 - share, layer, 255 * share, 0, dtype=cv2.CV_8U)
    return np.asarray(foggy, dtype=np.uint8)


@lru_cache(maxsize=4)
def plasma(seed: int, decay: float) -> NDArray[np.float32]:
    """A wrapped height map by the diamond-square algorithm (Fournier, Fussell and Carpenter, 1982), 0 to 1.

    (256, 256) float32, read-only. Octave k is displaced by up to `10000 / decay^(2k)` before it is scaled.
    """
    random = rng(seed, "plasma")
    heights = np.zeros((_FOG_CELLS, _FOG_CELLS))
    step, height = _FOG_CELLS, _FOG_HEIGHT**2
    while step > 1:
        half = step // 2
        corners = heights[::step, ::step]
        across = corners + np.roll(corners, -1, axis=1)
        centers = (across + np.roll(across, -1, axis=0)) / 4 + random.uniform(-height, height, corners.shape)
        heights[half::step, half::step] = centers
        along = corners + np.roll(corners, -1, axis=1) + centers + np.roll(centers, 1, axis=0)
        heights[::step, half::step] = along / 4 + random.uniform(-height, height, corners.shape)
        down = corners + np.roll(corners, -1, axis=0) + centers + np.roll(centers, 1, axis=1)
        heights[half::step, ::step] = down / 4 + random.uniform(-height, height, corners.shape)
        step, height = half, height / decay**2
    heights -= heights.min()
    scaled = np.asarray(heights / heights.max(), np.float32)
    scaled.setflags(write=False)
    return scaled


def frost(pixels: Image, frame: Frame, picture: float, ice: float, scale: float) -> Image:
    """`picture` times the picture plus `ice` times a photograph of frost, enlarged `scale` times.

    One of the six photographs that the package imagecorruptions ships, at a random position: within its edges
    if the picture fits, else mirrored beyond them.
    """
    random = rng(frame.seed, "frost")
    texture = _frost_texture(int(random.integers(len(_FROST_FILES))))
    sides = np.array(texture.shape[:2])
    room = sides - np.array([frame.height, frame.width]) / scale
    start = random.uniform(0, 1, 2) * np.where(room > 0, room, sides)
    rows = _mirror((np.arange(frame.top, frame.bottom) + 0.5) / scale - 0.5 + start[0], texture.shape[0])
    columns = _mirror((np.arange(frame.left, frame.right) + 0.5) / scale - 0.5 + start[1], texture.shape[1])
    shape = (len(rows), len(columns))
    grid = [np.ascontiguousarray(np.broadcast_to(a, shape)) for a in (rows[:, None], columns[None, :])]
    layer = warp.remap(texture, grid[0], grid[1])
    return np.asarray(cv2.addWeighted(pixels, picture, layer, ice, 0), dtype=np.uint8)


def snow(
    pixels: Image,
    frame: Frame,
    mean: float,
    deviation: float,
    size: float,
    threshold: float,
    length: float,
    fade: float,
    kept: float,
) -> Image:
    """Flakes of `size` pixels streaked by the wind, over a picture paled by the snow in the air.

    Flakes are normal noise (`mean`, `deviation`) above `threshold`, blurred along a random direction over
    2 `length` pixels with weights that fade as a Gaussian of `fade` pixels; two such layers lie on the
    picture. `kept` is the picture's share relative to a brightened gray version.
    """
    step = max(1, int(size / _FLAKE_PARTS))
    cell = max(1, round(size / step))
    dy, dx, weights = _snow_taps(frame.seed, step, length, fade)
    reach = int(max(np.abs(dy).max(), np.abs(dx).max())) + 1
    apron = -(-reach // cell) + 2
    layers = []
    for name in ("flakes-0", "flakes-1"):
        drawn = random_fields.normal_cells(frame, name, 1, cell * step, apron)[:, :, 0] * deviation + mean
        rows, columns = drawn.shape
        fine = cv2.resize(drawn, (columns * cell, rows * cell), interpolation=cv2.INTER_LINEAR)
        layers.append(np.where(fine < threshold, 0, np.clip(fine, 0, 1)).astype(np.float32))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    np.add.at(kernel, (reach + dy, reach + dx), weights)
    flakes = layers[0] + layers[1]
    blown = np.asarray(cv2.filter2D(flakes, cv2.CV_32F, kernel, borderType=cv2.BORDER_REPLICATE), np.float32)
    top = (frame.top // (cell * step) - apron) * cell * step
    left = (frame.left // (cell * step) - apron) * cell * step
    white = random_fields.enlarge(blown, step, frame, top, left) * 255
    gray = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)
    pale = cv2.cvtColor(gray * _FLAKE_LIGHT + 255 * _FLAKE_LIFT, cv2.COLOR_GRAY2RGB)
    picture = pixels.astype(np.float32)
    paled = cv2.addWeighted(picture, kept, cv2.max(picture, pale), 1 - kept, 0)
    return np.asarray(cv2.add(paled, cv2.cvtColor(white, cv2.COLOR_GRAY2RGB), dtype=cv2.CV_8U), np.uint8)


def water(pixels: Image, frame: Frame, smooth: float, level: float, strength: float) -> Image:
    """Drops of pale turquoise water where a field smoothed by `smooth` pixels lies above `level` deviations.

    A drop brightens the picture by `strength` times its depth, with a lit and a shaded rim.
    """
    depth_range = max(1.0, _DROP_DEPTH * smooth)
    pad = math.ceil(depth_range) + 2
    grown = frame.grow(pad)
    inside = (random_fields.smooth(grown, "drops", 1, smooth)[:, :, 0] > level).astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    depth = np.minimum(distance / np.float32(depth_range), 1)
    light = cv2.filter2D(depth, cv2.CV_32F, _DROP_LIGHT * smooth, borderType=cv2.BORDER_REPLICATE)
    drops = np.clip(cv2.blur(depth + light, (3, 3)), 0, 1) * inside
    height, width = pixels.shape[:2]
    y, x = frame.top - grown.top, frame.left - grown.left
    lit = np.ascontiguousarray(drops[y : y + height, x : x + width])
    layer = cv2.cvtColor(lit, cv2.COLOR_GRAY2RGB) * (np.array(_WATER, np.float32) * (255 * strength))
    return np.asarray(cv2.add(pixels.astype(np.float32), layer, dtype=cv2.CV_8U), dtype=np.uint8)


def mud(pixels: Image, frame: Frame, smooth: float, level: float, edge: float) -> Image:
    """Opaque brown mud where a field smoothed by `smooth` pixels lies above `level` deviations.

    Splashes are blurred by `edge` pixels and cut off below four fifths.
    """
    pad = blur.smooth_reach(edge) + 1
    grown = frame.grow(pad)
    covered = (random_fields.smooth(grown, "drops", 1, smooth)[:, :, 0] > level).astype(np.float32)
    size = 2 * blur.smooth_reach(edge) + 1
    soft = cv2.GaussianBlur(covered, (size, size), edge, borderType=cv2.BORDER_REPLICATE)
    soft = np.where(soft < 0.8, 0, soft).astype(np.float32)
    height, width = pixels.shape[:2]
    y, x = frame.top - grown.top, frame.left - grown.left
    share = cv2.cvtColor(np.ascontiguousarray(soft[y : y + height, x : x + width]), cv2.COLOR_GRAY2RGB)
    layer = share * (np.array(_MUD, np.float32) * 255)
    kept = cv2.multiply(pixels, 1 - share, dtype=cv2.CV_32F)
    return np.asarray(cv2.add(kept, layer, dtype=cv2.CV_8U), dtype=np.uint8)


def _snow_taps(
    seed: int, step: int, length: float, fade: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    angle = float(rng(seed, "wind").uniform(-135, -45))
    return blur.motion_taps(max(1, round(2 * length / step)) + 1, fade / step, angle, 0.0)


@lru_cache(maxsize=len(_FROST_FILES))
def _frost_texture(index: int) -> Image:
    """A photograph of frost, RGB. Found without importing its package, because that needs pkg_resources."""
    spec = find_spec("imagecorruptions")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("frost needs the photographs of the package imagecorruptions; install it")
    path = Path(spec.origin).parent / "frost" / _FROST_FILES[index]
    texture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if texture is None:
        raise ValueError(f"{path} isn't a picture that OpenCV can read; reinstall imagecorruptions")
    return np.asarray(cv2.cvtColor(texture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _mirror(positions: NDArray[np.float64], length: int) -> NDArray[np.float32]:
    """Positions mirrored at the edges of `length` pixels until they lie within."""
    turned = np.mod(positions + 0.5, 2 * length)
    return np.asarray(np.minimum(turned, 2 * length - turned) - 0.5, np.float32)
