"""Waiting in tests: for what must happen, with a limit only as a last resort against hanging."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

LAST_RESORT = 1800.0
"""Seconds, far above what any wait needs on a slow and loaded machine. Nothing may be decided by it."""

T = TypeVar("T")


def wait_until(check: Callable[[], T], tell: Callable[[], str] = str, pause: float = 0.02) -> T:
    """What `check` returns once that is true, asked every `pause` seconds; `tell` is for when it never is."""
    end = time.monotonic() + LAST_RESORT
    while not (result := check()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {LAST_RESORT:g} s: {tell()}")
        time.sleep(pause)
    return result
