"""The `graph` proposer: a picture cut into disjoint regions of alike pixels; no model."""

from __future__ import annotations

from collections.abc import Sequence

from annotation.regions.interface import Context, Picture, Proposals, Proposer
from annotation.regions.tree import build_tree
from annotation.regions.tree_cut import candidates, segment
from schemas.regions_config import RegionsConfig


def make(config: RegionsConfig) -> Proposer:
    return propose


def propose(images: Sequence[Picture], contexts: Sequence[Context]) -> list[Proposals]:
    """Regions that cover each picture, at most `max_regions` of its settings, scores all 1."""
    return [
        Proposals(candidates(segment(build_tree(image), context.config.max_regions)))
        for image, context in zip(images, contexts, strict=True)
    ]
