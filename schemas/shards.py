"""Stage shards: Parquet files of (id, record as JSON, picture), checked before they get their final name."""

from __future__ import annotations

import hashlib
import json
import os
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.dataset import RowWriter
from schemas.errors import SampleError, SpiderError, StoreError
from schemas.hashing import canonical_json
from schemas.records import Quarantined
from schemas.row_group_writer import RowGroupBuffer
from schemas.store import FATAL_ERRNOS, Manifest, Store, wrap_disk_errors

STAGE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("record", pa.string(), nullable=False),
        pa.field("picture", pa.binary()),
    ]
)
_CHECKED: set[tuple[str, int, int]] = set()
"""Files this process has checked against their manifests: (path, size, mtime)."""
_GROUP_ROWS = 256
_GROUP_BYTES = 4_000_000


RecordT = TypeVar("RecordT", bound=Mapping[str, object])


@dataclass(frozen=True)
class Item(Generic[RecordT]):
    """One row of a stage shard: `record` is parsed JSON, `picture` encoded bytes or None.

    The fields of a stage's records are a TypedDict in the stage's file.
    """

    id: str
    record: RecordT
    picture: bytes | None = None


class ShardWriter:
    """Collects one shard's rows, quarantine and counts. It buffers one row group (about 4 MB)."""

    def __init__(self, stage: str, key: str, path: Path) -> None:
        self.stage = stage
        self.key = key
        self.counts: Counter[str] = Counter()
        self.quarantined: list[Quarantined] = []
        self.extra: dict[str, Any] = {}
        self.rows = 0
        self._ids: set[str] = set()
        parquet = pq.ParquetWriter(
            path,
            STAGE_SCHEMA,
            compression={"id": "zstd", "record": "zstd", "picture": "none"},
            use_dictionary=False,
        )
        self._groups = RowGroupBuffer(path, parquet, _to_table)

    def add(self, item: Item[Any]) -> None:
        """Append a row. Raises ValueError, and appends nothing, for a duplicate id or broken Unicode."""
        if item.id in self._ids:
            raise ValueError(f"shard {self.stage}/{self.key[:12]} has two rows with the id {item.id!r}")
        item.id.encode()
        text = canonical_json(item.record).encode()
        self._ids.add(item.id)
        self._groups.add((item.id, text, item.picture), len(text) + len(item.picture or b""))
        self.rows += 1
        full = self._groups.bytes >= _GROUP_BYTES or self._groups.rows >= _GROUP_ROWS
        if item.picture is not None or full:
            self._groups.flush()

    def quarantine(self, source: str, reason: str, error: str, sample_id: str | None = None) -> None:
        """Put a sample into quarantine; text that isn't valid Unicode is escaped."""
        escaped = error.encode(errors="backslashreplace").decode()
        self.quarantined.append(
            Quarantined(stage=self.stage, source=source, sample_id=sample_id, reason=reason, error=escaped)
        )

    @contextmanager
    def guard(self, source: str, sample_id: str | None = None) -> Iterator[None]:
        """Quarantine a sample that fails inside; a full disk, out of memory and SpiderErrors are raised.

        The text of an unexpected error names the file and the function, without the line: it becomes part of
        the dataset's key, which an edit elsewhere in the file must not change.
        """
        try:
            yield
        except SampleError as error:
            self.quarantine(source, error.reason, error.detail or error.reason, sample_id)
        except (SpiderError, MemoryError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FATAL_ERRNOS:
                raise
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{frame.name} ({Path(frame.filename).name})"
            self.quarantine(source, "unexpected", f"{type(error).__name__}: {error} in {place}", sample_id)

    def close(self) -> None:
        self._groups.close()

    def abandon(self) -> None:
        """Close and remove the unfinished file."""
        self._groups.abandon()


def _to_table(rows: Sequence[tuple[str, bytes, bytes | None]]) -> pa.Table:
    ids, records, pictures = zip(*rows, strict=True)
    columns = [pa.array(ids), pa.array(records, pa.string()), pa.array(pictures, pa.binary())]
    return pa.table(columns, schema=STAGE_SCHEMA)


class RowShardWriter(RowWriter):
    """Collects the rows of one Parquet file of a dataset, in the columns that readers see."""

    def __init__(self, path: Path, rows_per_group: int, group_bytes: int) -> None:
        super().__init__(path, rows_per_group, group_bytes)
        self.counts: Counter[str] = Counter()
        self.quarantined: list[Quarantined] = []
        self.extra: dict[str, Any] = {}


def new_shard(store: Store, stage: str, key: str) -> AbstractContextManager[ShardWriter]:
    """Write one shard, which appears complete once the block ends without an error, and never before."""
    return _commit_at_end(store, stage, key, lambda path: ShardWriter(stage, key, path))


def new_row_shard(
    store: Store, stage: str, key: str, rows_per_group: int, group_bytes: int
) -> AbstractContextManager[RowShardWriter]:
    """The same for a Parquet file of a dataset, with limits for its row groups."""
    return _commit_at_end(store, stage, key, lambda path: RowShardWriter(path, rows_per_group, group_bytes))


Writer = TypeVar("Writer", ShardWriter, RowShardWriter)


@contextmanager
def _commit_at_end(store: Store, stage: str, key: str, make: Callable[[Path], Writer]) -> Iterator[Writer]:
    started = time.perf_counter()
    temporary = store.temporary(".parquet")
    with wrap_disk_errors(store.root):
        writer = make(temporary)
        try:
            yield writer
            writer.close()
            commit_file(
                store,
                temporary,
                Manifest(
                    stage=stage,
                    key=key,
                    rows=writer.rows,
                    sha256="",
                    bytes=0,
                    seconds=round(time.perf_counter() - started, 3),
                    counts=dict(sorted(writer.counts.items())),
                    quarantine=writer.quarantined,
                    extra=writer.extra,
                ),
            )
        except BaseException:
            writer.abandon()
            raise


def commit_file(store: Store, temporary: Path, manifest: Manifest) -> Manifest:
    """Check the row count of a closed Parquet file, fsync it, fill in size and SHA-256, commit it."""
    found = pq.read_metadata(temporary).num_rows
    if found != manifest.rows:
        raise StoreError(f"{temporary}: {found} rows on disk, {manifest.rows} were written; check the disk")
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    sha256, size = file_digest(temporary)
    done = manifest.model_copy(update={"sha256": sha256, "bytes": size})
    store.commit(temporary, done)
    return done


def file_digest(path: Path) -> tuple[str, int]:
    """SHA-256 (hex) and size of a file, read in chunks."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()


def check_shard(store: Store, stage: str, key: str) -> Path:
    """The path of a shard whose bytes match its manifest's SHA-256.

    Discards a damaged shard and raises StoreError: the next build rebuilds it.
    """
    path = store.data_path(stage, key)
    try:
        status = path.stat()
        identity = (str(path), status.st_size, status.st_mtime_ns)
    except FileNotFoundError:
        identity = None
    if identity in _CHECKED:
        return path
    manifest = store.find(stage, key)
    if manifest is None or identity is None or file_digest(path) != (manifest.sha256, manifest.bytes):
        store.discard(stage, key)
        raise StoreError(f"{path}: this shard is damaged or missing; build again to rebuild it")
    _CHECKED.add(identity)
    return path


def read_items(
    store: Store, stage: str, key: str, pictures: bool = False, only: set[str] | None = None
) -> Iterator[Item[Any]]:
    """The rows of a shard in order, one row group in memory at a time; picture bytes only with `pictures`.

    With `only`, only the rows with these ids; other records aren't parsed.
    """
    path = check_shard(store, stage, key)
    columns = ["id", "record", "picture"] if pictures else ["id", "record"]
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group, columns=columns).to_pylist():
                if only is None or row["id"] in only:
                    yield Item(row["id"], json.loads(row["record"]), row.get("picture"))


def read_item(store: Store, stage: str, key: str, index: int, row_id: str) -> Item[Any]:
    """Row number `index` of a shard where every row has a picture and is its own row group."""
    path = check_shard(store, stage, key)
    with pq.ParquetFile(path) as file:
        row = file.read_row_group(index).to_pylist()[0]
    if row["id"] != row_id or row["picture"] is None:
        what = f"row {index} is {row['id']!r}, not {row_id!r}"
        raise StoreError(f"{path}: {what}; delete this shard and build again")
    return Item(row_id, json.loads(row["record"]), row["picture"])


def read_picture(store: Store, stage: str, key: str, index: int, row_id: str) -> bytes:
    """Only the picture of the row that `read_item` returns."""
    return bytes(read_item(store, stage, key, index, row_id).picture or b"")
