"""The `graph` segmenter, without weights: the regions of a merge tree under the points.

Measured on 50 target regions of the demo build (11 photographs, the distorted pictures of its rows), mean IoU
with the truth, which the same tree made from the pristine pictures:

| points | cut into 10 | cut into 20 | nested masks: middle / best score | smallest node of the tree |
|---|---|---|---|---|
| one, anywhere in the region | .66 | .54 | .41 / .19 | |
| one, the center of the region's cell of 3x3 | .38 | .27 | .24 / .08 | |
| three in the region | .70 | .70 | / .33 | .62 |
| three along the region's side of the picture | .31 | .27 | / .09 | .28 |

So a point gets its region of the cut, several points the union of theirs. Where no node of the tree is even
half like the region (IoU below .5), the cut has glued it together: a thing too small for a region of its own,
and what is round it. Then the best nested mask answers. Of 240 discs that hold another photograph and cover
0.3 to 6% of the picture 12 were such, mean IoU .14 by the cut and .68 by the nested mask; of the 250 single
points in the demo's regions one. Most things under 1.5% are still answered by the region round them.

Milliseconds on one busy core for pictures of 512 / 1024 px long side: encoding 140 / 150, the same picture
again 1 / 6, a set of one point 2 / 7, of three 8 / 13, all regions with their names 130 / 280.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from annotation.regions.regionmaps import upsample_labels, upsample_mask
from annotation.regions.tree import build_tree
from annotation.regions.tree_cut import candidates, cell_at, cut, hold, nested_masks
from inference.grounded_answer import Encoded, Picture, Region, Segmented
from inference.segmenters.builder_regions import SETTINGS, named
from inference.segmenters.recent import Recent
from inference.segmenters.select import choose, to_pixels
from inference.settled_points import Parts

GLUED = 0.5
"""Agreement with the tree below which a region of the cut isn't trusted; see above."""


class GraphSegmenter:
    """Segments by the merge tree of `annotation.regions.tree`; keeps the trees of the last few pictures."""

    name = "graph"

    def __init__(self) -> None:
        self._recent = Recent(_GraphEncoded)

    def encode(self, image: Picture) -> Encoded:
        """The tree of a (H, W, 3) uint8 RGB picture. Raises ValueError for anything else."""
        return self._recent(image)


class _GraphEncoded:
    """A picture's merge tree and its cut into as many regions as the dataset's builder takes."""

    def __init__(self, image: Picture) -> None:
        self._image = image.copy()
        self._tree = build_tree(image)
        self._groups = cut(self._tree, SETTINGS.max_regions)
        self._parts: Parts | None = None
        self._regions: list[Region] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the picture."""
        return self._tree.size

    def segment(self, points: Sequence[NDArray[np.float64]]) -> list[Segmented]:
        """As `Encoded`. Candidate 0 is the cut's region, or the union of those of several points; from 1 on
        it is a nested mask of the one point, counted from the smallest.

        The score of a region is the IoU of the node of the tree most like it, the mean over several; a
        nested mask's is its own.
        """
        return [self._one(to_pixels(each, self.size)) for each in points]

    def parts(self) -> Parts:
        """As `Encoded`: the cut."""
        if self._parts is None:
            self._parts = Parts.of(self._groups[self._tree.leaves])
        return self._parts

    def regions(self) -> list[Region]:
        """As `Encoded`: the regions of the dataset's own proposer `graph`, with scores of 1."""
        if self._regions is None:
            labels = upsample_labels(self._groups[self._tree.leaves], self._tree.size)
            self._regions = named(self._image, candidates(labels))
        return self._regions

    def _one(self, pixels: NDArray[np.int64]) -> Segmented:
        tree = self._tree
        cells = [cell_at(tree, (x, y)) for x, y in pixels.tolist()]
        leaves = {int(self._groups[tree.leaves[cell]]): int(tree.leaves[cell]) for cell in cells}
        small = np.isin(self._groups, list(leaves))[tree.leaves]
        mask = upsample_mask(small, tree.size)
        for cell in cells:
            hold(mask, cell, small.shape)
        score = float(np.mean([self._agreement(group, leaf) for group, leaf in leaves.items()]))
        if len(pixels) == 1 and score < GLUED:
            nested = nested_masks(tree, (int(pixels[0, 0]), int(pixels[0, 1])))
            if nested:
                scores = np.array([item.score for item in nested])
                finer = choose(np.stack([item.mask for item in nested]), scores, pixels)
                return replace(finer, candidate=finer.candidate + 1)
        return choose(mask[None], np.array([score]), pixels)

    def _agreement(self, group: int, leaf: int) -> float:
        """The highest IoU of a region with a node of the tree above one of its superpixels."""
        tree = self._tree
        shares = tree.share[: tree.leaf_count]
        inside = self._groups == group
        region = float(shares[inside].sum())
        best, node = 0.0, leaf
        while node >= 0:
            members = tree.members(node)
            common = float(shares[members[inside[members]]].sum())
            best = max(best, common / (region + float(tree.share[node]) - common))
            node = int(tree.parent[node])
        return min(1.0, best)
