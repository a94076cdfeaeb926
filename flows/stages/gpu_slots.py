"""A limit of how many tasks share one GPU: slots as locked files, which the system frees when a task dies."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from schemas.errors import InputError

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 0.05
_PATIENCE_SECONDS = 20.0


def gpu_name(device: str, visible: str | None) -> str:
    """The card behind torch's name of it: `visible` is CUDA_VISIBLE_DEVICES, by which torch counts.

    "cuda" is the first card, "cuda:1" the second that is visible; "mps" is itself.
    """
    kind, _, index = device.partition(":")
    listed = [part.strip() for part in (visible or "").split(",") if part.strip()]
    place = int(index or 0)
    if kind == "cuda" and place < len(listed):
        return f"{kind}-{listed[place]}"
    return f"{kind}-{place}"


def slots_folder() -> Path:
    """This user's folder of locks on this machine, whichever build and store they belong to.

    Raises InputError when somebody else has made it.
    """
    folder = Path(tempfile.gettempdir()) / f"iqa-spider-gpu-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise InputError(
            f"{folder}: this folder belongs to another user; remove it or set TMPDIR to a folder you own"
        )
    return folder


@contextmanager
def gpu_slot(folder: Path, name: str, slots: int) -> Iterator[int]:
    """Hold one of `slots` places on the GPU `name`, waiting until one is free; yields its number.

    A place is an advisory lock on a file, held by an open descriptor: of threads and processes alike at most
    `slots` hold one at a time, and a killed process holds none.
    """
    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
    files = [(folder / f"{safe}.{number}").open("a") for number in range(slots)]
    try:
        yield _take_any([file.fileno() for file in files], name)
    finally:
        for file in files:
            file.close()


def _take_any(descriptors: list[int], name: str) -> int:
    patient_until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        for number, descriptor in enumerate(descriptors):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return number
        if time.monotonic() > patient_until:
            patient_until = float("inf")
            _LOG.warning("%s: waiting for one of %d places on this GPU", name, len(descriptors))
        time.sleep(_POLL_SECONDS)
