"""Single files: a safe name for each, whether it may be opened at all, its hash, and its bytes."""

# Names may hold undecodable bytes and come by the hundred thousand: plain strings and os calls.
# ruff: noqa: PTH114, PTH115, PTH116, PTH117, PTH118, PTH123

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from schemas.errors import SampleError

_HASHING_THREADS = 4
_RACY_NS = 2_000_000_000
"""A file changed this recently can change again under the same time stamp: its hash isn't remembered."""


@dataclass(frozen=True, slots=True)
class SourceRef:
    """One photograph to ingest.

    `path` is where it lies now; `uri` its percent-encoded POSIX path relative to the source's root, never
    absolute; `sha256` (64 hex digits) and `size` are of the file's bytes; `coco_name` is its `file_name` in
    the annotation file, None for other sources.
    """

    path: Path
    uri: str
    sha256: str
    size: int
    license: str | None
    coco_name: str | None = None


class HashCache(Protocol):
    """Remembers hashes by what the file system says of a file. `path` is absolute and percent-encoded."""

    def get(self, path: str, size: int, mtime_ns: int, inode: int) -> str | None: ...

    def put(self, path: str, size: int, mtime_ns: int, inode: int, sha256: str) -> None: ...


def to_uri(relative: str) -> str:
    """A relative path as ASCII: everything but plain path characters percent-encoded, undecodable bytes too.

    `urllib.parse.unquote_to_bytes` gives the file's name back. Raises UnicodeEncodeError for a string that
    can't be a file name (a lone surrogate that encodes no byte).
    """
    return quote(os.fsencode(relative), safe="/!$&'()*+,;=@~")


def locate(root: str, relative: str) -> str:
    """The real path of `relative` under `root` (itself a real path), links followed.

    Raises SampleError "bad-path", "path-outside", "missing-file", "dangling-link", "link-loop",
    "link-outside", "unreadable" or "not-a-file".
    """
    if not relative or "\x00" in relative:
        raise SampleError("bad-path", "the path is empty or holds a zero byte")
    if os.path.isabs(relative) or ".." in relative.split("/"):
        raise SampleError("path-outside", "the path is absolute or holds '..'")
    path = os.path.join(root, relative)
    try:
        real = os.path.realpath(path, strict=True)
        mode = os.stat(real).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        if os.path.islink(path):
            raise SampleError(
                "dangling-link", f"points to {os.readlink(path)!a}, which doesn't exist"
            ) from error
        raise SampleError("missing-file", "there is no such file") from error
    except OSError as error:
        raise _os_problem(error) from error
    if not is_inside(real, root):
        raise SampleError("link-outside", "the link leads out of the source's folder")
    if not stat.S_ISREG(mode):
        raise SampleError("not-a-file", f"this is {_kind(mode)}")
    return real


def is_inside(real: str, root: str) -> bool:
    """Whether the real path `real` is `root` or below it."""
    return real == root or real.startswith(root.rstrip("/") + "/")


def hash_file(real: str, max_bytes: int) -> tuple[str, int]:
    """(SHA-256 hex, size) of a regular file.

    Raises SampleError "empty-file", "too-many-bytes", "changed-while-reading", "not-a-file", "missing-file"
    or "unreadable".
    """
    with _opened(real) as file:
        before = os.fstat(file.fileno())
        _check_size(before.st_size, max_bytes)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise SampleError("changed-while-reading", "the file was written to while it was read")
    return digest, before.st_size


def hash_files(
    reals: Sequence[str], max_bytes: int, cache: HashCache | None
) -> list[tuple[str, int] | SampleError]:
    """`hash_file` of each, or its error, in order; files that `cache` knows to be unchanged aren't read.

    Hashes on a few threads (hashing frees the interpreter); the cache is used by this thread only.
    """
    started = time.time_ns()

    def known(real: str) -> tuple[str, int] | SampleError | None:
        try:
            return _cached_hash(real, max_bytes, cache) if cache is not None else None
        except SampleError as error:
            return error

    def attempt(real: str) -> tuple[str, int] | SampleError:
        try:
            return hash_file(real, max_bytes)
        except SampleError as error:
            return error

    found = {real: known(real) for real in reals}
    unknown = [real for real, outcome in found.items() if outcome is None]
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        for real, read in zip(unknown, pool.map(attempt, unknown), strict=True):
            if cache is not None and not isinstance(read, SampleError):
                _remember_hash(real, *read, started, cache)
            found[real] = read
    return [outcome for real in reals if (outcome := found[real]) is not None]


def _cached_hash(real: str, max_bytes: int, cache: HashCache) -> tuple[str, int] | None:
    """The remembered hash and the size of an unchanged file, without reading it. Raises SampleError as
    `hash_file`.
    """
    try:
        status = os.stat(real)
    except OSError as error:
        raise _os_problem(error) from error
    _check_size(status.st_size, max_bytes)
    if not os.access(real, os.R_OK):
        raise SampleError("unreadable", "permission denied")
    known = cache.get(to_uri(real), status.st_size, status.st_mtime_ns, status.st_ino)
    return None if known is None else (known, status.st_size)


def _remember_hash(real: str, sha256: str, size: int, started_ns: int, cache: HashCache) -> None:
    """Put the hash into `cache`, unless the file changed less than 2 s before `started_ns` or since."""
    try:
        status = os.stat(real)
    except OSError:
        return  # gone again: nothing to remember, and reading it for ingest will say so
    if status.st_size == size and status.st_mtime_ns + _RACY_NS < started_ns <= time.time_ns():
        cache.put(to_uri(real), size, status.st_mtime_ns, status.st_ino, sha256)


def read_source(ref: SourceRef) -> bytes:
    """The bytes that were hashed. Raises SampleError "changed-since-scan" or as `hash_file`."""
    with _opened(str(ref.path)) as file:
        data = file.read(ref.size + 1)
    if hashlib.sha256(data).hexdigest() != ref.sha256:
        raise SampleError("changed-since-scan", "the file's bytes are no longer those that were listed")
    return data


@contextmanager
def _opened(real: str) -> Iterator[io.BufferedReader]:
    """Open for reading without ever waiting (a pipe would), and only a regular file."""
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with open(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise SampleError("not-a-file", f"this is {_kind(mode)}")
            yield file
    except OSError as error:
        raise _os_problem(error) from error


def _check_size(size: int, max_bytes: int) -> None:
    if size == 0:
        raise SampleError("empty-file", "the file has no bytes")
    if size > max_bytes:
        raise SampleError("too-many-bytes", f"{size} bytes; the limit is {max_bytes}")


_REASONS = {errno.ELOOP: "link-loop", errno.ENOENT: "missing-file", errno.ENXIO: "not-a-file"}


def _os_problem(error: OSError) -> SampleError:
    reason = _REASONS.get(error.errno or 0, "unreadable")
    return SampleError(reason, (error.strerror or type(error).__name__).lower())


_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _kind(mode: int) -> str:
    return next((name for test, name in _KINDS if test(mode)), "not a regular file")
