"""The merge tree cut into regions, and the same tree's answer to a point."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from annotation.regions.color_terms import color_phrase
from annotation.regions.interface import Candidate, candidate
from annotation.regions.regionmaps import texture_class, upsample_labels, upsample_mask
from annotation.regions.tree import RegionTree
from schemas.masks import BoolMask

GLUED = 0.015  # a side of a split smaller than this share of the picture is not split off
FLAT = 0.5  # Lab contrast below which a node holds no visible boundary (a flat picture stays whole)
LOOK_INTERSECTION, LOOK_LIGHTNESS, LOOK_SHARE, LOOK_LEAST = 0.75, 14.0, 0.60, 3
BINS = (8, 8, 8)  # Lab histogram of the same-look merge
BANDS = ((0.003, 0.04), (0.04, 0.15), (0.15, 0.60))  # area shares of the nested masks at a point


@dataclass(frozen=True)
class NestedMask:
    """One answer to a point: a boolean (H, W) mask, its score in 0..1 and its share of the picture."""

    mask: BoolMask
    score: float
    share: float


def candidates(labels: NDArray[np.int32]) -> list[Candidate]:
    """One candidate a label of a (H, W) map with labels from 0 without gaps, in their order, scores all 1."""
    columns = np.asfortranarray(labels)
    return [candidate(columns == index) for index in range(int(columns.max()) + 1)]


def segment(tree: RegionTree, most: int) -> NDArray[np.int32]:
    """Cut the tree into at most `most` regions: (H, W) int32 labels 0..k-1 at the full picture's size, no
    gaps.

    A picture without a visible boundary (flat, black, a single pixel) gives one region.
    """
    return upsample_labels(cut(tree, most)[tree.leaves], tree.size)


def cut(tree: RegionTree, most: int) -> NDArray[np.int32]:
    """The cut of `segment` on superpixels: (leaves,) int32 region of each, 0..k-1."""
    return _join_same_look(tree, _open_splits(tree, most))


def _open_splits(tree: RegionTree, most: int) -> NDArray[np.int32]:
    """Group of each superpixel after opening the highest splits whose sides are both large enough."""
    root = len(tree.parent) - 1
    leaf_count = tree.leaf_count
    queue = [(-tree.height[root], root)]
    done: list[int] = []
    orphans: list[int] = []
    while queue and len(queue) + len(done) < most:
        _, node = heapq.heappop(queue)
        if node < leaf_count or tree.contrast[node] < FLAT:
            done.append(node)
            continue
        sides = [int(side) for side in tree.children[node - leaf_count]]
        large = [side for side in sides if tree.share[side] >= GLUED]
        if not large:
            done.append(node)
            continue
        orphans.extend(side for side in sides if side not in large)
        for side in large:
            heapq.heappush(queue, (-tree.height[side], side))
    groups = np.full(leaf_count, -1, dtype=np.int32)
    for index, node in enumerate(sorted(done + [node for _, node in queue])):
        groups[tree.members(node)] = index
    _adopt(tree, groups, [tree.members(orphan) for orphan in orphans])
    return groups


def _adopt(tree: RegionTree, groups: NDArray[np.int32], orphans: list[NDArray[np.int32]]) -> None:
    """Give each small side to the neighboring group behind the weakest boundary, weakest first."""
    owner = np.full(len(groups), -1, dtype=np.int32)
    for index, leaves in enumerate(orphans):
        owner[leaves] = index
    waiting = set(range(len(orphans)))
    while waiting:
        a, b = tree.edges[:, 0], tree.edges[:, 1]
        outer, inner = np.concatenate([a, b]), np.concatenate([b, a])
        strength = np.concatenate([tree.edge_gradient, tree.edge_gradient])
        usable = (groups[outer] >= 0) & (groups[inner] < 0)
        outer, inner, strength = outer[usable], inner[usable], strength[usable]
        best = np.lexsort((inner, outer, strength))[0]
        index = int(owner[inner[best]])
        groups[orphans[index]] = groups[outer[best]]
        waiting.remove(index)


def _join_same_look(tree: RegionTree, groups: NDArray[np.int32]) -> NDArray[np.int32]:
    """Merge neighboring groups that look alike or would get the same name, most alike first, while over
    three are left.
    """
    groups = groups.copy()
    lightness = tree.lab[..., 0]
    bins = _bins(tree.lab)
    cells = int(np.prod(BINS))
    while (count := int(groups.max()) + 1) > LOOK_LEAST:
        labels = groups[tree.leaves]
        flat = labels.ravel().astype(np.int64)
        size = np.bincount(flat, minlength=count).astype(np.float64)
        light = np.bincount(flat, weights=lightness.ravel().astype(np.float64), minlength=count) / size
        shares = (
            np.bincount(flat * cells + bins.ravel(), minlength=count * cells).reshape(count, cells)
            / size[:, None]
        )
        texture = [texture_class(lightness, labels == index) for index in range(count)]
        color = [color_phrase(tree.terms[labels == index], float(light[index]))[0] for index in range(count)]
        pairs = np.unique(np.sort(groups[tree.edges], axis=1), axis=0)
        best: tuple[float, int, int] | None = None
        for low, high in pairs[pairs[:, 0] != pairs[:, 1]].tolist():
            alike = float(np.minimum(shares[low], shares[high]).sum())
            if (
                (alike > LOOK_INTERSECTION or color[low] == color[high] != "multicoloured")
                and abs(light[low] - light[high]) < LOOK_LIGHTNESS
                and texture[low] == texture[high]
                and (size[low] + size[high]) / labels.size <= LOOK_SHARE
                and (best is None or alike > best[0])
            ):
                best = (alike, low, high)
        if best is None:
            break
        groups[groups == best[2]] = best[1]
        groups[groups > best[2]] -= 1
    return groups


def _bins(lab: NDArray[np.float32]) -> NDArray[np.int64]:
    """Histogram cell of each pixel: L in 8 bins over 0..100, a and b in 8 bins over -64..64."""
    scaled = np.stack([lab[..., 0] / 100, (lab[..., 1] + 64) / 128, (lab[..., 2] + 64) / 128], axis=-1)
    cell = np.clip((scaled * np.array(BINS)).astype(np.int64), 0, np.array(BINS) - 1)
    return np.asarray((cell[..., 0] * BINS[1] + cell[..., 1]) * BINS[2] + cell[..., 2], dtype=np.int64)


def nested_masks(tree: RegionTree, point: tuple[float, float]) -> list[NestedMask]:
    """Up to three nested masks that hold `point`, smallest first.

    `point` is (x, y) in pixels of the full picture, 0 <= x < width, 0 <= y < height (ValueError outside). On
    the way from the point's superpixel to the root the best node of each area band is kept, by sqrt((1 -
    height / parent's height) * solidity): a node that stands out from what surrounds it and is compact. No
    node in a band gives no mask for it; a flat picture gives none.
    """
    row, column = cell_at(tree, point)
    node = int(tree.leaves[row, column])
    best: dict[int, tuple[float, int, NDArray[np.bool_]]] = {}
    while tree.parent[node] >= 0:
        above = int(tree.parent[node])
        share = tree.share[node]
        for band, (least, most) in enumerate(BANDS):
            if least <= share < most and tree.contrast[above] >= FLAT:
                inside = np.zeros(tree.leaf_count, dtype=bool)
                inside[tree.members(node)] = True
                mask = inside[tree.leaves]
                rise = 1.0 - float(tree.height[node] / tree.height[above])
                score = float(np.sqrt(max(rise, 0.0) * solidity(mask)))
                if band not in best or score > best[band][0]:
                    best[band] = (score, node, mask)
        node = above
    return [
        NestedMask(
            hold(upsample_mask(mask, tree.size), (row, column), mask.shape), score, float(tree.share[at])
        )
        for _, (score, at, mask) in sorted(best.items())
    ]


def cell_at(tree: RegionTree, point: tuple[float, float]) -> tuple[int, int]:
    """Row and column of the working pixel under a point (x, y) in pixels of the full picture.

    Raises ValueError for a point outside.
    """
    height, width = tree.size
    x, y = point
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(f"the point ({x}, {y}) lies outside the {width} x {height} picture")
    rows, columns = tree.leaves.shape
    return min(int(y * rows / height), rows - 1), min(int(x * columns / width), columns - 1)


def hold(mask: BoolMask, cell: tuple[int, int], working: tuple[int, ...]) -> BoolMask:
    """The mask, changed in place, with the full-size pixels of the point's own working pixel set, which
    smoothing may have cut off.
    """
    height, width = mask.shape
    (row, column), (rows, columns) = cell, working
    mask[
        row * height // rows : -(-(row + 1) * height // rows),
        column * width // columns : -(-(column + 1) * width // columns),
    ] = True
    return mask


def solidity(mask: BoolMask) -> float:
    """Mask area over the area of its convex hull, counted in whole pixels, 0..1; 0 for an empty mask."""
    area = int(np.count_nonzero(mask))
    if area == 0:
        return 0.0
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = cv2.convexHull(np.concatenate(contours))
    filled = np.zeros(mask.shape, dtype=np.uint8)
    cv2.fillConvexPoly(filled, hull, 1)
    return min(1.0, area / max(area, int(np.count_nonzero(filled))))
