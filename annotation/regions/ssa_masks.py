"""Reads and writes `<name>_semantic.json`, the masks and names Semantic-Segment-Anything leaves of a picture.

Format (https://github.com/fudan-zvg/Semantic-Segment-Anything, scripts/pipeline.py): an object whose list
`annotations` holds what SAM's automatic mask generation measured of each mask, in pixels of the picture, and
what the engine named it. A list alone is read too.

    segmentation     {"size": [height, width], "counts": COCO run-length encoding, compressed or not}
    area, bbox       pixels, [x, y, width, height]; the mask decides, these are for readers
    predicted_iou    SAM's own guess of the mask's quality, 0..1
    stability_score  how little the mask changes with its threshold, 0..1
    point_coords     [[x, y]], the point SAM was asked at
    crop_box         [x, y, width, height], the part of the picture SAM saw
    class_name       what it is;  class_proposals  the names it was chosen from, best first

Masks that were not made by SAM have null for what nobody measured, and no point. Files written here add
`score`, the rank of the mask, and `class_score`, the name's confidence or null, both 0..1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from annotation.regions.coco_instances import (
    MAX_PIXELS,
    category_phrase,
    declared_size,
    draw,
    is_number,
    scale_mask,
)
from annotation.regions.interface import Candidate, candidate
from schemas.errors import SampleError
from schemas.masks import BoolMask
from schemas.records import SourceImage

MAX_BYTES = 100_000_000
MAX_MASKS = 10_000
MAX_NAME = 500
MAX_PROPOSALS = 100
"""Bounds of a file that is read: its bytes, its masks, the characters of a name, the names of one mask."""
BOUND = 1e9
SCORES = (("predicted_iou", -BOUND, BOUND), ("stability_score", 0.0, 1.0))
"""What SAM measured, and the numbers it can be: its guess of the IoU is a regression without bounds."""

POINT = ("point_x", "point_y")
CROP = ("crop_x", "crop_y", "crop_width", "crop_height")
"""The facts of a candidate that the file holds."""

Json = dict[str, Any]


def write(candidates: Sequence[Candidate], source: SourceImage) -> bytes:
    """The file of one picture: its candidates, whose masks have the picture's (height, width), in order.

    `parse` of it at that size gives equal candidates, but for facts SSA does not know. Raises ValueError for
    a number that is not finite.
    """
    image = {"file_name": source.uri, "height": source.height, "width": source.width}
    annotations = [{"id": number, **_entry(item)} for number, item in enumerate(candidates, start=1)]
    text = json.dumps({"image": image, "annotations": annotations}, ensure_ascii=False, allow_nan=False)
    return text.encode()


def _entry(item: Candidate) -> Json:
    facts = item.facts
    crop = [_short(facts[name]) for name in CROP] if all(name in facts for name in CROP) else None
    return {
        "segmentation": {"size": item.mask.size, "counts": item.mask.counts},
        "area": item.area,
        "bbox": list(item.bbox),
        "predicted_iou": facts.get("predicted_iou"),
        "point_coords": [[facts[name] for name in POINT]] if all(name in facts for name in POINT) else [],
        "stability_score": facts.get("stability_score"),
        "crop_box": crop,
        "class_name": item.label,
        "class_proposals": list(item.proposals),
        "score": item.score,
        "class_score": item.label_score,
    }


def _short(value: float) -> float:
    """A whole number without its ".0", as SAM writes crop boxes."""
    return int(value) if float(value).is_integer() else value


def parse(data: bytes, height: int, width: int) -> list[Candidate]:
    """The masks of one picture as candidates at (height, width), in the file's order.

    Every mask has one size, which may differ from (height, width) by scale alone: masks, points and crop
    boxes are then scaled. A candidate's score is `score`, else `predicted_iou`, else 1. Raises SampleError
    with one of the reasons bad-json, bad-field, bad-rle, bad-size, size-mismatch, too-many-bytes,
    too-many-masks.
    """
    document = _load(data)
    image, entries = None, document
    if isinstance(document, dict):
        image, entries = document.get("image"), document.get("annotations")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SampleError("bad-json", "no list of annotations, each an object")
    if len(entries) > MAX_MASKS:
        raise SampleError("too-many-masks", f"{len(entries)} masks; the limit is {MAX_MASKS}")
    if not entries:
        return []
    declared = declared_size(*_size(image, entries[0]), (height, width))
    return [_candidate(entry, number, declared, (height, width)) for number, entry in enumerate(entries)]


def _load(data: bytes) -> Any:
    if len(data) > MAX_BYTES:
        raise SampleError("too-many-bytes", f"{len(data)} bytes; the limit is {MAX_BYTES}")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SampleError("bad-json", f"this file is not JSON: {error}") from error


def _size(image: Any, first: Json) -> tuple[Any, Any]:
    """(height, width) as the file gives them: `image`'s, which SA-1B's files have, else the first mask's."""
    if isinstance(image, dict) and "height" in image and "width" in image:
        return image["height"], image["width"]
    segmentation = first.get("segmentation")
    size = segmentation.get("size") if isinstance(segmentation, dict) else None
    if not isinstance(size, list) or len(size) != 2:
        raise SampleError("bad-size", f"the first mask has the size {size!r}, not [height, width]")
    return size[0], size[1]


