"""The content-addressed store: a shard's key is its path, a manifest written last makes it exist."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from pydantic import Field

from schemas.errors import BuildError, InputError, StoreError
from schemas.hashing import canonical_json
from schemas.records import Quarantined, Record

STORE_FORMAT = 1
FATAL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE}
_WRONG_PLACE = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
_UNFINISHED = ".part"


class Manifest(Record):
    """What a finished shard holds. Written after the shard's file is in place: its presence makes a shard."""

    stage: str
    key: str
    rows: int
    sha256: str
    bytes: int
    seconds: float
    counts: dict[str, int] = Field(default_factory=dict)
    quarantine: list[Quarantined] = Field(default_factory=list)
    extra: dict[str, Any] = Field(default_factory=dict)


def fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomically(path: Path, data: bytes, tmp: Path) -> None:
    """Write `data` to a file in `tmp` (same file system), fsync it, rename it to `path`."""
    temporary = tmp / f".{path.name}.{secrets.token_hex(6)}{_UNFINISHED}"
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


@contextmanager
def wrap_disk_errors(what: Path) -> Iterator[None]:
    """Turn a full disk, a quota, a read-only file system or a missing permission into a one-line StoreError.

    A path that can't be a folder, because a part of it is a file or a dangling link, is an InputError.
    """
    try:
        yield
    except OSError as error:
        problem = os.strerror(error.errno or 0)
        if error.errno in FATAL_ERRNOS or isinstance(error, PermissionError):
            advice = "free space or choose another place, then build again"
            raise StoreError(f"{what}: {problem}; {advice}") from error
        if error.errno in _WRONG_PLACE:
            raise InputError(f"{what}: {problem}; choose another place") from error
        raise


class Store:
    """A folder of shards: `<root>/<stage>/<key[:2]>/<key>.parquet` with `<key>.json` beside it.

    `tmp` is this run's own folder for unfinished files; None when the store is only read.
    """

    def __init__(self, root: Path, tmp: Path | None = None) -> None:
        self.root = root
        self.tmp = tmp

    def data_path(self, stage: str, key: str) -> Path:
        return self.root / stage / key[:2] / f"{key}.parquet"

    def manifest_path(self, stage: str, key: str) -> Path:
        return self.root / stage / key[:2] / f"{key}.json"

    def find(self, stage: str, key: str) -> Manifest | None:
        """The manifest of a finished shard, or None, also when its file is missing or has another size."""
        try:
            data = self.manifest_path(stage, key).read_bytes()
            size = self.data_path(stage, key).stat().st_size
        except FileNotFoundError:
            return None
        try:
            manifest = Manifest.model_validate_json(data)
        except ValueError:
            return None
        matches = (manifest.stage, manifest.key, manifest.bytes) == (stage, key, size)
        return manifest if matches else None

    def discard(self, stage: str, key: str) -> None:
        """Delete a damaged shard, manifest first, so that the next build rebuilds it."""
        self.manifest_path(stage, key).unlink(missing_ok=True)
        self.data_path(stage, key).unlink(missing_ok=True)

    def commit(self, temporary: Path, manifest: Manifest) -> None:
        """Move a checked, fsynced file into place, then write its manifest."""
        if self.tmp is None:
            raise RuntimeError("this store was opened for reading")
        final = self.data_path(manifest.stage, manifest.key)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(final)
        fsync_folder(final.parent)
        text = canonical_json(manifest.model_dump(mode="json")).encode()
        write_atomically(self.manifest_path(manifest.stage, manifest.key), text, self.tmp)

    def temporary(self, suffix: str) -> Path:
        """A new path for an unfinished file of this run."""
        if self.tmp is None:
            raise RuntimeError("this store was opened for reading")
        return self.tmp / f"{os.getpid()}-{secrets.token_hex(8)}{suffix}"


@contextmanager
def open_store(root: Path) -> Iterator[Store]:
    """Open a store for one run: claim a temporary folder, remove those of dead runs and, at the end, its own.

    Several runs may use one store at once: shards are content-addressed and appear by renaming. Raises
    InputError when `root` is something other than a store.
    """
    marker = root / "store.json"
    with wrap_disk_errors(root):
        if root.exists() and not root.is_dir():
            raise InputError(f"{root}: the store is a file; choose a folder")
        if marker.exists():
            _check_format(marker)
        elif root.exists() and any(entry.name != "tmp" for entry in root.iterdir()):
            raise InputError(f"{root}: not empty and not a store; choose another folder for the store")
        tmp_root = root / "tmp"
        tmp_root.mkdir(parents=True, exist_ok=True)
    with claim_folder(tmp_root) as tmp:
        if not marker.exists():
            with wrap_disk_errors(root):
                write_atomically(marker, canonical_json({"format": STORE_FORMAT}).encode(), tmp)
        yield Store(root, tmp)


def _check_format(marker: Path) -> None:
    try:
        found = json.loads(marker.read_text(encoding="utf-8")).get("format")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{marker}: not a store marker; choose another store folder") from error
    if found != STORE_FORMAT:
        what = f"store format {found!r}; this version reads {STORE_FORMAT}"
        raise InputError(f"{marker.parent}: {what}; choose another store")


@contextmanager
def claim_folder(tmp_root: Path) -> Iterator[Path]:
    """A new folder under `tmp_root`, locked while this process lives; removes those of dead processes."""
    with wrap_disk_errors(tmp_root), (tmp_root / ".lock").open("a") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        for entry in sorted(tmp_root.iterdir()):
            if entry.is_dir():
                _remove_if_dead(entry)
        folder = tmp_root / f"{int(time.time())}-{os.getpid()}-{secrets.token_hex(4)}"
        folder.mkdir()
        lock = (folder / ".lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def _remove_if_dead(folder: Path) -> None:
    try:
        with (folder / ".lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
    except FileNotFoundError:
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return


@contextmanager
def lock_output(folder: Path, name: str) -> Iterator[None]:
    """Lock `folder` for one build called `name`; a second build gets an error that says who holds it.

    Files that a killed build left unfinished in `folder` itself are removed. Raises InputError when the
    folder belongs to a build of another name or holds something else, BuildError when it is locked.
    """
    marker = folder / "build.json"
    with wrap_disk_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder}: the output is a file; choose a folder")
        if marker.exists():
            _check_owner(marker, name)
        elif folder.exists() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise InputError(f"{folder}: not empty and not created by a build; choose another --out")
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+b", buffering=0)
    with lock:
        with wrap_disk_errors(folder):
            _lock_or_explain(lock, folder)
            for leftover in folder.glob(f".*{_UNFINISHED}"):
                leftover.unlink()
            if marker.exists():
                _check_owner(marker, name)
            else:
                write_atomically(marker, canonical_json({"name": name}).encode(), folder)
        yield


def _check_owner(marker: Path, name: str) -> None:
    try:
        owner = json.loads(marker.read_text(encoding="utf-8"))["name"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{marker}: not a build marker; choose another output folder") from error
    if owner != name:
        what = f"belongs to the build {str(owner)!r}, not {name!r}"
        raise InputError(f"{marker.parent}: {what}; choose another --out or rename")


def _lock_or_explain(lock: FileIO, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read(200).decode(errors="replace").strip() or "another build"
        raise BuildError(f"{folder}: held by {holder}; wait for it to end or choose another --out") from error
    lock.truncate(0)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    lock.write(f"process {os.getpid()} on {socket.gethostname()} since {since}".encode())
