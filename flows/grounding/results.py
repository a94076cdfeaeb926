"""A result for people and for programs: lines, JSON, and a picture of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from schemas import masks
from schemas.errors import InputError
from schemas.masks import BoolMask

if TYPE_CHECKING:
    from inference.grounded_answer import Axis, Grounding, Result, Segmented

RgbImage = NDArray[np.uint8]


def as_json(result: Result, shape: tuple[int, ...], asked: BoolMask | None = None) -> dict[str, Any]:
    """A result for programs: points and boxes in pixels of the picture (H, W, ...), masks as COCO RLE."""
    height, width = shape[:2]
    placed = result.placed
    segmented: list[Segmented | None] = [*result.masks]
    segmented += [None] * (len(placed.groundings) - len(segmented))
    whole = result.masks[0] if placed.whole_image and result.masks else None
    return {
        "width": width,
        "height": height,
        "question": result.question,
        "answer": result.answer.text,
        "asked": None if asked is None else {**_mask(asked), "position": masks.position(asked)},
        "whole_image": placed.whole_image,
        "whole_mask": None if whole is None else masks.encode(whole.mask).model_dump(),
        "groundings": [
            _grounding(item, mask, result.answer.text, width, height)
            for item, mask in zip(placed.groundings, segmented, strict=False)
        ],
        "notes": list(result.notes),
        "seconds": {part: round(value, 4) for part, value in result.seconds.items()},
    }


def _grounding(
    item: Grounding, segmented: Segmented | None, text: str, width: int, height: int
) -> dict[str, Any]:
    mask: dict[str, Any] = {"mask": None, "bbox": None, "area": None, "score": None, "fallback": None}
    if segmented is not None:
        mask = {**_mask(segmented.mask), "score": segmented.score, "fallback": segmented.fallback}
    return {
        "words": text[slice(*item.span)],
        "span": list(item.span),
        "noun": item.noun,
        "horizontal": _axis(item.horizontal),
        "vertical": _axis(item.vertical),
        "map": item.map.tolist(),
        "points": (item.points * (width, height)).tolist(),
        "uncertain": item.uncertain,
        **mask,
    }


def _axis(axis: Axis | None) -> dict[str, float] | None:
    if axis is None:
        return None
    return dict(zip(axis.classes, axis.probabilities.tolist(), strict=True))


def _mask(mask: BoolMask) -> dict[str, Any]:
    return {
        "mask": masks.encode(mask).model_dump(),
        "bbox": masks.bounding_box(mask),
        "area": int(np.count_nonzero(mask)),
    }


def result_lines(result: Result, shape: tuple[int, ...]) -> list[str]:
    """The answer and its places for people, for a picture of the shape (H, W, ...)."""
    from schemas.foreign_text import escape_hidden

    height, width = shape[:2]
    lines = [f"question  {escape_hidden(result.question)}", f"answer    {escape_hidden(result.answer.text)}"]
    if result.placed.whole_image:
        lines.append("place     the whole picture")
    elif not result.placed.groundings:
        lines.append("place     none is named")
    for k, item in enumerate(result.placed.groundings):
        points = ", ".join(f"({x * width:.0f}, {y * height:.0f})" for x, y in item.points.tolist())
        words = escape_hidden(result.answer.text[slice(*item.span)])
        line = f"place     {words}: {points}"
        if k < len(result.masks):
            mask = result.masks[k]
            line += f", mask {100 * float(mask.mask.mean()):.1f}% of the picture, score {mask.score:.2f}"
            line += f" ({mask.fallback})" if mask.fallback else ""
        lines.append(line + (", uncertain" if item.uncertain else ""))
    return lines + [f"note      {note}" for note in result.notes]


def write_picture(path: Path, drawn: RgbImage) -> None:
    """A PNG that appears whole. Raises InputError when the place can't be written."""
    from schemas.pictures import encode
    from schemas.store import write_atomically

    try:
        write_atomically(path, encode(drawn), path.parent)
    except OSError as error:
        raise InputError(f"{path}: can't be written: {error.strerror}; give another --out") from error
