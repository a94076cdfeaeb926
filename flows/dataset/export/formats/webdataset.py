"""WebDataset: tar files of samples, each a picture once with all the rows that show it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from flows.dataset.export.export_folder import ExportFolder, extension
from schemas.arrow import TEXT_COLUMNS
from schemas.records import Row
from schemas.row_group_reader import GroupReader, row_groups

_TAR_BYTES = 500_000_000


def make(folder: ExportFolder, paths: Sequence[Path]) -> TarWriter:
    """The writer into `folder` of the rows in the files `paths`."""
    return TarWriter(folder, paths)


class TarWriter:
    """`<split>-NNNNNN.tar`, a new one after 500 MB. A sample is its pictures, `<key>.0.png`, `<key>.1.png`
    and so on, and `<key>.json`: {"rows": [...]}, the rows that show just these pictures.

    WebDataset reads a sample's files together, so a picture written once has all its rows beside it. A key is
    the SHA-256 of the pictures' SHA-256; a row without pictures is a sample of its own.
    """

    def __init__(self, folder: ExportFolder, paths: Sequence[Path]) -> None:
        self._folder = folder
        self._left = _rows_by_key(paths)
        self._waiting: dict[str, list[Row]] = {}
        self._tars: dict[str, _Tar] = {}

    def add(self, row: Row, pictures: list[bytes]) -> None:
        key = _key(row.id, [_hash(data) for data in pictures])
        waiting = self._waiting.setdefault(key, [])
        waiting.append(row)
        self._left[key] -= 1
        if self._left[key] == 0:
            tar = self._tars.setdefault(row.split, _Tar(self._folder, row.split))
            tar.sample(key, self._waiting.pop(key), pictures)
            self._folder.pictures += len(pictures)

    def close(self) -> None:
        for tar in self._tars.values():
            tar.close()


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _key(row_id: str, pictures: list[str]) -> str:
    return _hash("\n".join(pictures or ["row", row_id]).encode())


def _rows_by_key(paths: Sequence[Path]) -> Counter[str]:
    """How many rows a sample will have, so that it can be written as soon as they are there."""
    found: Counter[str] = Counter()
    reader = GroupReader()
    for path in paths:
        for group in row_groups(path):
            rows = reader.read(group, range(group.rows), TEXT_COLUMNS[:1], pictures=True)
            hashes = [_hash(data) for data in rows.pictures]
            for values, places in zip(rows.texts, rows.places, strict=True):
                found[_key(values["id"], [hashes[place] for place in places])] += 1
    reader.close()
    return found


class _Tar:
    """The tar files of one split."""

    def __init__(self, folder: ExportFolder, split: str) -> None:
        self._folder, self._split = folder, split
        self._files = self._bytes = 0
        self._open: tarfile.TarFile | None = None

    def sample(self, key: str, rows: Sequence[Row], pictures: Sequence[bytes]) -> None:
        if self._open is None or self._bytes >= _TAR_BYTES:
            self.close()
            path = self._folder.file(f"{self._split}-{self._files:06d}.tar")
            self._open = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
            self._files += 1
            self._bytes = 0
        text = json.dumps({"rows": [row.model_dump(mode="json") for row in rows]}, ensure_ascii=False)
        named = [(f"{key}.{number}{extension(data)}", data) for number, data in enumerate(pictures)]
        for name, data in [*named, (f"{key}.json", text.encode())]:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            self._open.addfile(entry, io.BytesIO(data))
            self._bytes += len(data)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
