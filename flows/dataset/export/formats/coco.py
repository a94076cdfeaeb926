"""COCO: pictures, their regions as run-length masks with distortions as attributes, the dialogues beside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from distortions import catalog
from flows.dataset.export.export_folder import ExportFolder
from schemas.errors import InputError
from schemas.records import Region, Row


def make(folder: ExportFolder, paths: Sequence[Path]) -> CocoWriter:
    """The writer into `folder` of the rows in the files `paths`."""
    return CocoWriter(folder)


class CocoWriter:
    """`instances_<split>.json`: one annotation a region of each picture, the category its first distortion's
    class ("pristine" for an untouched region), the rest in `attributes`; `questions_<split>.json`: the rows
    by picture. Rows without regions or without a picture have no annotation.
    """

    def __init__(self, folder: ExportFolder) -> None:
        self._folder = folder
        self._splits: dict[str, _Split] = {}
        classes = dict.fromkeys(entry.category for entry in catalog())
        names = ["pristine", *classes]
        self._categories = {name: number for number, name in enumerate(names, 1)}

    def add(self, row: Row, pictures: list[bytes]) -> None:
        images = [self._folder.picture(data) for data in pictures]
        split = self._splits.setdefault(row.split, _Split())
        numbers = [split.image(row, place, data) for place, data in zip(images, pictures, strict=True)]
        annotations = {}
        if numbers:
            for region in row.regions:
                annotations[region.region_id] = split.region(numbers[0], region, self._categories)
        targets = [annotations[name] for name in row.target_region_ids if name in annotations]
        split.questions.append(
            {
                "row_id": row.id,
                "task": row.task,
                "image_ids": numbers,
                "messages": [turn.model_dump() for turn in row.messages],
                "target_annotation_ids": targets,
                "whole_image": row.whole_image,
            }
        )

    def close(self) -> None:
        listed = [{"id": number, "name": name} for name, number in self._categories.items()]
        for name, split in sorted(self._splits.items()):
            self._folder.json(
                f"instances_{name}.json",
                {
                    "info": {"description": "IQA-Spider, distortions by region", "version": "1"},
                    "licenses": [{"id": number, "name": one} for one, number in split.licenses.items()],
                    "images": split.images,
                    "categories": listed,
                    "annotations": split.annotations,
                },
            )
            self._folder.json(f"questions_{name}.json", split.questions)


class _Split:
    """What one split's files will hold; pictures and regions are numbered as they come, equal ones alike."""

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.questions: list[dict[str, Any]] = []
        self.licenses: dict[str, int] = {}
        self._images: dict[str, int] = {}
        self._regions: dict[tuple[int, str], int] = {}

    def image(self, row: Row, place: str, data: bytes) -> int:
        if place not in self._images:
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            if picture is None:
                raise InputError(f"row {row.id}: a picture can't be decoded; see `iqa-spider verify`")
            number = self._images[place] = len(self._images) + 1
            known = row.source_image.license if row.source_image else None
            license = self.licenses.setdefault(known or "not stated", len(self.licenses) + 1)
            height, width = picture.shape[:2]
            self.images.append(
                {"id": number, "file_name": place, "width": width, "height": height, "license": license}
            )
        return self._images[place]

    def region(self, image: int, region: Region, categories: dict[str, int]) -> int:
        key = (image, region.region_id)
        if key not in self._regions:
            number = self._regions[key] = len(self._regions) + 1
            first = region.distortions[0].category if region.distortions else "pristine"
            self.annotations.append(
                {
                    "id": number,
                    "image_id": image,
                    "category_id": categories[first],
                    "segmentation": region.mask.model_dump(),
                    "area": region.area,
                    "bbox": region.bbox,
                    "iscrowd": 0,
                    "attributes": {
                        "region_id": region.region_id,
                        "label": region.label,
                        "position": region.position,
                        "strength": region.strength,
                        "distortions": [one.model_dump() for one in region.distortions],
                    },
                }
            )
        return self._regions[key]
