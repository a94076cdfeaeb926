"""Opens a stream over the rows of a published dataset, as a PyTorch dataset where PyTorch is installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from schemas.arrow import TEXT_COLUMNS
from schemas.errors import InputError
from training.epoch_mixture import Mixture, check_names
from training.picture_cache import FORMS, Form
from training.row_stream import RowChoice, RowStream


def stream(
    dataset: str | Path,
    split: str = "train",
    rank: int = 0,
    world_size: int = 1,
    seed: int = 0,
    *,
    pictures: Form = "pil",
    columns: Sequence[str] = TEXT_COLUMNS,
    tasks: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
    mixture: Mixture | None = None,
    buffer_rows: int = 2048,
    buffer_bytes: int = 128_000_000,
    drop_uneven: bool = False,
) -> RowStream:
    """The rows of a split as dictionaries, every row exactly once per epoch over all ranks and their workers.

    With PyTorch installed this is a `torch.utils.data.IterableDataset` whose rows a DataLoader's workers
    share; without it, a plain iterable. `dataset` is the folder that `build` printed; a link (`latest`) is
    resolved once, here.

    - `pictures`: "pil", "array" ((H, W, 3) uint8 RGB, the caller's own), "encoded" (the file's bytes), or
      "none" (text only; no picture is read). A row's pictures are the list `images`.
    - `columns`: which other columns a row has.
    - `tasks`, `sources`: only rows of these. `mixture`: weights and caps on top.
    - `buffer_rows`, `buffer_bytes`: how many rows, and bytes of row groups, a reader shuffles together and
      holds in memory (at least one row group).
    - `drop_uneven`: drop the last rows of an epoch's order, fewer than `world_size` and different ones each
      epoch, so that every rank gets the same number.

    The order depends only on `seed`, the epoch and the numbers of ranks and workers. Raises InputError.
    """
    if world_size < 1 or not 0 <= rank < world_size:
        raise InputError(f"rank {rank} of {world_size}: give a rank from 0 to world_size - 1")
    if pictures not in FORMS:
        raise InputError(f"pictures {pictures!r}: give one of {', '.join(FORMS)}")
    if buffer_rows < 1 or buffer_bytes < 1:
        raise InputError("buffer_rows and buffer_bytes: give 1 or above")
    check_names("column", set(columns), TEXT_COLUMNS)
    choice = RowChoice(
        split, seed, pictures, tuple(columns), None if tasks is None else tuple(tasks),
        None if sources is None else tuple(sources), mixture, buffer_rows, buffer_bytes, drop_uneven,
    )  # fmt: skip
    folder = Path(dataset).resolve()
    if find_spec("torch") is None:
        return RowStream(folder, choice, rank, world_size)
    from training.torch_stream import TorchRowStream

    return TorchRowStream(folder, choice, rank, world_size)
