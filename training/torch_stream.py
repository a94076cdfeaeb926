"""The stream as a PyTorch dataset: a DataLoader's workers share a rank's rows and follow its epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from training.row_stream import RowChoice, RowStream


class TorchRowStream(RowStream, IterableDataset[dict[str, Any]]):
    """See `training.stream`. The epoch is in shared memory, so `set_epoch` reaches persistent workers too."""

    def __init__(self, folder: Path, choice: RowChoice, rank: int, world_size: int) -> None:
        self._shared = torch.zeros(1, dtype=torch.int64)
        self._shared.share_memory_()  # type: ignore[no-untyped-call]
        super().__init__(folder, choice, rank, world_size)

    @property
    def epoch(self) -> int:
        return int(self._shared[0])

    def _set_number(self, epoch: int) -> None:
        self._shared[0] = epoch

    def _worker(self) -> tuple[int, int]:
        info = get_worker_info()
        return (0, 1) if info is None else (info.id, info.num_workers)
