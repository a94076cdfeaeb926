"""One picture while its samples are planned: masks, disjointness, patches and measured strengths, cached."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np

from distortions import BoolMask, Image, Op, inject, order_effect_of, strength
from distortions.perceptual import analysis_size
from distortions.plans.paste import paste, tight_box
from schemas.config import DistortConfig
from schemas.errors import SampleError
from schemas.hashing import derived_seed
from schemas.masks import decode
from schemas.records import Region, SourceImage

Ops = tuple[Op, ...]

_PATCH_BYTES = 96_000_000


class Canvas:
    """A picture, its regions, and everything measured on them so far.

    A region's operations always get the same seed (from the build's seed, the picture and the region), so
    that a patch injected for one sample can be reused for the next: the cache affects only the time taken.
    """

    def __init__(
        self, image: Image, regions: Sequence[Region], source: SourceImage, config: DistortConfig, seed: int
    ) -> None:
        """`image` is (H, W, 3) uint8 RGB. Raises SampleError for a mask that doesn't fit the picture."""
        self.image = image
        self.regions = list(regions)
        self.source = source
        self.config = config
        self.seed = seed
        self.masks = [_decode_mask(region, image.shape[:2]) for region in regions]
        self._reaches = [_dilate(mask, config.feather) for mask in self.masks]
        self.boxes = [tight_box(mask, config.feather) for mask in self.masks]
        pixels = image.shape[0] * image.shape[1]
        self.shares = [int(np.count_nonzero(mask)) / pixels for mask in self.masks]
        self.large = [i for i, share in enumerate(self.shares) if share >= config.min_region_area]
        self._small = self._shrink(image)
        self._small_masks = [self._shrink_mask(mask) for mask in self.masks]
        self._disjoint: dict[tuple[int, int], bool] = {}
        self._patches: OrderedDict[tuple[int, Ops], Image] = OrderedDict()
        self._patch_bytes = 0
        self._alone: dict[tuple[int, Ops], float] = {}
        self._effects: dict[tuple[int, Ops, Ops], float] = {}

    def region_seed(self, index: int) -> int:
        """The seed of everything injected into this region, 63 bits."""
        return (
            derived_seed(self.seed, "distort", self.source.id, "region", self.regions[index].region_id) >> 1
        )

    def whole_seed(self) -> int:
        """The seed of everything applied to the whole picture, 63 bits."""
        return derived_seed(self.seed, "distort", self.source.id, "whole") >> 1

    def disjoint(self, one: int, other: int) -> bool:
        """Whether the two regions, each grown by the feather, share no pixel."""
        key = (one, other) if one < other else (other, one)
        if key not in self._disjoint:
            self._disjoint[key] = not self._overlap(one, other)
        return self._disjoint[key]

    def disjoint_from(self, index: int, others: Iterable[int]) -> bool:
        """Whether region `index` shares no pixel with any of the others."""
        return all(self.disjoint(index, other) for other in others)

    def strength_alone(self, index: int, ops: Ops) -> float:
        """Strength inside the region when only it is distorted, accurate enough for planning.

        Measured on pictures already at analysis size, the clean one resized once; the mask has hard edges.
        """
        key = (index, ops)
        if key not in self._alone:
            small = self._shrink(self.compose({index: ops}))
            self._alone[key] = strength(self._small, small, self._small_masks[index])
        return self._alone[key]

    def each_visible(self, index: int, ops: Ops) -> bool:
        """Whether each operation of a mix is visible in the region on its own; True for a single one."""
        least = self.config.min_strength
        return len(ops) == 1 or all(self.strength_alone(index, (op,)) >= least for op in ops)

    def order_effect(self, index: int, one: Ops, other: Ops) -> float:
        """Perceptual distance between two orders of the same operations inside the region."""
        key = (index, one, other) if str(one) < str(other) else (index, other, one)
        if key not in self._effects:
            ab, ba = self.compose({index: one}), self.compose({index: other})
            self._effects[key] = order_effect_of(self.image, ab, ba, self.masks[index])
        return self._effects[key]

    def compose(self, layers: Mapping[int, Ops]) -> Image:
        """The picture with every region's operations, each injected into the source picture."""
        picture = self.image.copy()
        for index, ops in layers.items():
            patch = self._patch(index, ops)
            paste(picture, self.image, patch, self.masks[index], self.boxes[index], self.config.feather)
        return picture

    def whole(self, op: Op) -> tuple[Image, float]:
        """The picture with one operation through the full mask, and the strength over the whole picture."""
        everywhere: BoolMask = np.ones(self.image.shape[:2], dtype=bool)
        picture = inject(self.image, everywhere, [op], seed=self.whole_seed())
        return picture, strength(self.image, picture)

    def measure(self, picture: Image, index: int) -> float:
        """Strength inside region `index` of a finished picture, rounded as in the records."""
        return round(strength(self.image, picture, self.masks[index]), 3)

    def changed(self, picture: Image, index: int) -> bool:
        """Whether any pixel of the region differs from the source picture."""
        box = self.boxes[index]
        return bool((picture[box] != self.image[box])[self.masks[index][box]].any())

    def _patch(self, index: int, ops: Ops) -> Image:
        key = (index, ops)
        if key in self._patches:
            self._patches.move_to_end(key)
            return self._patches[key]
        mask, feather = self.masks[index], self.config.feather
        whole = inject(self.image, mask, list(ops), seed=self.region_seed(index), feather=feather)
        patch = whole[self.boxes[index]].copy()
        self._patches[key] = patch
        self._patch_bytes += patch.nbytes
        while self._patch_bytes > _PATCH_BYTES and len(self._patches) > 1:
            self._patch_bytes -= self._patches.popitem(last=False)[1].nbytes
        return patch

    def _shrink(self, picture: Image) -> Image:
        height, width = analysis_size(*picture.shape[:2])
        return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def _shrink_mask(self, mask: BoolMask) -> BoolMask:
        height, width = analysis_size(*mask.shape)
        share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(share >= min(0.5, float(np.max(share))), dtype=bool)

    def _overlap(self, one: int, other: int) -> bool:
        (rows_a, columns_a), (rows_b, columns_b) = self.boxes[one], self.boxes[other]
        rows = slice(max(rows_a.start, rows_b.start), min(rows_a.stop, rows_b.stop))
        columns = slice(max(columns_a.start, columns_b.start), min(columns_a.stop, columns_b.stop))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return False
        return bool((self._reaches[one][rows, columns] & self._reaches[other][rows, columns]).any())


def _dilate(mask: BoolMask, by: int) -> BoolMask:
    if by == 0:
        return mask
    square = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), square), dtype=bool)


def _decode_mask(region: Region, size: tuple[int, ...]) -> BoolMask:
    if tuple(region.mask.size) != tuple(size):
        detail = (
            f"region {region.region_id}: mask of {region.mask.size}, picture of {list(size)} (height, width)"
        )
        raise SampleError("mask-size-mismatch", detail)
    try:
        mask: BoolMask = np.ascontiguousarray(decode(region.mask))
    except ValueError as error:
        raise SampleError("broken-mask", f"region {region.region_id}: {error}") from error
    if not mask.any():
        raise SampleError("empty-mask", f"region {region.region_id}")
    return mask
