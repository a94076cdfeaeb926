"""The merge tree of a picture: watershed superpixels joined two by two, least visible boundary first.

Superpixels are marker-controlled watershed basins (scikit-image) on the gradient of the blurred Lab picture;
neighbors are merged greedily, cheapest first, and the heights of the merges are made monotone, which gives
an ultrametric hierarchy in the manner of Arbelaez et al., "Contour Detection and Hierarchical Image
Segmentation" (PAMI 2011), here with a much simpler boundary measure. Everything is a pure function of the
pixels: no randomness, ties broken by index.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import watershed

from annotation.regions.color_terms import color_terms
from annotation.regions.interface import Picture
from annotation.regions.regionmaps import working_lab, working_rgb

MARKERS = 400  # superpixels asked for
BLUR = 1.5  # sigma in working pixels, of the gradient and of the texture feature
WEIGHTS = (0.7, 1.2, 1.2, 3.0, 30.0, 30.0)  # of L, a, b, texture, y, x in the feature distance
PLACELESS = 4  # the first four dimensions, without y and x
GRADIENT_CAP = 30.0  # a boundary stronger than this counts no more
GRADIENT_SHARE, FEATURE_SHARE = 0.6, 0.4


@dataclass(frozen=True)
class RegionTree:
    """The merge hierarchy of one picture.

    `size` is (height, width) of the full picture; `leaves` (h, w) int32 are the superpixels 0..n-1 of the
    working picture; nodes 0..n-1 are superpixels and n..2n-2 merges, the last one the root; `children` (n-1,
    2) int32; `parent` (2n-1,) int32, -1 at the root; `height` (2n-1,) float64, 0 at superpixels and never
    falling towards the root; `share` (2n-1,) float64, area over the picture's; `contrast` (2n-1,) float64,
    the strongest boundary inside a node, place left out, in units of weighted Lab; `lab` (h, w, 3) float32
    the working picture (L 0..100); `terms` (h, w) uint8 the color term of each of its pixels
    (`colors.TERMS`); `edges` (m, 2) int32 and `edge_gradient` (m,) float64 the neighboring superpixels and
    the mean gradient there.
    """

    size: tuple[int, int]
    leaves: NDArray[np.int32]
    children: NDArray[np.int32]
    parent: NDArray[np.int32]
    height: NDArray[np.float64]
    share: NDArray[np.float64]
    contrast: NDArray[np.float64]
    lab: NDArray[np.float32]
    terms: NDArray[np.uint8]
    edges: NDArray[np.int32]
    edge_gradient: NDArray[np.float64]

    @property
    def leaf_count(self) -> int:
        """Number of superpixels."""
        return len(self.children) + 1

    def members(self, node: int) -> NDArray[np.int32]:
        """The superpixels under `node`."""
        found, todo = [], [node]
        while todo:
            at = todo.pop()
            if at < self.leaf_count:
                found.append(at)
            else:
                todo.extend(int(child) for child in self.children[at - self.leaf_count])
        return np.array(sorted(found), dtype=np.int32)


def build_tree(image: Picture) -> RegionTree:
    """The merge tree of a (H, W, 3) uint8 RGB picture with H, W >= 1, worked out at 320 px long side."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"a picture is (H, W, 3) uint8 with pixels, not {image.shape} {image.dtype}")
    height, width = image.shape[:2]
    small = working_rgb(image)
    lab = working_lab(small)
    blurred = np.asarray(
        cv2.GaussianBlur(lab, (0, 0), BLUR, borderType=cv2.BORDER_REPLICATE), dtype=np.float32
    )
    blurred = blurred.reshape(lab.shape)
    gradient = _gradient(blurred)
    leaves = _superpixels(gradient)
    features, counts = _features(lab, blurred, leaves)
    edges, lengths, sums = _boundaries(leaves, gradient)
    children, parent, heights, areas, contrast = _merge(features, counts, edges, lengths, sums)
    return RegionTree(
        size=(height, width),
        leaves=leaves,
        children=children,
        parent=parent,
        height=heights,
        share=areas / leaves.size,
        contrast=contrast,
        lab=lab,
        terms=color_terms(small),
        edges=edges,
        edge_gradient=sums / np.maximum(lengths, 1),
    )


def _gradient(blurred: NDArray[np.float32]) -> NDArray[np.float32]:
    """Length of the Lab gradient, (h, w), by a 3x3 Sobel over 4 (a slope of 1 L a pixel gives 2)."""
    dx = cv2.Sobel(blurred, cv2.CV_32F, 1, 0, ksize=3, scale=0.25, borderType=cv2.BORDER_REPLICATE)
    dy = cv2.Sobel(blurred, cv2.CV_32F, 0, 1, ksize=3, scale=0.25, borderType=cv2.BORDER_REPLICATE)
    length = np.sqrt((dx**2 + dy**2).reshape(blurred.shape).sum(axis=2))
    return np.asarray(length, dtype=np.float32)


def _superpixels(gradient: NDArray[np.float32]) -> NDArray[np.int32]:
    """Watershed basins numbered from 0 without gaps, about 400, from a regular grid of markers."""
    height, width = gradient.shape
    step = max(1.0, float(np.sqrt(height * width / MARKERS)))
    rows = np.unique(
        ((np.arange(max(1, round(height / step))) + 0.5) * height / max(1, round(height / step))).astype(int)
    )
    columns = np.unique(
        ((np.arange(max(1, round(width / step))) + 0.5) * width / max(1, round(width / step))).astype(int)
    )
    markers = np.zeros(gradient.shape, dtype=np.int32)
    markers[np.ix_(rows, columns)] = np.arange(1, rows.size * columns.size + 1).reshape(
        rows.size, columns.size
    )
    basins = watershed(gradient, markers=markers)  # type: ignore[no-untyped-call]
    _, leaves = np.unique(basins, return_inverse=True)
    return np.asarray(leaves.reshape(gradient.shape), dtype=np.int32)


