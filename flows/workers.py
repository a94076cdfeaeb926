"""Workers: how many a machine has cores for, and one thread of OpenCV in each."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.config import RunConfig


def default_workers() -> int:
    """The cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers_of(run: RunConfig) -> int:
    """How many shards a build makes at once."""
    return 1 if run.runner == "serial" else run.workers or default_workers()


def single_threaded_libraries() -> None:
    """One thread a worker for OpenCV: workers are the parallelism, and results don't depend on the number of
    threads.
    """
    import cv2

    cv2.setNumThreads(1)
