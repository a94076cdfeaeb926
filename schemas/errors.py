"""The errors users see: one line that says what is wrong and what to do, and an exit code."""

from __future__ import annotations


class SpiderError(Exception):
    """Base of every error shown to a user as one line; `exit_code` is what the command returns."""

    exit_code = 1


class InputError(SpiderError):
    """Wrong use or unreadable input (exit code 2)."""

    exit_code = 2


class BuildError(SpiderError):
    """A build or a check failed (exit code 1)."""


class StoreError(BuildError):
    """The store can't be written or read, for example a full disk (exit code 1)."""


class SampleError(Exception):
    """One sample can't be made: it is quarantined and the build continues.

    `reason` is a short stable slug that statistics count ("truncated", "too-many-pixels"); `detail`
    is for people.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
