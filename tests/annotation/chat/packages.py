"""Packages that can't live beside the others, installed alone into a temporary folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.waiting import LAST_RESORT


def install(folder: Path, *requirements: str) -> Path:
    """`pip install --no-deps` into `folder`, which then goes onto a process's path."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-compile", "--target", str(folder), *requirements]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LAST_RESORT, check=False)
    assert done.returncode == 0, done.stderr
    return folder
