"""A command under a pseudo-terminal: what a person at a terminal would be sent."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import LAST_RESORT


@dataclass(frozen=True)
class Shown:
    """How a process ended, what it sent to its terminal (standard error), and its standard output."""

    code: int
    terminal: str
    out: str


def at_a_terminal(*command: str | Path, term: str = "xterm-256color") -> Shown:
    """Run Python with these arguments, standard error a terminal 120 columns wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    unset = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env={**environment, "TERM": term},
    )  # fmt: skip
    os.close(theirs)
    sent = bytearray()
    try:
        while some := os.read(ours, 1 << 16):
            sent += some
    except OSError:  # Linux says so when no process has the terminal open any more
        pass
    os.close(ours)
    out, _ = process.communicate(timeout=LAST_RESORT)
    return Shown(process.returncode, sent.decode(), out.decode())
