"""The parts of a picture for segmenters that have none of their own: the merge tree's."""

from __future__ import annotations

from annotation.regions.tree import build_tree
from annotation.regions.tree_cut import cut
from inference.grounded_answer import Picture
from inference.segmenters.builder_regions import SETTINGS
from inference.settled_points import Parts


def parts_of(image: Picture) -> Parts:
    """The merge tree's cut of a (H, W, 3) uint8 RGB picture, as the dataset's builder takes it."""
    tree = build_tree(image)
    return Parts.of(cut(tree, SETTINGS.max_regions)[tree.leaves])
