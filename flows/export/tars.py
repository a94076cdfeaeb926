"""WebDataset: tar files of samples, a JSON and the pictures of each row under one key."""

from __future__ import annotations

import io
import tarfile

from flows.export.folder import ExportFolder, extension
from schemas.records import Row

_TAR_BYTES = 500_000_000


class TarWriter:
    """`<split>-NNNNNN.tar`, a new one after 500 MB: `<key>.json` (the row) and `<key>.0.png`, `<key>.1.png` ...

    WebDataset reads a sample's files together, so here a row has its pictures beside it; a key is the row's
    number in the split.
    """

    def __init__(self, folder: ExportFolder) -> None:
        self._folder = folder
        self._tars: dict[str, _Tar] = {}

    def add(self, row: Row, pictures: list[bytes]) -> None:
        tar = self._tars.setdefault(row.split, _Tar(self._folder, row.split))
        tar.sample(row.model_dump_json().encode(), pictures)
        self._folder.pictures += len(pictures)

    def close(self) -> None:
        for tar in self._tars.values():
            tar.close()


class _Tar:
    """The tar files of one split."""

    def __init__(self, folder: ExportFolder, split: str) -> None:
        self._folder, self._split = folder, split
        self._files = self._rows = self._bytes = 0
        self._open: tarfile.TarFile | None = None

    def sample(self, record: bytes, pictures: list[bytes]) -> None:
        if self._open is None or self._bytes >= _TAR_BYTES:
            self.close()
            self._open = tarfile.open(  # noqa: SIM115 - closed by close()
                self._folder.file(f"{self._split}-{self._files:06d}.tar"), "w", format=tarfile.USTAR_FORMAT
            )
            self._files += 1
            self._bytes = 0
        key = f"{self._rows:09d}"
        self._rows += 1
        self._add(f"{key}.json", record)
        for number, data in enumerate(pictures):
            self._add(f"{key}.{number}{extension(data)}", data)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _add(self, name: str, data: bytes) -> None:
        if self._open is not None:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            self._open.addfile(entry, io.BytesIO(data))
            self._bytes += len(data)
