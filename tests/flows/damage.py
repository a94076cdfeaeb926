"""Damage for datasets: a copy to change, rows to rewrite, a manifest mended so that only deep checks see."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.arrow import ROW_SCHEMA, dataset_digest, row_digest, row_from_arrow
from schemas.dataset import MANIFEST, RECIPE_SCHEMA
from schemas.errors import SampleError
from schemas.pictures import load_png, pixel_hash
from schemas.shards import file_digest

Values = dict[str, Any]


def copy_dataset(source: Path, target: Path) -> Path:
    """A copy whose files can be changed (those of a dataset are read-only links into its store)."""
    shutil.copytree(source, target)
    for path in target.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    return target


def shards(folder: Path) -> list[Path]:
    return sorted((folder / "data").glob("*.parquet"))


def read(path: Path) -> list[Values]:
    rows: list[Values] = pq.read_table(path).to_pylist()
    return rows


def all_rows(folder: Path) -> list[Values]:
    return [values for path in shards(folder) for values in read(path)]


def write(path: Path, rows: list[Values]) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), path)


def edit_row(folder: Path, row_id: str, change: Callable[[Values], None]) -> None:
    """Change one row in place, wherever it lies."""
    for path in shards(folder):
        rows = read(path)
        for values in rows:
            if values["id"] == row_id:
                change(values)
                write(path, rows)
                return
    raise LookupError(row_id)


def drop_row(folder: Path, row_id: str) -> None:
    for path in shards(folder):
        rows = read(path)
        if any(values["id"] == row_id for values in rows):
            write(path, [values for values in rows if values["id"] != row_id])
            return
    raise LookupError(row_id)


def edit_manifest(folder: Path, change: Callable[[Values], None]) -> None:
    path = folder / MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    change(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")


def edit_recipes(folder: Path, change: Callable[[list[Values]], list[Values]]) -> None:
    path = folder / "recipes.parquet"
    pq.write_table(pa.Table.from_pylist(change(read(path)), schema=RECIPE_SCHEMA), path)


def mend(folder: Path, totals: bool = True) -> None:
    """Make every hash, size and row count in the manifest right; with `totals` digest and counts, too."""

    def change(manifest: Values) -> None:
        for name, entry in manifest["files"].items():
            path = folder / name
            if path.is_file():
                entry["sha256"], entry["bytes"] = file_digest(path)
                if name.endswith(".parquet"):
                    entry["rows"] = pq.read_metadata(path).num_rows
        if not totals:
            return
        rows = all_rows(folder)
        manifest["rows"] = len(rows)
        for key, what in (("tasks", "task"), ("splits", "split")):
            manifest[key] = {}
            for values in rows:
                manifest[key][values[what]] = manifest[key].get(values[what], 0) + 1
        manifest["digest"] = dataset_digest({values["id"]: _digest(values) for values in rows})

    edit_manifest(folder, change)


def _digest(values: Values) -> str:
    hashes = []
    for image in values["images"]:
        try:
            hashes.append(pixel_hash(load_png(image["bytes"] or b"")))
        except SampleError:
            continue
    return row_digest(row_from_arrow(values), hashes)


def first(rows: list[Values], task: str, fits: Callable[[Values], bool] = lambda values: True) -> Values:
    """The first row of a task by id, without its pictures."""
    found = [values for values in rows if values["task"] == task and fits(values)]
    assert found, f"the tiny dataset has no such row of {task}"
    return min(found, key=lambda values: str(values["id"]))


def region(values: Values) -> Values:
    """The first target region of a row."""
    wanted = values["target_region_ids"]
    picked: Values = next(r for r in values["regions"] if r["region_id"] in wanted)
    return picked
