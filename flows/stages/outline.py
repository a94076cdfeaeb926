"""Stage outline: where the rows of a JSON list begin and end, found without parsing or holding the file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from flows.sources import HashCache
from flows.sources.files import hash_files
from flows.stages.job import Job
from flows.stages.known import Known
from flows.stages.stage import Stage, a_shard
from schemas.errors import InputError, SampleError
from schemas.shards import Item, ShardWriter
from schemas.store import Manifest, Store

VERSION = 1
RANGE_ROWS = 5_000
RANGE_BYTES = 16_000_000
MAX_FILE = 100_000_000_000
MAX_VALUE = 64_000_000
"""A single string of an annotation file may have this many bytes; a row's own limit is far smaller."""
_CHUNK = 1_000_000
_STRUCTURE = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+([{}\[\]])', re.DOTALL)
"""The next bracket outside strings; possessive, so that it never backtracks."""


class Range(NamedTuple):
    """A run of rows in an annotation file: bytes from `start` to `end`, the number of its first row, how
    many rows it has, and the SHA-256 of the bytes.
    """

    start: int
    end: int
    first: int
    rows: int
    sha256: str


def ranges_of(manifest: Manifest) -> list[Range]:
    """The runs of rows that a finished shard lists."""
    return [Range(*entry) for entry in manifest.extra["ranges"]]


def jobs(known: Known) -> list[Job]:
    """One job an annotation file, in the configuration's order. Raises InputError for a missing file."""
    with known.hashes() as cache:
        return [
            job(path, file_hash(path, cache))
            for dataset in known.config.merge.external
            for path in dataset.annotations
        ]


def job(path: Path, sha256: str) -> Job:
    """The job for an annotation file with this hash."""
    content = {"version": VERSION, "file": sha256, "rows": RANGE_ROWS, "bytes": RANGE_BYTES}
    return Job("outline", content, {"path": str(path)})


def file_hash(path: Path, cache: HashCache | None) -> str:
    """SHA-256 of an annotation file, which isn't read again while it stays as it was. Raises InputError."""
    try:
        real = str(path.resolve(strict=True))
    except OSError as error:
        what = (error.strerror or "can't be read").lower()
        raise InputError(f"{path}: {what}; give the dataset's JSON file") from error
    (outcome,) = hash_files([real], MAX_FILE, cache)
    if isinstance(outcome, SampleError):
        raise InputError(f"{path}: {outcome.detail}; give the dataset's JSON file") from outcome
    return outcome[0]


def run(job: Job, store: Store, out: ShardWriter) -> None:
    """`extra["ranges"]` lists [start, end, first row, rows, SHA-256] of runs of rows, in the file's bytes."""
    path = Path(job.local["path"])
    ranges: list[Range] = []
    digest = hashlib.sha256()
    start = count = first = 0
    end = 0
    with _opened(path) as file:
        for row_start, row_end in spans(file, path, digest):
            full = row_end - start > job.content["bytes"] or count >= job.content["rows"]
            if count and full:
                ranges.append(Range(start, end, first, count, ""))
                first, count = first + count, 0
            if not count:
                start = row_start
            end, count = row_end, count + 1
        if count:
            ranges.append(Range(start, end, first, count, ""))
        if digest.hexdigest() != job.content["file"]:
            raise InputError(f"{path}: it changed while the build ran; build again")
        hashed = []
        for entry in ranges:
            file.seek(entry.start)
            hashed.append(entry._replace(sha256=_hash_of(file, entry.end - entry.start)))
    out.extra["ranges"] = [list(entry) for entry in hashed]
    out.counts["rows"] = first + count
    out.add(Item("ranges", {"ranges": len(ranges)}))


def _hash_of(file: BinaryIO, size: int) -> str:
    digest = hashlib.sha256()
    while size:
        part = file.read(min(size, _CHUNK))
        if not part:
            break
        digest.update(part)
        size -= len(part)
    return digest.hexdigest()


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}; give the dataset's JSON file") from error


def spans(file: BinaryIO, path: Path, digest: hashlib._Hash | None = None) -> Iterator[tuple[int, int]]:
    """(start, end) in bytes of every element of the list that a JSON file is; what is inside isn't checked.

    Memory holds about a megabyte, or the longest string. Raises InputError for a file that isn't a list, ends
    inside one, or continues after it.
    """
    buffer, offset, depth, row_start, closed = b"", 0, 0, 0, False
    while True:
        chunk = file.read(_CHUNK)
        if digest is not None:
            digest.update(chunk)
        buffer += chunk
        position = 0
        while found := _STRUCTURE.match(buffer, position):
            at, opens = found.start(1), found[1] in b"[{"
            if depth == 0 and (closed or found[1] != b"[" or buffer[position:at].strip(_BLANK)):
                raise InputError(f"{path}: not one JSON list of rows; give the dataset's own file")
            if depth == 1:
                row_start = offset + at
                for loose in _LOOSE.finditer(buffer, position, at):
                    yield offset + loose.start(), offset + loose.end()
            depth += 1 if opens else -1
            position = found.end()
            closed = depth == 0
            if depth == 1 and not opens:
                yield row_start, offset + position
        offset, buffer = offset + position, buffer[position:]
        if not chunk:
            break
        if len(buffer) > MAX_VALUE:
            raise InputError(f"{path}: a single value of more than {MAX_VALUE} bytes; the file is damaged")
    if not closed:
        raise InputError(f"{path}: the JSON list doesn't end; load the file again")
    if buffer.strip(_BLANK):
        raise InputError(f"{path}: something follows the JSON list; give the dataset's own file")


_BLANK = b" \t\r\n\xef\xbb\xbf"
_LOOSE = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[^\s,"]+', re.DOTALL)
"""An element of the list that is neither an object nor a list."""


STAGE = Stage("outline", after=(), jobs=jobs, run=run, cost=a_shard(2.0), optional=True)