def _candidate(entry: Json, number: int, declared: tuple[int, int], size: tuple[int, int]) -> Candidate:
    given = _Entry(entry, number)
    measured = {name: given.score(name, low, high) for name, low, high in SCORES}
    facts = {name: value for name, value in measured.items() if value is not None}
    factor = (size[1] / declared[1], size[0] / declared[0])
    point, crop = given.point(), given.box("crop_box")
    facts |= {name: value * factor[k % 2] for k, (name, value) in enumerate(zip(POINT, point, strict=False))}
    facts |= {name: value * factor[k % 2] for k, (name, value) in enumerate(zip(CROP, crop, strict=False))}
    given.score("area", 0, MAX_PIXELS)
    given.box("bbox")
    score = given.score("score")
    if score is None:
        score = min(max(facts.get("predicted_iou", 1.0), 0.0), 1.0)
    made = candidate(
        scale_mask(given.mask(*declared), size), score, given.name(), given.score("class_score", 0, 1), facts
    )
    return replace(made, proposals=given.proposals())


@dataclass(frozen=True)
class _Entry:
    """One untrusted annotation; every method raises SampleError for a value of the wrong kind."""

    values: Json
    number: int

    def score(self, field: str, low: float = -BOUND, high: float = BOUND) -> float | None:
        """A number from `low` to `high`, None where the file has none."""
        value = self.values.get(field)
        if value is not None and (not is_number(value) or not low <= value <= high):
            raise self._refused(field, f"a number from {low:g} to {high:g}")
        return None if value is None else float(value)

    def box(self, field: str) -> list[float]:
        """[x, y, width, height], [] where the file has none."""
        value = self.values.get(field)
        return [] if value is None else self._numbers(field, value, 4)

    def point(self) -> list[float]:
        """[x, y] of the first point, [] where there is none."""
        points = self.values.get("point_coords")
        if points is None or points == []:
            return []
        if not isinstance(points, list):
            raise self._refused("point_coords", "a list of [x, y]")
        return self._numbers("point_coords", points[0], 2)

    def name(self) -> str | None:
        """The class as a noun phrase: the first of names that commas part, None where nothing is left."""
        value = self.values.get("class_name")
        return None if value is None else self._text("class_name", value) or None

    def proposals(self) -> tuple[str, ...]:
        value = self.values.get("class_proposals")
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > MAX_PROPOSALS:
            raise self._refused("class_proposals", f"a list of at most {MAX_PROPOSALS} names")
        return tuple(filter(None, (self._text("class_proposals", text) for text in value)))

    def mask(self, height: int, width: int) -> BoolMask:
        segmentation = self.values.get("segmentation")
        if not isinstance(segmentation, dict):
            raise self._refused("segmentation", "a run-length encoding")
        return draw(segmentation, height, width)

    def _numbers(self, field: str, value: Any, count: int) -> list[float]:
        if not isinstance(value, list) or len(value) != count or not all(map(is_number, value)):
            raise self._refused(field, f"{count} numbers")
        return [float(part) for part in value]

    def _text(self, field: str, value: Any) -> str:
        if not isinstance(value, str) or len(value) > MAX_NAME:
            raise self._refused(field, f"text of at most {MAX_NAME} characters")
        return category_phrase(value.split(",", 1)[0])

    def _refused(self, field: str, what: str) -> SampleError:
        return SampleError("bad-field", f"annotations[{self.number}].{field} is not {what}")
