"""The rows of a run, encoded, without end, each with its place, so that training goes on at the next row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from schemas.arrow import TEXT_COLUMNS
from schemas.errors import InputError
from schemas.store import write_atomically
from training.row_stream import Choice, RowStream
from training.sft.encode_rows import Marks, UnfitRow, collated, encoded
from training.sft.train_config import DataConfig

COLUMNS = ("id", "task", "source", "messages")


@dataclass
class Place:
    """Where a process's readers are, (epoch, rows taken) each, whose turn is next, what was left out."""

    readers: list[tuple[int, int]]
    turn: int = 0
    unfit: dict[str, int] = field(default_factory=dict)

    def follow(self, reader: int, epoch: int, taken: int, unfit: dict[str, int]) -> None:
        """A batch of this reader was trained on."""
        self.readers[reader] = (epoch, taken)
        self.turn = (reader + 1) % len(self.readers)
        self.unfit = dict(Counter(self.unfit) + Counter(unfit))

    def save(self, path: Path) -> None:
        """Write it at once or not at all."""
        write_atomically(path, json.dumps(asdict(self)).encode(), path.parent)


def saved_place(path: Path, readers: int) -> Place:
    """Read a place. Raises InputError when it isn't there or is of another number of readers."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        place = Place([(int(epoch), int(taken)) for epoch, taken in found["readers"]])
        place.turn, place.unfit = int(found["turn"]), dict(found["unfit"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"{path}: can't be read ({type(error).__name__}), so training can't go on"
        raise InputError(f"{what}; remove that checkpoint to go on from the one before") from error
    if len(place.readers) != readers:
        was = len(place.readers)
        raise InputError(
            f"{path}: saved with {was} readers a process, now {readers}; set data.workers to go on"
        )
    return place


def reader_of(
    data: DataConfig, split: str, seed: int, number: int, of: int, columns: Collection[str] = COLUMNS
) -> RowStream:
    """One of `of` readers that share a split's rows."""
    choice = Choice(
        split=split, seed=seed, pictures="pil", columns=tuple(c for c in TEXT_COLUMNS if c in columns),
        tasks=None if data.tasks is None else tuple(data.tasks),
        sources=None if data.sources is None else tuple(data.sources),
        mixture=data.mixture.mixture(), buffer_rows=data.buffer_rows, buffer_bytes=128_000_000,
        drop_uneven=False,
    )  # fmt: skip
    return RowStream(data.dataset.resolve(), choice, number, of)


Change = Callable[[dict[str, Any]], dict[str, Any]]
"""What is made of a row before it is encoded; raises UnfitRow for a row to leave out."""


def unchanged(row: dict[str, Any]) -> dict[str, Any]:
    """The row as it was published."""
    return row


class Feed(IterableDataset[dict[str, Any]]):
    """Encoded rows, epoch after epoch; each says its reader, epoch, place and the rows left out before it.

    `change` is applied to each row, which then has all its columns, before it is encoded.

    Every worker of every process is a reader with rows of its own. A loader takes batches from its workers in
    turn, starting with the first: to go on with another reader's turn, workers take the readers' parts in
    that order.
    """

    def __init__(
        self, data: DataConfig, seed: int, processor: Any, marks: Marks, max_tokens: int,
        rank: int, world_size: int, place: Place, change: Change = unchanged,
    ) -> None:  # fmt: skip
        super().__init__()
        self._change = change
        self._data, self._seed, self._processor = data, seed, processor
        self._marks, self._max_tokens = marks, max_tokens
        self._rank, self._world_size, self._place = rank, world_size, place

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        readers = len(self._place.readers)
        own = ((0 if info is None else info.id) + self._place.turn) % readers
        epoch, taken = self._place.readers[own]
        rows = reader_of(
            self._data, self._data.split, self._seed, self._rank * readers + own, self._world_size * readers,
            COLUMNS if self._change is unchanged else TEXT_COLUMNS,
        )  # fmt: skip
        rows.set_epoch(epoch)
        rows.load_state_dict({**rows.state_dict(), "taken": taken})
        unfit: Counter[str] = Counter()
        last = "it has none"
        came = taken > 0
        while True:
            for row in rows:
                taken += 1
                try:
                    example = encoded(self._change(row), self._processor, self._marks, self._max_tokens)
                except UnfitRow as error:
                    unfit[error.reason] += 1
                    last = str(error)
                    continue
                came = True
                yield {**example, "place": (own, epoch, taken, dict(unfit))}
                unfit.clear()
            if not came:
                counts = ", ".join(f"{count} {reason}" for reason, count in unfit.items()) or "no rows"
                what = f"{self._data.dataset}: no row of reader {own} can be trained on"
                raise InputError(f"{what}: {counts}, the last: {last:.300}")
            epoch, taken, came = epoch + 1, 0, False
            rows.set_epoch(epoch)


class Collate:
    """Makes batches that carry the place of their last row and all that was left out before it."""

    def __init__(self, pad: int) -> None:
        self._pad = pad

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        batch = collated([{k: v for k, v in e.items() if k != "place"} for e in examples], self._pad)
        if "place" in examples[-1]:
            unfit: Counter[str] = Counter()
            for example in examples:
                unfit.update(example["place"][3])
            batch["place"] = (*examples[-1]["place"][:3], dict(unfit))
        return batch


def train_loader(feed: Feed, batch: int, workers: int, pad: int) -> DataLoader[dict[str, Any]]:
    """Batches of a feed; `workers` processes encode them, or none."""
    return DataLoader(feed, batch_size=batch, num_workers=workers, collate_fn=Collate(pad), drop_last=True)


class EvalRows(IterableDataset[dict[str, Any]]):
    """The first `eval_rows` rows of the evaluation split that fit, as many on every process.

    Making one reads those rows once to see which fit; `unfit` says how many don't, by reason.
    """

    def __init__(
        self, data: DataConfig, split: str, processor: Any, marks: Marks, max_tokens: int, rank: int, of: int
    ) -> None:
        super().__init__()
        self._data = data.model_copy(update={"mixture": type(data.mixture)(), "workers": 0})
        self._split, self._processor, self._marks, self._max_tokens = split, processor, marks, max_tokens
        self._rank, self._of = rank, of
        self._fits: list[bool] = []
        self.unfit: Counter[str] = Counter()
        for row in reader_of(self._data, split, 0, 0, 1):
            if sum(self._fits) == data.eval_rows:
                break
            try:
                encoded(row, processor, marks, max_tokens)
            except UnfitRow as error:
                self.unfit[error.reason] += 1
                self._fits.append(False)
            else:
                self._fits.append(True)

    @property
    def rows(self) -> int:
        """How many rows each process sees."""
        return sum(self._fits) // self._of

    def __iter__(self) -> Iterator[dict[str, Any]]:
        fitting = 0
        for row, fits in zip(reader_of(self._data, self._split, 0, 0, 1), self._fits, strict=False):
            if fits and fitting == self.rows * self._of:
                return
            if fits and fitting % self._of == self._rank:
                yield encoded(row, self._processor, self._marks, self._max_tokens)
            fitting += fits
