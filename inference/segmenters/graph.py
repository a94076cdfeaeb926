"""The `graph` segmenter: no weights; the region of a merge tree that stands out most round the points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from annotation.regions.graph import nested_masks, segment
from annotation.regions.interface import candidate
from annotation.regions.tree import build_tree
from inference.answers import Encoded, Picture, Region, Segmented
from inference.segmenters.proposed import SETTINGS, named
from inference.segmenters.recent import Recent
from inference.segmenters.select import choose, to_pixels, whole


class GraphSegmenter:
    """Segments by the merge tree of `annotation.regions.tree`; keeps the trees of the last few pictures."""

    name = "graph"

    def __init__(self) -> None:
        self._recent = Recent(_GraphEncoded)

    def encode(self, image: Picture) -> Encoded:
        """The tree of a (H, W, 3) uint8 RGB picture. Raises ValueError for anything else."""
        return self._recent(image)


class _GraphEncoded:
    """A picture's merge tree."""

    def __init__(self, image: Picture) -> None:
        self._image = image.copy()
        self._tree = build_tree(image)
        self._regions: list[Region] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the picture."""
        return self._tree.size

    def segment(self, points: Sequence[NDArray[np.float64]]) -> list[Segmented]:
        """As `Encoded`."""
        return [self._one(to_pixels(each, self.size)) for each in points]

    def regions(self) -> list[Region]:
        """As `Encoded`: the regions of the dataset's own proposer `graph`, with scores of 1."""
        if self._regions is None:
            labels = np.asfortranarray(segment(self._tree, SETTINGS.max_regions))
            found = [candidate(labels == index) for index in range(int(labels.max()) + 1)]
            self._regions = named(self._image, found)
        return self._regions

    def _one(self, pixels: NDArray[np.int64]) -> Segmented:
        masks, scores = [], []
        for x, y in np.unique(pixels, axis=0).tolist():
            found = nested_masks(self._tree, (x, y))
            if found:
                best = max(found, key=lambda item: item.score)
                masks.append(best.mask)
                scores.append(best.score)
        if not masks:
            return Segmented(whole(self.size), 0.0, 0, "flat")
        return choose(np.any(masks, axis=0)[None], np.array([np.mean(scores)]), pixels)
