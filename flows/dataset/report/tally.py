"""Running counts over a stream of rows, in memory that grows only with different pictures and texts."""

from __future__ import annotations

import hashlib
from collections import Counter

import cv2
import numpy as np
from numpy.typing import NDArray

from flows.dataset.report.statistics import Histogram
from schemas import masks
from schemas.masks import PositionGrid
from schemas.records import Mask, Region, Row

DENSITY_SHAPE = (18, 24)
"""Cells of the centroid map, (down, across)."""
SIZE_EDGES = tuple(2.0 ** (k / 2) / 1024 for k in range(21))
"""Edges of the region-size histogram: shares of the picture, half octaves from 1/1024 to 1."""
STRENGTH_EDGES = tuple(k * 0.05 for k in range(71))
"""Edges of the strength histograms, in units of perceptual strength (0 to 3.5, the scale ends at 3.41)."""
WORD_EDGES = tuple(float(k) for k in range(0, 301, 2))
"""Edges of the answer-length histograms, in words."""


class Tally:
    """Running counts over rows."""

    def __init__(self, grid: PositionGrid) -> None:
        self.grid = grid
        self.rows = 0
        self.merged_rows = 0
        self.distorted_regions = 0
        self.tasks: dict[str, Counter[str]] = {}
        self.sources: dict[str, Counter[str]] = {}
        self.licenses: Counter[str] = Counter()
        self.source_licenses: Counter[tuple[str, str]] = Counter()
        self.generators: Counter[str] = Counter()
        self.pictures: dict[bytes, str] = {}
        self.photographs: dict[str, set[str]] = {}
        self.levels: dict[tuple[str, str], list[int]] = {}
        self.strengths = Histogram(STRENGTH_EDGES)
        self.strengths_by_level = [Histogram(STRENGTH_EDGES) for _ in range(5)]
        self.sizes = Histogram(SIZE_EDGES)
        self.positions: Counter[str] = Counter()
        self.density: NDArray[np.float64] = np.zeros(DENSITY_SHAPE)
        self.words: dict[str, Histogram] = {}
        self.answers: Counter[bytes] = Counter()
        self.answers_by_task: dict[str, set[bytes]] = {}
        self.questions: set[bytes] = set()
        self._repeated: dict[bytes, str] = {}
        self._centroids: dict[bytes, tuple[float, float]] = {}

    def add(self, row: Row) -> None:
        self.rows += 1
        self.merged_rows += row.external is not None
        self.tasks.setdefault(row.task, Counter())[row.split] += 1
        self.sources.setdefault(row.source, Counter())[row.split] += 1
        self._add_provenance(row)
        self._add_text(row)
        for picture in _picture_keys(row):
            if picture in self.pictures:
                continue
            self.pictures[picture] = row.split
            for region in row.regions:
                if region.distortions:
                    self._add_region(region)

    def repeated(self, count: int) -> tuple[tuple[str, int], ...]:
        """The most repeated answers, as (text, times)."""
        texts = [(self._repeated[key], self.answers[key]) for key in self._repeated]
        return tuple(sorted(texts, key=lambda entry: (-entry[1], entry[0]))[:count])

    def _add_provenance(self, row: Row) -> None:
        origin = row.source_image
        if origin is not None:
            self.photographs.setdefault(origin.id, set()).add(row.split)
        license = row.license or (origin.license if origin else None) or "not stated"
        self.licenses[license] += 1
        self.source_licenses[row.source, license] += 1
        made_by = row.provenance
        if made_by is None:
            self.generators["not stated" if row.external is None else f"{row.source}'s makers"] += 1
        else:
            self.generators[" ".join(part for part in (made_by.generator, made_by.model) if part)] += 1

    def _add_text(self, row: Row) -> None:
        words = self.words.setdefault(row.task, Histogram(WORD_EDGES))
        by_task = self.answers_by_task.setdefault(row.task, set())
        for message in row.messages:
            key = _hashed(message.content)
            if message.role == "user":
                self.questions.add(key)
                continue
            words.add(len(message.content.split()))
            by_task.add(key)
            self.answers[key] += 1
            if self.answers[key] == 2:
                self._repeated[key] = message.content

    def _add_region(self, region: Region) -> None:
        self.distorted_regions += 1
        self.positions[region.position] += 1
        height, width = region.mask.size
        self.sizes.add(region.area / (height * width))
        y, x = self._centroid(region.mask)
        rows, columns = DENSITY_SHAPE
        self.density[min(int(y * rows), rows - 1), min(int(x * columns), columns - 1)] += 1
        if region.strength is not None:
            self.strengths.add(region.strength)
            if len(region.distortions) == 1:
                self.strengths_by_level[region.distortions[0].level - 1].add(region.strength)
        for distortion in region.distortions:
            levels = self.levels.setdefault((distortion.name, distortion.category), [0] * 5)
            levels[distortion.level - 1] += 1

    def _centroid(self, mask: Mask) -> tuple[float, float]:
        """(y, x) of the mask's centroid as shares of the picture, to about a cell of the map."""
        key = _hashed(f"{mask.size} {mask.counts}")
        if key not in self._centroids:
            pixels = masks.decode(mask)
            step = max(1, min(pixels.shape) // 128)
            thin = pixels[::step, ::step]
            if not thin.any():
                step, thin = 1, pixels
            ys, xs = np.nonzero(thin)
            self._centroids[key] = (
                float((ys.mean() * step + 0.5) / pixels.shape[0]),
                float((xs.mean() * step + 0.5) / pixels.shape[1]),
            )
        return self._centroids[key]


def _hashed(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _picture_keys(row: Row) -> list[bytes]:
    """What rows that ask about one picture share: for ours its photograph and what was injected where, for
    others' the pixels of each picture.
    """
    if row.external is not None:
        return [_hashed(picture.pixels) for picture in row.external.images]
    origin = row.source_image.id if row.source_image is not None else f"row {row.id}"
    injected = [
        (region.region_id, [(d.name, d.level, d.order) for d in region.distortions], region.strength)
        for region in row.regions
        if region.distortions
    ]
    return [_hashed(f"{origin} {injected}")]


def smooth(counts: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    """Centroid counts blurred by a Gaussian of one cell (edges renormalized), scaled to at most 1."""
    blurred, weights = (
        cv2.GaussianBlur(values, (7, 7), 1.0, borderType=cv2.BORDER_CONSTANT)
        for values in (counts, np.ones_like(counts))
    )
    smooth = blurred / weights
    peak = smooth.max()
    return tuple(map(tuple, (smooth / peak if peak > 0 else smooth).tolist()))
