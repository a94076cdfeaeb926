"""An export: one pass over a dataset's rows that feeds the writer of a format."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flows.dataset.export.export_folder import new_folder
from flows.dataset.export.formats import FORMATS
from schemas.dataset import rows_with_pictures, split_files
from schemas.errors import InputError
from schemas.meter import SILENT, Progress
from schemas.records import Row


class RowSink(Protocol):
    """Takes the rows of an export one by one, those of a split after one another."""

    def add(self, row: Row, pictures: list[bytes]) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Written:
    """How many rows and different pictures an export holds."""

    rows: int
    pictures: int


def export(
    dataset: Path, form: str, out: Path, split: str | None,
    tasks: Sequence[str] = (), sources: Sequence[str] = (), progress: Progress = SILENT,
) -> Written:  # fmt: skip
    """Write a dataset to the new folder `out` in a format: a split, tasks, sources of it, or all.

    Raises InputError when `out` exists, the form or split is unknown, no row is chosen, or the dataset
    can't be read.
    """
    make = FORMATS.load(form).make
    folder = dataset.resolve()
    paths = [path for path, _ in split_files(folder, split)]
    with new_folder(out) as target:
        sink: RowSink = make(target, paths)
        rows = 0
        with closing(_rows(paths, progress)) as found:
            for row, pictures in found:
                if (tasks and row.task not in tasks) or (sources and row.source not in sources):
                    continue
                sink.add(row, pictures)
                rows += 1
        sink.close()
        if not rows and (tasks or sources):
            wanted = ", ".join((*tasks, *sources))
            raise InputError(f"{dataset}: no row is of {wanted}; `iqa-spider report` lists what there is")
    return Written(rows, target.pictures)


def _rows(paths: list[Path], progress: Progress) -> Generator[tuple[Row, list[bytes]]]:
    with progress("export", len(paths), done="read") as meter:
        for path in paths:
            yield from rows_with_pictures(path)
            meter.step()
