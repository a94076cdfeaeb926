"""Verify: a dataset held against its manifest, its files against their hashes, its rows against their own claims."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from annotation.qa import check_row
from distortions import catalog
from flows.progress import Progress
from schemas import masks
from schemas.arrow import ROW_SCHEMA, dataset_digest, row_digest, row_from_arrow
from schemas.dataset import MANIFEST, DatasetManifest, data_files, load_manifest, raw_rows
from schemas.errors import InputError, SampleError
from schemas.pictures import load_png, pixel_hash
from schemas.records import Region, Row
from schemas.shards import file_digest




@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: its kind (a stable slug), where, and what."""

    kind: str
    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.place}: {self.what}"


def verify(folder: Path) -> list[Fault]:
    """Every fault of a dataset, in the order found. Raises InputError when the folder is no dataset at all."""
    manifest = load_manifest(folder)
    faults = list(_check_files(folder, manifest))
    return faults + _check_rows(folder, manifest)


def _check_files(folder: Path, manifest: DatasetManifest) -> Iterator[Fault]:
    """Missing, added and changed files."""
    root = folder.resolve()
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.resolve().is_relative_to(root):
            yield Fault("outside-path", name, "the manifest names a file outside the dataset")
        elif not path.is_file():
            yield Fault("missing-file", name, "the manifest names this file, the folder lacks it")
        elif file_digest(path) != (entry.sha256, entry.bytes):
            yield Fault("changed-file", name, "its bytes are not those of the manifest (SHA-256)")
    for path in sorted((folder / "data").glob("*")):
        if f"data/{path.name}" not in manifest.files:
            yield Fault("added-file", f"data/{path.name}", "the manifest doesn't name this file")


class _Rows:
    """What checking all rows gathers: digests, counts, and the splits of each source picture."""

    def __init__(self, manifest: DatasetManifest) -> None:
        self.manifest = manifest
        self.digests: dict[str, str] = {}
        self.tasks: Counter[str] = Counter()
        self.splits: Counter[str] = Counter()
        self.split_of_source: dict[str, str] = {}
        self.known = {entry.name: entry.category for entry in catalog()}


def _check_rows(folder: Path, manifest: DatasetManifest) -> list[Fault]:
    faults: list[Fault] = []
    state = _Rows(manifest)
    root = folder.resolve()
    entries = {name: entry for name, entry in sorted(manifest.files.items()) if entry.split is not None}
    progress = Progress("verify", len(entries), 0)
    for name, entry in entries.items():
        path = folder / name
        if path.resolve().is_relative_to(root) and path.is_file():
            faults += _check_shard(path, name, entry.split or "", entry.rows, state)
        progress.step()
    progress.close()
    faults += _check_totals(folder, state)
    return faults


def _check_shard(path: Path, name: str, split: str, rows: int | None, state: _Rows) -> list[Fault]:
    faults: list[Fault] = []
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            described = (schema.metadata or {}).get(b"huggingface") == ROW_SCHEMA.metadata[b"huggingface"]
            if not (schema.equals(ROW_SCHEMA) and described):
                return [Fault("wrong-schema", name, "its columns or their metadata are not those of a row")]
            found = file.metadata.num_rows
        if found != rows:
            faults.append(Fault("row-count", name, f"{found} rows, the manifest says {rows}"))
        for values in raw_rows(path, pictures=True):
            faults += _check_values(values, name, split, state)
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        faults.append(Fault("unreadable-file", name, first))
    return faults


