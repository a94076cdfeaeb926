"""Feeds a run with encoded rows, endlessly, each with its position, so that training can resume there."""

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
from training.row_stream import RowChoice, RowStream
from training.sft.encode_rows import ChatMarks, UnfitRow, collate, encode_row
from training.sft.train_config import DataConfig

COLUMNS = ("id", "task", "source", "messages")


@dataclass
class FeedPosition:
    """Per process: (epoch, rows taken) of each reader, whose turn is next, and rows left out by reason."""

    readers: list[tuple[int, int]]
    turn: int = 0
    unfit: dict[str, int] = field(default_factory=dict)

    def follow(self, reader: int, epoch: int, taken: int, unfit: dict[str, int]) -> None:
        """Advance past a batch of this reader that was trained on."""
        self.readers[reader] = (epoch, taken)
        self.turn = (reader + 1) % len(self.readers)
        self.unfit = dict(Counter(self.unfit) + Counter(unfit))

    def save(self, path: Path) -> None:
        """Write it atomically."""
        write_atomically(path, json.dumps(asdict(self)).encode(), path.parent)


def load_position(path: Path, readers: int) -> FeedPosition:
    """Read a position. Raises InputError when it can't be read or has another number of readers."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        position = FeedPosition([(int(epoch), int(taken)) for epoch, taken in found["readers"]])
        position.turn, position.unfit = int(found["turn"]), dict(found["unfit"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"{path}: can't be read ({type(error).__name__}), so training can't resume"
        raise InputError(f"{what}; remove that checkpoint to resume from the one before") from error
    if len(position.readers) != readers:
        was = len(position.readers)
        raise InputError(
            f"{path}: saved with {was} readers per process, now {readers}; set data.workers back to resume"
        )
    return position


def open_reader(
    data: DataConfig, split: str, seed: int, number: int, of: int, columns: Collection[str] = COLUMNS
) -> RowStream:
    """One of `of` readers that share a split's rows."""
    choice = RowChoice(
        split=split, seed=seed, pictures="pil", columns=tuple(c for c in TEXT_COLUMNS if c in columns),
        tasks=None if data.tasks is None else tuple(data.tasks),
        sources=None if data.sources is None else tuple(data.sources),
        mixture=data.mixture.mixture(), buffer_rows=data.buffer_rows, buffer_bytes=128_000_000,
        drop_uneven=False,
    )  # fmt: skip
    return RowStream(data.dataset.resolve(), choice, number, of)


RowChange = Callable[[dict[str, Any]], dict[str, Any]]
"""Changes a row before it is encoded; raises UnfitRow for a row to leave out."""


def keep_unchanged(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row as it was published."""
    return row


class Feed(IterableDataset[dict[str, Any]]):
    """Encoded rows, epoch after epoch, each with its reader, epoch, rows taken, and rows left out before it.

    `change` is applied to each row before it is encoded; the row then has all its columns.

    Every worker of every process is a reader with its own rows. A loader takes batches from its workers in
    turn, starting with the first: to resume at another reader's turn, the workers rotate the readers.
    """

    def __init__(
        self, data: DataConfig, seed: int, processor: Any, marks: ChatMarks, max_tokens: int,
        rank: int, world_size: int, position: FeedPosition, change: RowChange = keep_unchanged,
    ) -> None:  # fmt: skip
        super().__init__()
        self._change = change
        self._data, self._seed, self._processor = data, seed, processor
        self._marks, self._max_tokens = marks, max_tokens
        self._rank, self._world_size, self._position = rank, world_size, position

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        readers = len(self._position.readers)
        own = ((0 if info is None else info.id) + self._position.turn) % readers
        epoch, taken = self._position.readers[own]
        rows = open_reader(
            self._data, self._data.split, self._seed, self._rank * readers + own, self._world_size * readers,
            COLUMNS if self._change is keep_unchanged else TEXT_COLUMNS,
        )  # fmt: skip
        rows.set_epoch(epoch)
        rows.load_state_dict({**rows.state_dict(), "taken": taken})
        unfit: Counter[str] = Counter()
        last = "none"
        came = taken > 0
        while True:
            for row in rows:
                taken += 1
                try:
                    example = encode_row(self._change(row), self._processor, self._marks, self._max_tokens)
                except UnfitRow as error:
                    unfit[error.reason] += 1
                    last = str(error)
                    continue
                came = True
                yield {**example, "position": (own, epoch, taken, dict(unfit))}
                unfit.clear()
            if not came:
                counts = ", ".join(f"{count} {reason}" for reason, count in unfit.items()) or "no rows"
                what = f"{self._data.dataset}: no row of reader {own} can be trained on"
                raise InputError(f"{what}: {counts}, the last: {last:.300}")
            epoch, taken, came = epoch + 1, 0, False
            rows.set_epoch(epoch)


class Collate:
    """Makes batches that carry the position of their last row and the counts of rows left out before it."""

    def __init__(self, pad: int) -> None:
        self._pad = pad

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        batch = collate([{k: v for k, v in e.items() if k != "position"} for e in examples], self._pad)
        if "position" in examples[-1]:
            unfit: Counter[str] = Counter()
            for example in examples:
                unfit.update(example["position"][3])
            batch["position"] = (*examples[-1]["position"][:3], dict(unfit))
        return batch


def make_loader(feed: Feed, batch: int, workers: int, pad: int) -> DataLoader[dict[str, Any]]:
    """Batches of a feed, encoded in `workers` processes, or in this one with 0."""
    return DataLoader(feed, batch_size=batch, num_workers=workers, collate_fn=Collate(pad), drop_last=True)


class EvalRows(IterableDataset[dict[str, Any]]):
    """The first `eval_rows` rows of the evaluation split that fit, the same number on every process.

    The constructor reads those rows once to see which fit; `unfit` counts those that don't, by reason.
    """

    def __init__(
        self,
        data: DataConfig,
        split: str,
        processor: Any,
        marks: ChatMarks,
        max_tokens: int,
        rank: int,
        of: int,
    ) -> None:
        super().__init__()
        self._data = data.model_copy(update={"mixture": type(data.mixture)(), "workers": 0})
        self._split, self._processor, self._marks, self._max_tokens = split, processor, marks, max_tokens
        self._rank, self._of = rank, of
        self._fits: list[bool] = []
        self.unfit: Counter[str] = Counter()
        for row in open_reader(self._data, split, 0, 0, 1):
            if sum(self._fits) == data.eval_rows:
                break
            try:
                encode_row(row, processor, marks, max_tokens)
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
        for row, fits in zip(open_reader(self._data, self._split, 0, 0, 1), self._fits, strict=False):
            if fits and fitting == self.rows * self._of:
                return
            if fits and fitting % self._of == self._rank:
                yield encode_row(row, self._processor, self._marks, self._max_tokens)
            fitting += fits
