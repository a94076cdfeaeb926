"""`iqa-spider` that kills itself with SIGKILL at a moment of its own work and not of a clock.

    python -m tests.killing touches FOLDER NUMBER COUNT_FILE ARGUMENTS...
    python -m tests.killing after FILE ARGUMENTS...

The first dies when it opens, renames, makes or removes its NUMBER-th file or folder inside FOLDER; one that
ends before writes to COUNT_FILE how many there were. The second dies as soon as FILE is there, when it next
opens or renames any file. Only this process is killed: its workers must see to their own end.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from pathlib import Path
from typing import Any

TOUCHES = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "os.symlink", "os.truncate")


def kill_at_touch(folder: str, number: int, count_file: Path) -> None:
    """Die at the `number`-th touch of what lies in `folder`."""
    touches, this = 0, os.getpid()

    def watch(event: str, given: tuple[Any, ...]) -> None:
        nonlocal touches
        if event not in TOUCHES or os.getpid() != this:
            return
        if any(isinstance(value, str | Path) and str(value).startswith(folder) for value in given):
            touches += 1
            if touches == number:
                os.kill(this, signal.SIGKILL)

    sys.addaudithook(watch)
    atexit.register(lambda: count_file.write_text(str(touches)))


def kill_after(file: Path) -> None:
    """Die as soon as `file` is there."""
    this = os.getpid()

    def watch(event: str, given: tuple[Any, ...]) -> None:
        if event in TOUCHES and os.getpid() == this and file.exists():
            os.kill(this, signal.SIGKILL)

    sys.addaudithook(watch)


def main() -> None:
    """Set the trap, then be `iqa-spider`."""
    kind, *given = sys.argv[1:]
    if kind == "touches":
        folder, number, count_file, *arguments = given
        kill_at_touch(folder, int(number), Path(count_file))
    else:
        file, *arguments = given
        kill_after(Path(file))
    from flows.cli import main as iqa_spider

    sys.exit(iqa_spider(arguments))


if __name__ == "__main__":
    main()
