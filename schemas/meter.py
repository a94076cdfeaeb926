"""Progress of long work, reported to the caller, who decides how to display it.

def verify(folder: Path, progress: Progress = SILENT) -> list[Fault]:
    with progress("verify", len(files), unit="files", done="checked") as meter:
        for file in files:
            ...
            meter.step()
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self


class Meter:
    """Counts one piece of work: `total` shards (or another `unit`), of which `reused` need no work (None:
    nothing can be reused). `done` is the past participle of what happens to each.

    The work runs inside this context manager, which displays nothing more after an error. This base class
    displays nothing at all.
    """

    def __init__(
        self, name: str, total: int, reused: int | None = None, unit: str = "shards", done: str = "made"
    ) -> None:
        self.name, self.total, self.reused = name, total, reused
        self.unit, self.verb = unit, done
        self.done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(kind is None)

    def step(self, done: int = 1, reused: int = 0, skipped: int = 0) -> None:
        """Count units done, units that turned out to need no work, and units that aren't needed after all."""
        self.done += done
        self.total -= skipped
        if self.reused is not None:
            self.reused += reused
        if self.done:
            self._show()

    def note(self, text: str) -> None:
        """Report one line about the work, such as the loss so far."""

    def _show(self) -> None:
        """Display the current state."""

    def _end(self, finished: bool) -> None:
        """Display the end of the work, or clear the display of work that failed."""


class Progress(Protocol):
    """How a command displays its progress: each call starts one piece of work."""

    def __call__(
        self, name: str, total: int, reused: int | None = None, unit: str = "shards", done: str = "made"
    ) -> Meter: ...


SILENT: Progress = Meter
