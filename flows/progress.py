"""Progress on standard error: bars with rate and time left on a terminal, lines elsewhere, or nothing.

A function that takes long takes a `Progress` (schemas/meter.py) and shows nothing without one.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Self

from schemas.meter import SILENT, Meter, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

_LINE_EVERY = 15.0


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 8 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class _Shown(Meter):
    """What both forms say."""

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        return self

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def _wanted(self) -> int:
        return self.total - (self.reused or 0)

    def _counts(self) -> str:
        reused = "" if self.reused is None else f", {self.reused} reused"
        return f"{self.done}/{self._wanted} {self.verb}{reused}"

    def _line(self, end: str) -> str:
        unit = self.unit.removesuffix("s") if self.total == 1 else self.unit
        return f"{self.name:<9} {self.total} {unit}: {self._counts()}{end}"

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def _end(self, finished: bool) -> None:
        if finished:
            print(self._line(f" in {duration(self._seconds)}"), file=sys.stderr, flush=True)


class LineMeter(_Shown):
    """A line every 15 seconds and one at the end."""

    _printed = 0.0

    def _show(self) -> None:
        spent = self._seconds
        if spent - self._printed >= _LINE_EVERY and self.done < self._wanted:
            self._printed = spent
            left = (self._wanted - self.done) * spent / self.done
            print(self._line(f", about {duration(left)} left"), file=sys.stderr, flush=True)


class BarMeter(_Shown):
    """A bar with rate and time left, which gives place to a line at the end."""

    _bars: Bars | None = None

    def __enter__(self) -> Self:
        super().__enter__()
        if self._wanted:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description:<9}"),
                BarColumn(),
                TextColumn("{task.fields[counts]}"),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("left"),
                console=Console(file=sys.stderr),
                transient=True,
                redirect_stdout=False,
            )
            self._bars.start()
            self._bar = self._bars.add_task(self.name, total=self._wanted, counts=self._counts(), rate="")
        return self

    def _show(self) -> None:
        if self._bars is not None:
            self._bars.update(
                self._bar, total=self._wanted, completed=self.done, counts=self._counts(), rate=self._rate()
            )

    def _rate(self) -> str:
        each = max(self._seconds, 1e-6) / self.done
        return f"{1 / each:.1f} {self.unit}/s" if each < 1 else f"{each:.1f} s/{self.unit.removesuffix('s')}"

    def _end(self, finished: bool) -> None:
        if self._bars is not None:
            self._bars.stop()
        super()._end(finished)


def progress_for(quiet: bool) -> Progress:
    """Nothing for `--quiet`, else bars where standard error is a terminal that can draw them, else lines."""
    if quiet:
        return SILENT
    drawable = sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    return BarMeter if drawable else LineMeter