def _check_values(values: dict[str, Any], name: str, split: str, state: _Rows) -> list[Fault]:
    place = f"{name}: row {values.get('id')}"
    try:
        row = row_from_arrow(values)
    except ValidationError as error:
        first = error.errors()[0]
        return [Fault("invalid-row", place, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")]
    faults: list[Fault] = []
    pictures: list[np.ndarray[Any, np.dtype[np.uint8]]] = []
    for number, image in enumerate(values["images"] or []):
        try:
            pictures.append(load_png(image["bytes"]))
        except (SampleError, ValueError, TypeError) as error:
            faults.append(Fault("broken-picture", place, f"image {number}: {error}"))
    if row.id in state.digests:
        faults.append(Fault("repeated-id", place, "another row has this id"))
    state.digests[row.id] = row_digest(row, [pixel_hash(picture) for picture in pictures])
    state.tasks[row.task] += 1
    state.splits[row.split] += 1
    if row.split != split:
        faults.append(Fault("wrong-split", place, f"split {row.split!r} in a file of split {split!r}"))
    if row.source_image is not None:
        first_split = state.split_of_source.setdefault(row.source_image.sha256, row.split)
        if first_split != row.split:
            what = f"source image {row.source_image.id} is in the splits {first_split} and {row.split}"
            faults.append(Fault("split-leak", place, what))
    size = pictures[0].shape[:2] if pictures else None
    regions_hold = True
    for region in row.regions:
        problems = list(_check_region(region, size, state))
        regions_hold = regions_hold and not problems
        faults += [Fault(kind, f"{place}: region {region.region_id}", what) for kind, what in problems]
    faults += [Fault(kind, place, what) for kind, what in _check_targets(row)]
    if regions_hold:
        faults += [Fault("wrong-answer", place, f"{f.name}: {f.reason}") for f in check_row(row)]
    return faults


def _check_region(region: Region, size: tuple[int, ...] | None, state: _Rows) -> Iterator[tuple[str, str]]:
    """A region's mask against its area, bounding box, position and picture; its distortions against the catalogue."""
    try:
        mask = masks.decode(region.mask)
    except ValueError as error:
        yield "broken-mask", str(error)
        return
    if size is not None and tuple(region.mask.size) != size:
        yield "mask-size", f"mask of {region.mask.size}, picture of {list(size)}"
    area = int(np.count_nonzero(mask))
    if area != region.area:
        yield "wrong-area", f"area {region.area}, the mask has {area} pixels"
    if area == 0:
        return
    box = masks.bounding_box(mask)
    if box != region.bbox:
        yield "wrong-bbox", f"bbox {region.bbox}, the mask's is {box}"
    grid = state.manifest.config["regions"]["position_grid"]
    place = masks.position(mask, grid)
    if place != region.position:
        yield "wrong-position", f"position {region.position!r}, the mask's is {place!r}"
    for distortion in region.distortions:
        category = state.known.get(distortion.name)
        if category is None:
            yield "unknown-distortion", f"{distortion.name!r} is not in the catalogue"
        elif category != distortion.category:
            yield "wrong-category", f"{distortion.name} is of class {category}, not {distortion.category}"
    if [d.order for d in region.distortions] != list(range(1, len(region.distortions) + 1)):
        yield "wrong-order", "orders of distortions are not 1, 2, ..."


def _check_targets(row: Row) -> Iterator[tuple[str, str]]:
    known = [region.region_id for region in row.regions]
    if len(set(known)) != len(known):
        yield "repeated-region", "two regions have the same id"
    for target in row.target_region_ids:
        if target not in known:
            yield "unknown-target", f"target {target!r} is no region of this row"
    if row.whole_image and row.target_region_ids:
        yield "unknown-target", "a row about the whole image has target regions"


def _check_totals(folder: Path, state: _Rows) -> Iterator[Fault]:
    manifest = state.manifest
    if len(state.digests) != manifest.rows:
        lost = sorted(set(_listed_ids(folder)) - state.digests.keys())
        named = f"; missing: {', '.join(lost[:5])}" if lost else ""
        what = f"{len(state.digests)} rows, the manifest says {manifest.rows}{named}"
        yield Fault("row-count", "data", what)
    found = dataset_digest(state.digests)
    if found != manifest.digest:
        yield Fault("wrong-digest", "data", f"the rows' digest is {found[:16]}..., the manifest's {manifest.digest[:16]}...")
    for what, counted, told in (("tasks", state.tasks, manifest.tasks), ("splits", state.splits, manifest.splits)):
        if +counted != +Counter(told):
            yield Fault("wrong-counts", MANIFEST, f"{what} are {dict(counted)}, the manifest says {told}")


def _listed_ids(folder: Path) -> list[str]:
    try:
        return [str(name) for name in pq.read_table(folder / "recipes.parquet", columns=["id"])["id"].to_pylist()]
    except (pa.ArrowException, OSError):
        return []


def computed_digest(folder: Path) -> str:
    """The dataset's digest from its rows and pixels. Raises InputError for a row or picture that can't be read."""
    digests: dict[str, str] = {}
    for path in data_files(folder):
        try:
            for values in raw_rows(path, pictures=True):
                row = row_from_arrow(values)
                hashes = [pixel_hash(load_png(image["bytes"])) for image in values["images"]]
                digests[row.id] = row_digest(row, hashes)
        except (pa.ArrowException, OSError, ValueError, SampleError) as error:
            first = str(error).splitlines()[0]
            raise InputError(f"{path}: can't be read: {first}; `iqa-spider verify` says more") from error
    return dataset_digest(digests)


def print_verification(folder: Path, as_json: bool) -> int:
    """Print the faults, a line each, and return the exit code."""
    manifest = load_manifest(folder)
    faults = verify(folder)
    for fault in faults:
        print(fault)
    if not faults:
        print(f"ok: {manifest.rows} rows in {len(manifest.files)} files, digest {manifest.digest}")
    if as_json:
        listed = [{"kind": fault.kind, "place": fault.place, "what": fault.what} for fault in faults]
        print(json.dumps({"ok": not faults, "rows": manifest.rows, "digest": manifest.digest, "faults": listed}))
    return 1 if faults else 0
