"""How far a long piece of work is, as it tells its caller; how that is shown is the caller's matter.

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
    """Counts one piece of work: `total` shards (or another `unit`), of which `reused` need no work, or None
    where nothing can be reused. `done` says what is done to one of them.

    It is the context that the work is done in, and shows nothing more after an error. This class shows
    nothing at all.
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
        """Some were done, some more were found to need no work or not to be wanted."""
        self.done += done
        self.total -= skipped
        if self.reused is not None:
            self.reused += reused
        if self.done:
            self._show()

    def note(self, text: str) -> None:
        """Say a line about the work, such as the loss so far."""

    def _show(self) -> None:
        """Show where the work is."""

    def _end(self, finished: bool) -> None:
        """Show the end of the work, or clear what is shown of work that failed."""


class Progress(Protocol):
    """How a command shows its work: each call begins a piece of it."""

    def __call__(
        self, name: str, total: int, reused: int | None = None, unit: str = "shards", done: str = "made"
    ) -> Meter: ...


SILENT: Progress = Meter
