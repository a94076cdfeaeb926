"""`recipes pack`: every row of a dataset and the recipe of each picture, in one file."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from flows.dataset.recipes.sample import sample
from schemas.arrow import TEXT_COLUMNS, row_from_arrow
from schemas.dataset import data_files, load_manifest, read_quarantine, read_recipes
from schemas.errors import InputError, SampleError
from schemas.meter import SILENT, Progress
from schemas.packs import PackedPicture, PackedRow, PackHead, PackWriter
from schemas.pictures import load_png, pixel_hash
from schemas.records import Row
from schemas.row_group_reader import GroupReader, row_groups
from schemas.store import wrap_disk_errors

Recipes = dict[str, dict[str, str]]


def pack(dataset: Path, output: Path, progress: Progress = SILENT) -> int:
    """Write the pack of a dataset, by one rename, and return how many rows it has.

    Raises InputError when the dataset can't be read, or a picture isn't the one in its recipe.
    """
    folder = dataset.resolve()
    head = PackHead(load_manifest(folder), read_quarantine(folder / "quarantine.parquet"))
    recipes = {entry["id"]: entry for entry in read_recipes(folder / "recipes.parquet")}
    temporary = output.with_name(f".{output.name}.unfinished")
    rows = 0
    with wrap_disk_errors(output.parent):
        writer = PackWriter(temporary, head)
        try:
            with closing(_packed(folder, recipes, progress)) as packed_rows:
                for packed in packed_rows:
                    writer.add(packed)
                    rows += 1
            writer.close()
            temporary.replace(output)
        except BaseException:
            writer.abandon()
            raise
    return rows


def _packed(folder: Path, recipes: Recipes, progress: Progress) -> Generator[PackedRow]:
    reader = GroupReader()
    files = data_files(folder)
    with progress("pack", len(files), done="packed") as meter:
        for path in files:
            for group in row_groups(path):
                found = reader.read(group, range(group.rows), TEXT_COLUMNS, pictures=True)
                looks = [_look(path, data) for data in found.pictures]
                for values, places in zip(found.texts, found.places, strict=True):
                    row = row_from_arrow(values)
                    told = recipes.get(row.id)
                    pictures = [
                        _picture(path, row, number, told, *looks[place])
                        for number, place in enumerate(places)
                    ]
                    name = path.relative_to(folder).as_posix()
                    yield PackedRow(row, name, told["sample_id"] if told else None, pictures)
            meter.step()
    reader.close()


def _look(path: Path, data: bytes) -> tuple[str, bytes]:
    try:
        rgb = load_png(data)
    except SampleError as error:
        raise InputError(f"{path}: a picture is broken: {error}; see `iqa-spider verify`") from error
    return pixel_hash(rgb), sample(rgb)


def _picture(
    path: Path, row: Row, number: int, told: dict[str, str] | None, pixels: str, kept: bytes
) -> PackedPicture:
    """Where a row's picture comes from: its recipe, or the file that another dataset brought it in."""
    if told is not None:
        if pixels != told["picture_sha256"]:
            what = f"the picture of row {row.id} is not the one in recipes.parquet"
            raise InputError(f"{path}: {what}; see `iqa-spider verify`")
        name, uri, sha256 = told["sample_id"], told["source_uri"], told["source_sha256"]
        return PackedPicture(name, pixels, sha256, uri, told["recipe"], kept)
    if row.external is not None:
        shown = row.external.images[number]
        return PackedPicture(shown.sha256, pixels, shown.sha256, shown.uri, None, kept)
    raise InputError(f"{path}: row {row.id} has no recipe; see `iqa-spider verify`")
