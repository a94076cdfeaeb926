"""Scores a reply's masks and points against the true mask of an item that asks where."""

from __future__ import annotations

from collections.abc import Sequence

from inference.evaluation import metrics
from inference.evaluation.benchmark_interface import Item, Reply
from schemas import masks
from schemas.errors import InputError
from schemas.records import Mask


def score_mask(item: Item, reply: Reply) -> dict[str, float | None]:
    """The numbers of an item that asks where, by column.

    The masks of an answer count together; an answer about the whole picture is the mask of all pixels, and
    no mask at all an empty one. "in_mask" is the share of the points inside the true mask, 0 without an
    answer or for the whole picture; the point of a mask that came without any is its innermost. It doesn't
    apply where the whole picture is right. Raises InputError for a true mask of another size than the
    picture's.
    """
    target = item.target
    if target is None:
        raise ValueError(f"item {item.id} asks for no mask")
    found: Sequence[Mask] = reply.masks
    if reply.whole_image:
        found = [metrics.full_mask(*target.size)]
    try:
        intersection, union = metrics.overlap(found, target)
    except ValueError as error:
        raise InputError(f"item {item.id}: {error}; the true mask isn't of the picture's size") from error
    points = (
        ()
        if reply.whole_image
        else reply.points or [metrics.inner_point(mask) for mask in found if masks.area(mask)]
    )
    return {
        "intersection": float(intersection),
        "union": float(union),
        "iou": float(metrics.ious(intersection, union)),
        "in_mask": None if item.whole_image else metrics.share_inside(points, target),
        "whole_right": float(bool(found) and reply.whole_image == item.whole_image),
        "no_answer": float(not found),
    }