def _features(
    lab: NDArray[np.float32], blurred: NDArray[np.float32], leaves: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean feature (n, 6) and pixel count (n,) of each superpixel."""
    height, width = leaves.shape
    detail = np.abs(lab[..., 0] - blurred[..., 0])
    texture = np.sqrt(cv2.GaussianBlur(detail, (0, 0), BLUR, borderType=cv2.BORDER_REPLICATE)).reshape(
        leaves.shape
    )
    longest = max(height, width)
    rows, columns = np.mgrid[0:height, 0:width] / longest
    planes = (lab[..., 0], lab[..., 1], lab[..., 2], texture, rows, columns)
    flat = leaves.ravel()
    counts = np.bincount(flat)
    means = [
        weight * np.bincount(flat, weights=plane.ravel().astype(np.float64)) / counts
        for weight, plane in zip(WEIGHTS, planes, strict=True)
    ]
    return np.stack(means, axis=1), counts


def _boundaries(
    leaves: NDArray[np.int32], gradient: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
    """Neighboring pairs (m, 2) with low < high, boundary lengths (m,) in pixels, sums (m,) of capped
    gradient.
    """
    capped = np.minimum(gradient, GRADIENT_CAP).astype(np.float64)
    first = np.concatenate([leaves[:, :-1].ravel(), leaves[:-1].ravel()]).astype(np.int64)
    second = np.concatenate([leaves[:, 1:].ravel(), leaves[1:].ravel()]).astype(np.int64)
    value = np.concatenate(
        [
            np.maximum(capped[:, :-1], capped[:, 1:]).ravel(),
            np.maximum(capped[:-1], capped[1:]).ravel(),
        ]
    )
    across = first != second
    first, second, value = first[across], second[across], value[across]
    count = int(leaves.max()) + 1
    codes, inverse = np.unique(
        np.minimum(first, second) * count + np.maximum(first, second), return_inverse=True
    )
    edges = np.stack([codes // count, codes % count], axis=1).astype(np.int32)
    lengths = np.bincount(inverse, minlength=codes.size).astype(np.int64)
    sums = np.bincount(inverse, weights=value, minlength=codes.size).astype(np.float64)
    return edges, lengths, sums


def _merge(
    features: NDArray[np.float64],
    counts: NDArray[np.int64],
    edges: NDArray[np.int32],
    lengths: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> tuple[
    NDArray[np.int32], NDArray[np.int32], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]
]:
    """Merge the cheapest neighbors until one is left: children, parent, heights, areas, contrasts."""
    leaf_count, total = len(counts), float(counts.sum())
    node_count = 2 * leaf_count - 1
    mean = [tuple(row) for row in features.tolist()] + [()] * (leaf_count - 1)
    area = [float(n) for n in counts] + [0.0] * (leaf_count - 1)
    height = [0.0] * node_count
    contrast = [0.0] * node_count
    parent = np.full(node_count, -1, dtype=np.int32)
    children = np.zeros((leaf_count - 1, 2), dtype=np.int32)
    near: list[dict[int, tuple[int, float]]] = [{} for _ in range(node_count)]
    for (low, high), length, gradient_sum in zip(
        edges.tolist(), lengths.tolist(), sums.tolist(), strict=True
    ):
        near[low][high] = near[high][low] = (length, gradient_sum)

    def boundary(a: int, b: int, dims: int) -> float:
        length, gradient_sum = near[a][b]
        squares = ((p - q) ** 2 for p, q in zip(mean[a][:dims], mean[b][:dims], strict=True))
        return float(GRADIENT_SHARE * gradient_sum / length + FEATURE_SHARE * sum(squares) ** 0.5)

    def cost(a: int, b: int) -> float:
        return boundary(a, b, len(WEIGHTS)) * float((min(area[a], area[b]) / total) ** 0.5)

    queue = [(cost(low, high), low, high) for low, high in edges.tolist()]
    heapq.heapify(queue)
    alive = [True] * leaf_count + [False] * (leaf_count - 1)
    for new in range(leaf_count, node_count):
        while True:
            price, a, b = heapq.heappop(queue)
            if alive[a] and alive[b]:
                break
        alive[a] = alive[b] = False
        alive[new] = True
        children[new - leaf_count] = (a, b)
        parent[a] = parent[b] = new
        area[new] = area[a] + area[b]
        height[new] = max(price, height[a], height[b])
        contrast[new] = max(boundary(a, b, PLACELESS), contrast[a], contrast[b])
        mean[new] = tuple(
            (p * area[a] + q * area[b]) / area[new] for p, q in zip(mean[a], mean[b], strict=True)
        )
        for old in (a, b):
            for other, (length, gradient_sum) in near[old].items():
                if other not in (a, b):
                    had = near[new].get(other, (0, 0.0))
                    near[new][other] = near[other][new] = (had[0] + length, had[1] + gradient_sum)
                    near[other].pop(old, None)
            near[old] = {}
        for other in sorted(near[new]):
            heapq.heappush(queue, (cost(other, new), other, new))
    return children, parent, np.array(height), np.array(area), np.array(contrast)
