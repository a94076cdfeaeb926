"""Q-Ground's test: where is a picture blurred, noisy, jittery, overexposed or too dark; IoU by class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from inference.evaluation.benchmark_files import (
    Record,
    annotation_file,
    find_pictures,
    identity,
    load_picture,
    read_list,
)
from inference.evaluation.benchmark_interface import Item, Measure, Opened, Reply, Values
from inference.evaluation.distortion_masks import CLASSES, Drawn, drawn, read_classes, union
from inference.evaluation.mask_scores import score_mask
from inference.evaluation.measures import iou_measures, mean, ratio
from inference.grounded_answer import Picture
from schemas import masks
from schemas.errors import InputError
from schemas.hashing import content_key
from schemas.records import Mask

QUESTION = "Which region of the image is the most affected by {damage}?"
DAMAGE = {
    "jitter": "motion jitter",
    "noise": "noise",
    "overexposure": "overexposure",
    "blur": "blur",
    "low light": "low light",
}
"""The words a question has for a class."""
CLASSES_FILE = "classes.json"
_ADVICE = "unpack qground.tar beside the JSON"


@dataclass(frozen=True)
class _Case:
    """One picture, one annotator, one class: its masks together are what is asked for."""

    id: str
    image: str
    kind: str
    parts: tuple[Drawn, ...]
    where: str


MASK_COLUMNS = ("intersection", "union", "iou", "in_mask", "no_answer")


class QGround:
    """The benchmark: an item for each class that a record has a mask of."""

    name = "q-ground"
    needs_logits = False
    judged = False
    columns: tuple[str, ...] = (
        *MASK_COLUMNS,
        "target",
        *(f"{column}: {kind}" for column in ("intersection", "union") for kind in CLASSES),
    )
    measures: tuple[Measure, ...] = (
        *iou_measures(over="class"),
        replace(ratio("mAcc", "intersection", "target"), over="class"),
        *(ratio(f"IoU, {kind}", f"intersection: {kind}", f"union: {kind}") for kind in CLASSES),
        mean("point in mask", "in_mask"),
        mean("no answer", "no_answer", better="lower"),
    )

    def open(self, data: Path, limit: int | None) -> Opened:
        """Raises InputError for a record that can't be read without guessing, and for missing files."""
        path = annotation_file(data, ("qground_test.json",), "*test*.json")
        values = path.parent / CLASSES_FILE
        classes = read_classes(values) if values.is_file() else {}
        cases = [case for record in read_list(path) for case in _cases(record, classes)]
        folder = path.parent
        images, drawings = [folder / "images", folder], [folder / "masks", folder]
        names = [case.image for case in cases]
        pictures = find_pictures(images, names, _ADVICE)
        named = [part.source for case in cases for part in case.parts if isinstance(part.source, str)]
        files = find_pictures(drawings, named, _ADVICE)
        known = list(islice(_with_pixels(cases, files), limit))
        if not known:
            raise InputError(f"{path}: no mask in it has a pixel; give the file as published")

        def items() -> Iterator[Item]:
            return (_item(case, target, pictures[case.image]) for case, target in known)

        key = content_key(
            identity(path, images, names), identity(path, drawings, named), sorted(classes.items())
        )
        return Opened(items, len(known), key, ("class",))

    def score(self, items: Sequence[Item], replies: Sequence[Reply]) -> list[Values]:
        """All masks of a reply together against the class's mask; no mask counts as an empty one."""
        return [self._values(item, reply) for item, reply in zip(items, replies, strict=True)]

    def _values(self, item: Item, reply: Reply) -> Values:
        found = score_mask(item, reply if reply.error is None else Reply())
        values: dict[str, float | None] = dict.fromkeys(self.columns)
        values |= {column: found[column] for column in MASK_COLUMNS}
        values["target"] = float(masks.area(item.target)) if item.target is not None else None
        kind = item.labels["class"]
        values |= {f"{column}: {kind}": found[column] for column in ("intersection", "union")}
        return values


def make() -> QGround:
    """The benchmark."""
    return QGround()


def _cases(record: Record, classes: Mapping[int, str]) -> list[_Case]:
    """A record's classes, in their fixed order. Raises InputError."""
    name, image, listed = record.text("id"), record.place("image"), record.values.get("ann_list")
    if not isinstance(listed, list) or not listed:
        raise record.wrong("'ann_list' is not a list of annotations")
    parts: list[Drawn] = []
    for number, values in enumerate(listed):
        where = f"{record.where}: annotation {number}"
        if not isinstance(values, dict):
            raise InputError(f"{where}: {type(values).__name__}, not an object")
        parts += drawn(Record(where, values), classes)
    return [
        _Case(f"{name}-{kind.replace(' ', '-')}", image, kind, chosen, record.where)
        for kind in CLASSES
        if (chosen := tuple(part for part in parts if part.kind == kind))
    ]


def _with_pixels(cases: Sequence[_Case], files: Mapping[str, Path]) -> Iterator[tuple[_Case, Mask]]:
    """Each case and its mask; those whose mask is empty are left out. Raises InputError for broken masks."""
    for case in cases:
        target = union(case.parts, files, case.where)
        if masks.area(target) > 0:
            yield case, target


def _item(case: _Case, target: Mask, picture: Path) -> Item:
    def load() -> Picture:
        rgb = load_picture(picture)
        if list(rgb.shape[:2]) != target.size:
            size = f"{rgb.shape[0]} x {rgb.shape[1]}"
            raise InputError(f"{case.where}: a mask of {target.size} for {picture}, which has {size} pixels")
        return rgb

    return Item(
        id=case.id,
        group=case.image,
        task="q-ground",
        questions=(QUESTION.format(damage=DAMAGE[case.kind]),),
        picture=load,
        picture_key=case.image,
        target=target,
        labels={"class": case.kind},
    )
