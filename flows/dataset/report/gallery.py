"""The gallery: which rows to show, their pictures made small, and the outlines of their regions."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas import masks
from schemas.drawing.outlines import outline, spot
from schemas.masks import BoolMask
from schemas.records import TASKS, Region, Row

RgbImage = NDArray[np.uint8]

THUMB_WIDTH = 480
THUMB_HEIGHT = 520
DETAIL_SIDE = 160
PICTURE_BYTES = 60_000
"""A picture of the gallery is encoded with the first of `_QUALITIES` that stays below this many bytes."""
_QUALITIES = (82, 70, 55, 40, 25, 10)
_CANDIDATES = 64
MAX_SHOWN_REGIONS = 12
PATH_LETTERS = 8_000


class RowMeta(NamedTuple):
    """What the choice of the gallery looks at: `categories` are the classes the row asks about."""

    id: str
    task: str
    photograph: str
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShownRegion:
    """One outlined region: an SVG path in thumbnail pixels, and where its number goes (x, y)."""

    region: Region
    target: bool
    path: str
    at: tuple[float, float]


@dataclass(frozen=True)
class GalleryItem:
    """One row of the gallery.

    `picture` is a WebP of (width, height) pixels; `detail` a WebP cut at full size, `DETAIL_SIDE` pixels a
    side at most, from the inside of the first target region (or None: no target, or the picture is hardly
    larger). `regions` are the outlined ones, targets first; `hidden` counts the distorted ones left out.
    """

    row: Row
    picture: bytes
    width: int
    height: int
    detail: bytes | None
    regions: tuple[ShownRegion, ...]
    hidden: int


def row_meta(row: Row) -> RowMeta:
    """The part of a row that `choose_gallery` needs."""
    targets = set(row.target_region_ids)
    asked = [r for r in row.regions if r.region_id in targets or row.whole_image]
    categories = tuple(sorted({d.category for region in asked for d in region.distortions}))
    return RowMeta(row.id, row.task, row.source_image.id if row.source_image else row.id, categories)


def choose_gallery(rows: Iterable[RowMeta], per_task: int = 6) -> set[str]:
    """Ids of at most `per_task` rows a task, the same for every order of `rows`.

    The 64 rows of a task with the smallest hashes of their ids are candidates; among them each next one is
    the one whose distortion classes, then photograph, were shown least so far. Memory: 64 rows a task.
    """
    smallest: dict[str, list[tuple[int, RowMeta]]] = {}
    for meta in rows:
        rank = -int.from_bytes(hashlib.blake2b(meta.id.encode(), digest_size=8).digest(), "big")
        heap = smallest.setdefault(meta.task, [])
        if len(heap) < _CANDIDATES:
            heapq.heappush(heap, (rank, meta))
        elif rank > heap[0][0]:
            heapq.heapreplace(heap, (rank, meta))
    order: dict[str, int] = {task: place for place, task in enumerate(TASKS)}
    photographs: Counter[str] = Counter()
    chosen: set[str] = set()
    for task in sorted(smallest, key=lambda name: (order.get(name, len(order)), name)):
        classes: Counter[str] = Counter()
        left = [meta for _, meta in sorted(smallest[task], reverse=True)]
        for _ in range(min(per_task, len(left))):
            best = min(
                range(len(left)),
                key=lambda k: (
                    _novelty(left[k].categories, classes),
                    photographs[left[k].photograph],
                    k,
                ),
            )
            meta = left.pop(best)
            chosen.add(meta.id)
            photographs[meta.photograph] += 1
            classes.update(meta.categories or ("none",))
    return chosen


def _novelty(categories: Sequence[str], shown: Counter[str]) -> int:
    """How often the least shown of a row's classes was shown."""
    return min(shown[category] for category in categories or ("none",))


def gallery_item(row: Row, encoded: bytes) -> GalleryItem:
    """Prepare one row for the page from the encoded bytes (PNG, JPEG, WebP) of its first picture.

    Raises ValueError when the bytes aren't a picture or a region's mask has another size than the picture.
    """
    bgr = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(f"the picture of row {row.id} can't be decoded")
    height, width = bgr.shape[:2]
    for region in row.regions:
        if region.mask.size != [height, width]:
            raise ValueError(
                f"row {row.id}: region {region.region_id} has a mask of {region.mask.size}, "
                f"the picture is {[height, width]}"
            )
    scale = min(1.0, THUMB_WIDTH / width, THUMB_HEIGHT / height)
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    thumb = cv2.resize(bgr, small, interpolation=cv2.INTER_AREA) if scale < 1 else bgr
    shown, hidden = _regions_to_show(row)
    targets = set(row.target_region_ids)
    regions = []
    for region in shown:
        mask = masks.decode(region.mask)
        path = _path(mask, small[0] / width)
        x, y = spot(mask)
        at = (x * small[0] / width, y * small[1] / height)
        regions.append(ShownRegion(region, region.region_id in targets, path, at))
    return GalleryItem(
        row=row,
        picture=_webp(np.asarray(thumb, np.uint8)),
        width=small[0],
        height=small[1],
        detail=_detail(np.asarray(bgr, np.uint8), regions) if scale < 0.9 else None,
        regions=tuple(regions),
        hidden=hidden,
    )


def _path(mask: BoolMask, scale: float) -> str:
    """The outline as SVG path data, coarser for a ragged mask so that it stays below `PATH_LETTERS`."""
    path = ""
    for tolerance in (0.6, 1.2, 2.4, 4.8, 9.6):
        rings = outline(mask, scale, tolerance)
        path = " ".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in ring) + "Z" for ring in rings)
        if len(path) <= PATH_LETTERS:
            return path
    return path[: path.rfind("Z", 0, PATH_LETTERS) + 1]


def _regions_to_show(row: Row) -> tuple[list[Region], int]:
    """Target regions, then distorted ones by strength; what doesn't fit is counted."""
    targets = set(row.target_region_ids)
    asked = [region for region in row.regions if region.region_id in targets]
    others = [r for r in row.regions if r.distortions and r.region_id not in targets]
    others.sort(key=lambda region: (-(region.strength or 0.0), region.region_id))
    together = asked + others
    return together[:MAX_SHOWN_REGIONS], max(0, len(together) - MAX_SHOWN_REGIONS)


def _detail(bgr: NDArray[np.uint8], regions: Sequence[ShownRegion]) -> bytes | None:
    """A square cut at full size around the innermost point of the first target."""
    target = next((shown for shown in regions if shown.target), None)
    if target is None:
        return None
    height, width = bgr.shape[:2]
    side = min(DETAIL_SIDE, height, width)
    x, y = spot(masks.decode(target.region.mask))
    left = min(max(0, round(x - side / 2)), width - side)
    top = min(max(0, round(y - side / 2)), height - side)
    return _webp(np.ascontiguousarray(bgr[top : top + side, left : left + side]), _QUALITIES[0] + 10)


def _webp(bgr: RgbImage, quality: int | None = None) -> bytes:
    """WebP bytes of an (H, W, 3) uint8 BGR picture, at most about `PICTURE_BYTES`."""
    encoded = b""
    for step in _QUALITIES if quality is None else (quality,):
        done, buffer = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, step])
        if not done:
            raise ValueError(f"a picture of {bgr.shape} can't be encoded as WebP")
        encoded = buffer.tobytes()
        if len(encoded) <= PICTURE_BYTES:
            break
    return encoded
