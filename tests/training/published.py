"""Dataset folders for tests of reading: small pictures, several files, several sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from schemas.dataset import DATASET_FORMAT, MANIFEST, DatasetManifest, FileEntry, RowWriter
from schemas.pictures import encode
from schemas.records import TASKS, Row
from schemas.shards import file_digest
from tests.schemas import rows as make

Entry = tuple[Row, list[bytes]]


def picture(number: int) -> bytes:
    """A noise picture, different for each number."""
    return encode(np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8))


def entries(count: int, rows_per_picture: int = 3) -> list[Entry]:
    """Rows that cycle through the tasks, every fifth from another source; number 7 has two pictures, number 8
    none.
    """
    made: list[Entry] = []
    for number in range(count):
        row = make.row(f"row-{number:04d}").model_copy(
            update={
                "task": TASKS[number % len(TASKS)],
                "source": "q-instruct" if number % 5 == 4 else "iqa-spider",
            }
        )
        pictures = [picture(number // rows_per_picture)]
        if number == 7:
            pictures.append(picture(10_000))
        made.append((row, [] if number == 8 else pictures))
    return made


def publish(
    folder: Path, rows: Sequence[Entry], files: int = 2, rows_per_group: int = 8, split: str = "train"
) -> Path:
    """A dataset folder of these rows in one split, in `files` Parquet files; no card, recipes or report."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    listed = {}
    for number in range(files):
        name = f"data/{split}-{number:05d}-of-{files:05d}.parquet"
        writer = RowWriter(folder / name, rows_per_group, 10**9)
        for row, pictures in rows[len(rows) * number // files : len(rows) * (number + 1) // files]:
            writer.add(row, pictures)
        writer.close()
        sha256, size = file_digest(folder / name)
        listed[name] = FileEntry(sha256=sha256, bytes=size, rows=writer.rows, split=split)
    words = dict.fromkeys(("name", "digest", "key", "config_hash", "code_version", "created"), "")
    numbers = dict.fromkeys(("quarantined", "seed"), 0)
    tables = {name: {} for name in ("tasks", "splits", "config", "versions", "shards", "seconds")}
    manifest = DatasetManifest.model_validate(
        {"format": DATASET_FORMAT, "rows": len(rows), **words, **numbers, **tables, "files": listed}
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(), encoding="utf-8")
    return folder
