"""Verify: a dataset held against its manifest, files against their hashes, rows against their own claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flows.dataset.row_checks import Fault, RowChecks
from schemas.arrow import dataset_digest, row_digest, row_from_arrow
from schemas.dataset import (
    MANIFEST,
    DatasetManifest,
    FileEntry,
    data_files,
    has_row_schema,
    load_manifest,
    raw_rows,
    read_recipes,
    resolve_inside,
    row_count,
)
from schemas.errors import InputError, SampleError
from schemas.meter import SILENT, Progress
from schemas.pictures import load_png, pixel_hash
from schemas.shards import file_digest

__all__ = ["Fault", "computed_digest", "verify"]

_EXPECTED = ("README.md", "croissant.json", "quarantine.parquet", "recipes.parquet", "report.html")


def verify(folder: Path, progress: Progress = SILENT) -> list[Fault]:
    """Every fault of a dataset, in the order found. Raises InputError when the folder is not a dataset."""
    manifest = load_manifest(folder)
    faults = list(_check_files(folder, manifest))
    recipes: dict[str, dict[str, str]] = {}
    try:
        recipes = {entry["id"]: entry for entry in read_recipes(folder / "recipes.parquet")}
    except InputError as error:
        faults.append(Fault("unreadable-file", "recipes.parquet", _reason(error)))
    checks = RowChecks(recipes, manifest.config, manifest.kept_out)
    faults += _check_shards(folder, manifest, checks, progress)
    faults += checks.check_together()
    return faults + list(_check_totals(manifest, checks))


def _check_files(folder: Path, manifest: DatasetManifest) -> Iterator[Fault]:
    """Missing, added and changed files, and the row counts of those that hold no training rows."""
    for name, entry in sorted(manifest.files.items()):
        path = resolve_inside(folder, name)
        if path is None:
            yield Fault("outside-path", name, "the manifest names a file outside the dataset")
        elif not path.is_file():
            yield Fault("missing-file", name, "the manifest names this file, the folder lacks it")
        else:
            yield from _check_file(path, name, entry)
    for name in _EXPECTED:
        if name not in manifest.files:
            yield Fault("missing-file", name, "the manifest doesn't name this file of every dataset")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not (hidden or path.is_dir() or name in manifest.files or name == MANIFEST):
            yield Fault("added-file", name, "the manifest doesn't name this file")


def _check_file(path: Path, name: str, entry: FileEntry) -> Iterator[Fault]:
    try:
        same = file_digest(path) == (entry.sha256, entry.bytes)
    except OSError as error:
        yield Fault("unreadable-file", name, error.strerror or "can't be read")
        return
    if not same:
        yield Fault("changed-file", name, "its bytes are not those of the manifest (SHA-256)")
    if entry.rows is not None and entry.split is None:
        try:
            found = row_count(path)
        except InputError as error:
            yield Fault("unreadable-file", name, _reason(error))
            return
        if found != entry.rows:
            yield Fault("row-count", name, f"{found} rows, the manifest says {entry.rows}")


def _check_shards(
    folder: Path, manifest: DatasetManifest, checks: RowChecks, progress: Progress
) -> list[Fault]:
    faults: list[Fault] = []
    entries = {name: entry for name, entry in sorted(manifest.files.items()) if entry.split is not None}
    with progress("verify", len(entries), done="checked") as meter:
        for name, entry in entries.items():
            path = resolve_inside(folder, name)
            if path is not None and path.is_file():
                try:
                    faults += _check_shard(path, name, entry, checks)
                except InputError as error:
                    faults.append(Fault("unreadable-file", name, _reason(error)))
            meter.step()
    return faults


def _check_shard(path: Path, name: str, entry: FileEntry, checks: RowChecks) -> Iterator[Fault]:
    if not has_row_schema(path):
        yield Fault("wrong-schema", name, "its columns or their metadata are not those of a row")
        return
    found = row_count(path)
    if found != entry.rows:
        yield Fault("row-count", name, f"{found} rows, the manifest says {entry.rows}")
    for values in raw_rows(path, pictures=True):
        yield from checks.check(values, name, entry.split or "")


def _check_totals(manifest: DatasetManifest, checks: RowChecks) -> Iterator[Fault]:
    if checks.rows != manifest.rows:
        yield Fault("row-count", "data", f"{checks.rows} rows, the manifest says {manifest.rows}")
    found = dataset_digest(checks.digests)
    if found != manifest.digest:
        what = f"the rows' digest is {found[:16]}..., the manifest's {manifest.digest[:16]}..."
        yield Fault("wrong-digest", "data", what)
    for what, counted, told in (
        ("tasks", checks.tasks, manifest.tasks),
        ("splits", checks.splits, manifest.splits),
    ):
        if +counted != +Counter(told):
            yield Fault("wrong-counts", MANIFEST, f"{what} are {dict(counted)}, the manifest says {told}")
    entry = manifest.files.get("quarantine.parquet")
    if entry is not None and entry.rows != manifest.quarantined:
        what = f"quarantined are {manifest.quarantined}, quarantine.parquet has {entry.rows} rows"
        yield Fault("wrong-counts", MANIFEST, what)


def _reason(error: InputError) -> str:
    return str(error).partition(": ")[2].partition(";")[0]


def computed_digest(folder: Path) -> str:
    """The dataset's digest from its rows and pixels. Raises InputError for one that can't be read."""
    digests: dict[str, str] = {}
    for path in data_files(folder):
        for values in raw_rows(path, pictures=True):
            try:
                digests[str(values["id"])] = _digest_of(values)
            except (ValidationError, SampleError, ValueError, TypeError) as error:
                what = f"row {values['id']} can't be read; see `iqa-spider verify`"
                raise InputError(f"{path}: {what}") from error
    return dataset_digest(digests)


def _digest_of(values: dict[str, Any]) -> str:
    return row_digest(
        row_from_arrow(values), [pixel_hash(load_png(image["bytes"])) for image in values["images"]]
    )
