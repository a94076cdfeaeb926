"""Iterates over a dataset: rows shuffled by epoch, split among ranks and workers, resumable at any row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from schemas.dataset import split_files
from schemas.errors import InputError, SampleError
from schemas.hashing import content_key
from schemas.row_group_reader import GroupReader, Labels, RowGroup, row_groups, row_labels
from training.epoch_mixture import Mixture, check_names, count_showings
from training.picture_cache import Form, PictureCache
from training.row_order import Epoch, Numbers, Window, iterate_windows, lay_out_epoch, reader_span

STATE_FORMAT = 1


@dataclass(frozen=True)
class RowChoice:
    """Which rows to read, in which form, and how far to shuffle them; the arguments of `stream`."""

    split: str
    seed: int
    pictures: Form
    columns: tuple[str, ...]
    tasks: tuple[str, ...] | None
    sources: tuple[str, ...] | None
    mixture: Mixture | None
    buffer_rows: int
    buffer_bytes: int
    drop_uneven: bool

    def deciding_values(self) -> dict[str, Any]:
        """What decides which row comes when, for the state; the form of pictures and the columns don't."""
        mixture = self.mixture and content_key(
            *[
                dict(given)
                for given in (
                    self.mixture.tasks,
                    self.mixture.sources,
                    self.mixture.task_caps,
                    self.mixture.source_caps,
                )
            ]
        )
        return {
            "split": self.split,
            "seed": self.seed,
            "tasks": self.tasks and sorted(self.tasks),
            "sources": self.sources and sorted(self.sources),
            "mixture": mixture,
            "buffer_rows": self.buffer_rows,
            "buffer_bytes": self.buffer_bytes,
            "drop_uneven": self.drop_uneven,
        }


