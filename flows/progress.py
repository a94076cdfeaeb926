"""Progress on standard error: what is done and the time left, in place on a terminal, else as lines."""

from __future__ import annotations

import sys
import time

_LINE_EVERY = 15.0


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 8 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Progress:
    """Progress of one stage of `total` shards (or another `unit`), of which `reused` stand already."""

    def __init__(self, stage: str, total: int, reused: int, unit: str = "shards") -> None:
        self._stage, self._total, self._reused, self._unit = stage, total, reused, unit
        self._done = 0
        self._started = self._printed = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def step(self, made: int = 1, reused: int = 0, skipped: int = 0) -> None:
        """Some were made, some more were found to stand already or to be none to make."""
        self._done += made
        self._reused += reused
        self._total -= skipped
        if not self._done:
            return
        now = time.monotonic()
        if self._terminal or now - self._printed >= _LINE_EVERY:
            self._printed = now
            left = self._total - self._reused - self._done
            rate = self._done / max(now - self._started, 1e-6)
            self._write(
                f"{self._head()}, about {duration(left / rate)} left", end="" if self._terminal else "\n"
            )

    def close(self) -> None:
        self._write(f"{self._head()} in {duration(time.monotonic() - self._started)}", end="\n")

    def _head(self) -> str:
        made = f"{self._done}/{self._total - self._reused} made"
        return f"{self._stage:<9} {self._total} {self._unit}: {made}, {self._reused} reused"

    def _write(self, text: str, end: str) -> None:
        start = "\r\x1b[2K" if self._terminal else ""
        print(f"{start}{text}", end=end, file=sys.stderr, flush=True)
