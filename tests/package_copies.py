"""A copy of the packages that a test may drop files into, and the command line of that copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "distortions", "annotation", "flows", "training", "inference")


class Copy:
    """The six packages below `folder`; `run` is `iqa-spider` with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for package in PACKAGES:
            shutil.copytree(
                ROOT / package,
                folder / package,
                ignore=shutil.ignore_patterns("__pycache__"),
                dirs_exist_ok=True,
            )

    def write(self, path: str, text: str) -> Path:
        """One more file."""
        target = self.folder / path
        target.write_text(text, encoding="utf-8")
        return target

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """`iqa-spider ARGUMENTS`; the folder of the call is the copy's, so nothing else can be imported."""
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