class RowStream:
    """Iterates over the rows of one rank; see `stream`. Without PyTorch it reads its whole rank."""

    def __init__(self, folder: Path, choice: RowChoice, rank: int, world_size: int) -> None:
        self._choice, self._rank, self._world_size = choice, rank, world_size
        self._number = 0
        self._taken = 0
        self._begin = 0
        self._groups, self._files = _load_row_groups(folder, choice.split)
        paths = dict.fromkeys(group.path for group in self._groups)
        self._labels = row_labels(paths) if _needs_labels(choice) else None
        self._keep = _select_rows(choice, self._labels, folder)
        if not self.rows and world_size == 1 and not choice.drop_uneven:
            raise InputError(
                f"{folder}: tasks, sources and mixture leave no row of the split {choice.split!r}; allow more"
            )

    @property
    def epoch(self) -> int:
        """The epoch whose order the next iteration follows."""
        return self._number

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which changes the order and, with a mixture, the rows. Starts at its first row."""
        if epoch < 0:
            raise InputError(f"epoch {epoch}: give 0 or above")
        self._set_number(epoch)
        self._taken = self._begin = 0

    @property
    def rows(self) -> int:
        """How many rows this rank sees in this epoch, over all its workers."""
        start, stop = reader_span(self._whole_share(self._epoch().rows), self._rank, self._world_size, 0, 1)
        return stop - start

    def state_dict(self) -> dict[str, Any]:
        """The position of this reader, or of this worker inside a DataLoader: JSON values only."""
        return {"format": STATE_FORMAT, "epoch": self.epoch, "taken": self._taken, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume after the rows that the state counts, at the next iteration.

        Raises InputError, naming the difference, when the state is from another dataset, selection of rows,
        seed, or number of ranks or workers.
        """
        expected = {"format": STATE_FORMAT, **self._identity()}
        for name, value in expected.items():
            if state.get(name) != value:
                what = f"the state was saved with {name} {state.get(name)!r}, this stream has {value!r}"
                raise InputError(f"{what}; resume with the same value, or start an epoch with set_epoch")
        self._set_number(state["epoch"])
        self._taken = self._begin = state["taken"]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        begin, self._begin = self._begin, 0
        self._taken = begin
        worker, workers = self._worker()
        epoch = self._epoch()
        run = reader_span(self._whole_share(epoch.rows), self._rank, self._world_size, worker, workers)
        bounds = (self._choice.buffer_rows, self._choice.buffer_bytes)
        reader = GroupReader()
        try:
            passed = 0
            for window in iterate_windows(epoch, run, [group.bytes for group in self._groups], *bounds):
                skip = max(begin - passed, 0)
                passed += len(window.order)
                if skip < len(window.order):
                    for row in self._rows_of(window, skip, reader):
                        self._taken += 1
                        yield row
        finally:
            reader.close()

    def _rows_of(self, window: Window, skip: int, reader: GroupReader) -> Iterator[dict[str, Any]]:
        """The rows of a window from index `skip` of its order on; reads only what these need."""
        choice = self._choice
        ends = np.cumsum([len(piece.rows) for piece in window.pieces])
        order = window.order[skip:]
        owners = np.searchsorted(ends, order, side="right")
        within = order - np.concatenate(([0], ends[:-1]))[owners]
        read = {}
        places = {}
        for number in np.unique(owners):
            piece = window.pieces[number]
            wanted = np.sort(within[owners == number])
            group = self._groups[piece.group]
            read[number] = reader.read(
                group, piece.rows[wanted].tolist(), choice.columns, choice.pictures != "none"
            )
            places[number] = {int(row): place for place, row in enumerate(wanted)}
        left = Counter(
            (int(number), place) for number, rows in read.items() for row in rows.places for place in row
        )
        pictures = PictureCache(choice.pictures, dict(left))
        for number, row in zip(owners, within, strict=True):
            rows, place = read[number], places[number][int(row)]
            found = rows.texts[place]
            if choice.pictures != "none":
                try:
                    found["images"] = [
                        pictures.take((int(number), name), rows.pictures) for name in rows.places[place]
                    ]
                except SampleError as error:
                    group = self._groups[window.pieces[number].group]
                    what = f"a picture of row group {group.number} can't be decoded: {error}"
                    raise InputError(f"{group.path}: {what}; see `iqa-spider verify`") from error
            yield found

    def _epoch(self) -> Epoch:
        times = self._keep
        choice, number = self._choice, self.epoch
        if choice.mixture is not None and self._labels is not None and times is not None:
            times = count_showings(choice.mixture, self._labels, times, choice.seed, number)
        return lay_out_epoch([group.rows for group in self._groups], times, choice.seed, number)

    def _whole_share(self, rows: int) -> int:
        return rows - rows % self._world_size if self._choice.drop_uneven else rows

    def _identity(self) -> dict[str, Any]:
        worker, workers = self._worker()
        reader = {"rank": self._rank, "world_size": self._world_size, "worker": worker, "workers": workers}
        return {"files": self._files, **reader, **self._choice.deciding_values()}

    def _worker(self) -> tuple[int, int]:
        """The index of this reader among its rank's readers, and their number."""
        return 0, 1

    def _set_number(self, epoch: int) -> None:
        self._number = epoch


def _load_row_groups(folder: Path, split: str) -> tuple[list[RowGroup], str]:
    """The row groups of a split's files, checked against the manifest, and a hash of the files."""
    groups: list[RowGroup] = []
    hashes = []
    for path, entry in split_files(folder, split):
        found = row_groups(path)
        rows = sum(group.rows for group in found)
        if rows != entry.rows:
            raise InputError(f"{path}: {rows} rows, but the manifest lists {entry.rows}; build again")
        groups += found
        hashes.append(entry.sha256)
    if not groups:
        raise InputError(f"{folder}: the files of the split {split!r} hold no rows; build again")
    return groups, content_key(hashes)[:16]


def _needs_labels(choice: RowChoice) -> bool:
    return choice.tasks is not None or choice.sources is not None or choice.mixture is not None


def _select_rows(choice: RowChoice, labels: Labels | None, folder: Path) -> Numbers | None:
    """1 for each row that passes the filters, (rows,); None when there is no filter and no mixture."""
    if labels is None:
        return None
    tasks, sources = ({name[place] for name in labels.names} for place in (0, 1))
    try:
        check_names("task", set(choice.tasks or ()), tasks)
        check_names("source", set(choice.sources or ()), sources)
        if choice.mixture is not None:
            choice.mixture.check(tasks, sources)
    except InputError as error:
        raise InputError(f"{folder}, split {choice.split!r}: {error}") from error
    tasks = tasks if choice.tasks is None else set(choice.tasks)
    sources = sources if choice.sources is None else set(choice.sources)
    wanted = [task in tasks and source in sources for task, source in labels.names]
    return np.array(wanted, np.int64)[labels.cells]
