"""Checks of published rows: each against its pictures, masks, catalog, recipe and text, then together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from annotation.qa import check_row
from distortions import catalog
from flows.dataset.merged_row_checks import ExternalChecks
from schemas import masks
from schemas.arrow import row_digest, row_from_arrow
from schemas.config import LicensesConfig
from schemas.dataset import KeptOut, first_problem
from schemas.errors import SampleError
from schemas.foreign_text import escape_hidden
from schemas.pictures import load_png, pixel_hash
from schemas.records import OWN_SOURCE, Region, Row

_MAX_MISSING = 20
Layers = dict[str | None, tuple[Any, list[list[Any]]]]
"""Region id (None: the whole picture) to [mask size, mask counts] and [name, level] in order."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: its kind (a stable slug), where, and what."""

    kind: str
    place: str
    what: str

    def __str__(self) -> str:
        return escape_hidden(f"{self.kind}: {self.place}: {self.what}")


class RowChecks:
    """Checks rows one by one and gathers what only all of them tell: digests, counts, splits of the sources.

    `recipes` are the rows of recipes.parquet by row id, `config` the manifest's configuration and `kept_out`
    its list of evaluation pictures. `rows` counts all rows seen, `digests` those that could be read.
    """

    def __init__(
        self,
        recipes: Mapping[str, Mapping[str, str]],
        config: Mapping[str, Any],
        kept_out: Sequence[KeptOut] = (),
    ) -> None:
        self.rows = 0
        self.digests: dict[str, str] = {}
        self.tasks: Counter[str] = Counter()
        self.splits: Counter[str] = Counter()
        self._recipes = recipes
        self._seen: set[str] = set()
        self._split_of_source: dict[str, tuple[str, str]] = {}
        self._categories = {entry.name: entry.category for entry in catalog()}
        regions = config.get("regions")
        self._external = ExternalChecks(self._categories, _licenses(config), kept_out)
        quadrants = isinstance(regions, dict) and regions.get("position_grid") == "quadrants"
        self._grid: masks.PositionGrid = "quadrants" if quadrants else "thirds"

    def check(self, values: dict[str, Any], file: str, split: str) -> Iterator[Fault]:
        """The faults of a row as `raw_rows` gives it with pictures, from a file of `split`."""
        self.rows += 1
        place = f"{file}: row {values['id']}"
        if values["id"] in self._seen:
            yield Fault("repeated-id", place, "another row has this id")
        self._seen.add(values["id"])
        try:
            row = row_from_arrow(values)
        except ValidationError as error:
            yield Fault("invalid-row", place, first_problem(error))
            return
        self.tasks[row.task] += 1
        self.splits[row.split] += 1
        pictures: list[NDArray[np.uint8]] = []
        told = row.external
        text_only = told is not None and not told.images and not values["images"]
        for number, image in enumerate([] if text_only else values["images"] or [None]):
            try:
                pictures.append(load_png(image["bytes"] if image and image["bytes"] else b""))
            except (SampleError, ValueError) as error:
                yield Fault("broken-picture", place, f"image {number}: {error}")
        hashes = [pixel_hash(picture) for picture in pictures]
        self.digests[row.id] = row_digest(row, hashes)
        if row.split != split:
            yield Fault("wrong-split", place, f"split {row.split!r} in a file of split {split!r}")
        yield from self._check_source(row, place)
        yield from self._check_truth(row, place, pictures[0].shape[:2] if pictures else None)
        if row.external is not None:
            for kind, what in self._external.check(row, hashes):
                yield Fault(kind, place, what)
        elif row.source != OWN_SOURCE:
            yield Fault("unknown-source", place, f"the source is {row.source!r}, nothing tells where from")
        if row.provenance is not None:
            yield from self._check_recipe(row, place, hashes)

    def check_together(self) -> Iterator[Fault]:
        """What all rows are needed for: the rows that recipes.parquet lists and no file holds."""
        lost = [row_id for row_id in self._recipes if row_id not in self._seen]
        for row_id in lost[:_MAX_MISSING]:
            yield Fault("missing-row", f"data: row {row_id}", "recipes.parquet lists it, no file holds it")
        if len(lost) > _MAX_MISSING:
            yield Fault("missing-row", "data", f"{len(lost) - _MAX_MISSING} more rows are missing")

    def _check_source(self, row: Row, place: str) -> Iterator[Fault]:
        source = row.source_image
        if source is None:
            return
        if source.id != source.sha256[:16]:
            yield Fault("wrong-source", place, f"source id {source.id!r} is not the start of its SHA-256")
        split, first = self._split_of_source.setdefault(source.sha256, (row.split, row.id))
        if split != row.split:
            what = f"source image {source.id} is in the splits {split} (row {first}) and {row.split}"
            yield Fault("split-leak", place, what)

    def _check_truth(self, row: Row, place: str, size: tuple[int, ...] | None) -> Iterator[Fault]:
        """Regions against masks, picture and catalog; targets; the text against regions that hold."""
        holds = True
        for region in row.regions:
            for kind, what in self._check_region(region, size):
                holds = False
                yield Fault(kind, f"{place}: region {region.region_id}", what)
        for kind, what in _check_targets(row):
            yield Fault(kind, place, what)
        if holds:
            for failure in check_row(row):
                yield Fault("wrong-answer", place, f"{failure.name}: {failure.reason}")

    def _check_region(self, region: Region, size: tuple[int, ...] | None) -> Iterator[tuple[str, str]]:
        """A mask against area, box, position and picture; distortions against the catalog."""
        if size is not None and tuple(region.mask.size) != size:
            yield "mask-size", f"mask of {region.mask.size}, picture of {list(size)}"
            return
        try:
            mask = masks.decode(region.mask)
        except ValueError as error:
            yield "broken-mask", str(error)
            return
        area = int(np.count_nonzero(mask))
        if area != region.area:
            yield "wrong-area", f"area {region.area}, the mask has {area} pixels"
        if area == 0:
            return
        box = masks.bounding_box(mask)
        if box != region.bbox:
            yield "wrong-bbox", f"bbox {region.bbox}, the mask's is {box}"
        position = masks.position(mask, self._grid)
        if position != region.position:
            yield "wrong-position", f"position {region.position!r}, the mask's is {position!r}"
        for distortion in region.distortions:
            category = self._categories.get(distortion.name)
            if category is None:
                yield "unknown-distortion", f"{distortion.name!r} is not in the catalog"
            elif category != distortion.category:
                yield "wrong-category", f"{distortion.name} is of class {category}, not {distortion.category}"
        if [d.order for d in region.distortions] != list(range(1, len(region.distortions) + 1)):
            yield "wrong-order", "orders of distortions are not 1, 2, ..."

    def _check_recipe(self, row: Row, place: str, hashes: list[str]) -> Iterator[Fault]:
        """A row against how its picture was made, which recipes.parquet tells."""
        told = self._recipes.get(row.id)
        if told is None:
            yield Fault("missing-recipe", place, "recipes.parquet doesn't list this row")
            return
        if hashes and hashes != [told["picture_sha256"]]:
            yield Fault("wrong-picture", place, "its pixels are not those in recipes.parquet")
        if row.source_image is not None and row.source_image.sha256 != told["source_sha256"]:
            yield Fault("wrong-source", place, "its source is not the one in recipes.parquet")
        try:
            layers = _layers(told["recipe"])
        except (ValueError, KeyError, TypeError, RecursionError):
            yield Fault("broken-recipe", place, "its recipe in recipes.parquet can't be read")
            return
        for region in row.regions:
            mask, ops = layers.get(region.region_id) or layers.get(None) or (None, [])
            injected = [[d.name, d.level] for d in region.distortions]
            if injected != ops:
                what = f"its distortions are {injected}, the recipe injected {ops}"
                yield Fault("wrong-distortions", f"{place}: region {region.region_id}", what)
            if None not in layers and ops and mask != [region.mask.size, region.mask.counts]:
                what = "its mask is not the one that the recipe injected through"
                yield Fault("wrong-mask", f"{place}: region {region.region_id}", what)


def _licenses(config: Mapping[str, Any]) -> LicensesConfig:
    """The licenses that a manifest's configuration allows; all when it doesn't say in a way that is read."""
    merge = config.get("merge")
    try:
        return LicensesConfig.model_validate(merge.get("licenses", {}) if isinstance(merge, dict) else {})
    except ValidationError:
        return LicensesConfig()


def _layers(recipe: str) -> Layers:
    """What a recipe injected where. Raises ValueError, KeyError or TypeError for one that isn't a recipe."""
    return {
        layer["region_id"]: (
            [layer["mask"]["size"], layer["mask"]["counts"]],
            [[op["name"], op["level"]] for op in layer["ops"]],
        )
        for layer in json.loads(recipe)["layers"]
    }


def _check_targets(row: Row) -> Iterator[tuple[str, str]]:
    known = [region.region_id for region in row.regions]
    if len(set(known)) != len(known):
        yield "repeated-region", "two regions have the same id"
    for target in row.target_region_ids:
        if target not in known:
            yield "unknown-target", f"target {target!r} is not a region of this row"
    if row.whole_image and row.target_region_ids:
        yield "unknown-target", "a row about the whole image has target regions"
