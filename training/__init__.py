"""Training on a published dataset: a resumable stream of rows over ranks and workers, and fine-tuning."""

from __future__ import annotations

from training.epoch_mixture import Mixture
from training.row_stream import RowStream
from training.streaming import stream

__all__ = ["Mixture", "RowStream", "stream"]
