"""Every reply a model gave, in one SQLite file: a rebuild, a rerun or another build asks nothing twice."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from annotation.chat.messages import Call, Reply, Schema
from schemas.config import VlmConfig
from schemas.errors import InputError, SampleError, StoreError
from schemas.hashing import content_key

FILE_NAME = "replies.sqlite"
KEY_FORMAT = 1
TABLE_FORMAT = 1
_APPLICATION = int.from_bytes(b"IQAr", "big")
_WAIT_SECONDS = 60.0
_REFUSED = "refused: "
_PAUSE_SECONDS = 60.0
RATE_REPLIES = 20
"""Replies in a row, none a minute after the last, that a rate is measured by."""
_TABLE = """
CREATE TABLE replies (
    key TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    revision TEXT,
    prompt_version TEXT NOT NULL,
    text TEXT NOT NULL,
    finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    created REAL NOT NULL
)
"""


def cache_path(store: Path, config: VlmConfig) -> Path:
    """Where the replies of a build lie: `config.cache`, or in the root folder of its store."""
    return config.cache or store / FILE_NAME


def call_key(call: Call) -> str:
    """SHA-256 (64 hex digits) over all that shapes an answer: model, prompts, turns, pictures, draw, schema.

    How the model is reached is no part of it. A schema counts with the order of its properties, in which
    guided decoding writes them. Raises ValueError for a call for log-probabilities, which aren't kept.
    """
    if call.top_logprobs:
        raise ValueError("a reply with log-probabilities can't be kept")
    turns = [[turn.role, turn.text, [picture.sha256 for picture in turn.pictures]] for turn in call.turns]
    sampling = call.sampling
    drawn = [float(sampling.temperature), float(sampling.top_p), sampling.max_tokens, sampling.seed]
    if sampling.repetition_penalty is not None:
        drawn.append(float(sampling.repetition_penalty))
    schema = _schema_text(call.schema) if call.schema else None
    return content_key(
        "reply", KEY_FORMAT, call.model, call.revision, call.prompt_version, turns, drawn, schema
    )


def _schema_text(schema: Schema) -> str:
    return json.dumps([schema.name, schema.schema], ensure_ascii=False)


@dataclass(frozen=True)
class Share:
    """What the cache holds of one model and prompt version; times are seconds since 1970, `bytes` of text."""

    model: str
    revision: str | None
    prompt_version: str
    replies: int
    bytes: int
    prompt_tokens: int
    completion_tokens: int
    oldest: float
    newest: float


@dataclass(frozen=True)
class CacheStats:
    """What the cache holds; `file_bytes` with its write-ahead log."""

    path: str
    file_bytes: int
    replies: int
    prompt_tokens: int
    completion_tokens: int
    oldest: float | None
    newest: float | None
    shares: tuple[Share, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Selection:
    """The replies that every given condition holds for; `older_than` is an age in seconds."""

    model: str | None = None
    prompt_version: str | None = None
    older_than: float | None = None


class ReplyCache:
    """The replies by key, for threads, processes and builds at once, on one machine.

    A reply that was put is in the file: killing the process doesn't lose it (the log is written on every
    commit, and synced to the disk on every checkpoint). The first reply to a key stays, so that writers who
    race agree. Reopen after a fork. While the file is open, and after a kill, the newest replies are in the
    file beside it that ends in "-wal": they belong together.

    With `create=False` a missing file is an InputError. Raises StoreError when the file is damaged, is no
    reply cache, or can't be written.
    """

    def __init__(self, path: Path, create: bool = True) -> None:
        self.path = path
        self._lock = threading.Lock()
        if not create and not path.is_file():
            raise InputError(f"{path}: no reply cache there; give one, or build with a model first")
        with self._named_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._set_up()
            except BaseException:
                self._db.close()
                raise

    def _set_up(self) -> None:
        self._db.execute("PRAGMA synchronous = NORMAL")
        if self._number("application_id") != _APPLICATION:
            self._make()
        if self._number("application_id") != _APPLICATION:
            raise StoreError(f"{self.path}: this file is not a reply cache; give another path for it")
        if self._number("user_version") != TABLE_FORMAT:
            raise StoreError(
                f"{self.path}: this reply cache was written by another version; "
                "give another path for it, or use the version that wrote it"
            )

    def _make(self) -> None:
        """A new file becomes a cache; of several makers one does it. A file of something else stays alone."""
        if self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            return
        self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        end = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL").fetchone()
                break
            except sqlite3.OperationalError as error:
                # SQLite doesn't wait for others while it changes this mode.
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(0.01)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if not self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                self._db.execute(_TABLE)
                self._db.execute(f"PRAGMA user_version = {TABLE_FORMAT}")
                self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def _number(self, pragma: str) -> int:
        return int(self._db.execute(f"PRAGMA {pragma}").fetchone()[0])

    def get(self, key: str) -> Reply | None:
        """The reply to a call's key (`call_key`), if there is one."""
        kept = self._row(key)
        return None if kept is None or kept.finish_reason.startswith(_REFUSED) else kept

    def refusal(self, key: str) -> SampleError | None:
        """Why a call got no reply, if it was tried and hasn't got one since."""
        kept = self._row(key)
        if kept is None or not kept.finish_reason.startswith(_REFUSED):
            return None
        return SampleError(kept.finish_reason.removeprefix(_REFUSED), kept.text)

    def _row(self, key: str) -> Reply | None:
        with self._named_errors(), self._lock:
            row = self._db.execute(
                "SELECT text, finish_reason, prompt_tokens, completion_tokens FROM replies WHERE key = ?",
                (key,),
            ).fetchone()
        return Reply(str(row[0]), str(row[1]), int(row[2]), int(row[3])) if row else None

    def put(self, key: str, call: Call, reply: Reply) -> Reply:
        """Keep the reply to `call`, whose key is `key`, and return the one that is kept: the first."""
        if self._insert(key, call, reply):
            return reply
        kept = self.get(key)
        return kept or reply

    def put_refusal(self, key: str, call: Call, error: SampleError) -> None:
        """Keep why a call got no reply, for those who replay; a reply that comes later takes its place."""
        detail = error.detail.encode("utf-8", "replace").decode()
        self._insert(key, call, Reply(detail, _REFUSED + error.reason, 0, 0))

    def _insert(self, key: str, call: Call, reply: Reply) -> bool:
        """Whether it was written: never over a reply."""
        asked = (key, call.model, call.revision, call.prompt_version)
        told = (reply.text, reply.finish_reason, reply.prompt_tokens, reply.completion_tokens)
        with self._named_errors(), self._lock:
            done = self._db.execute(
                "INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
                " text = excluded.text, finish_reason = excluded.finish_reason,"
                " prompt_tokens = excluded.prompt_tokens, completion_tokens = excluded.completion_tokens,"
                " created = excluded.created WHERE substr(replies.finish_reason, 1, ?) = ?",
                (*asked, *told, time.time(), len(_REFUSED), _REFUSED),
            )
            return done.rowcount == 1

    def rate(self, model: str, revision: str | None) -> float | None:
        """Replies of a model a second, whoever asked: over the newest ones without a long pause between.

        None for fewer than `RATE_REPLIES`.
        """
        with self._named_errors(), self._lock:
            rows = self._db.execute(
                "SELECT created FROM replies WHERE model = ? AND revision IS ?"
                " AND substr(finish_reason, 1, ?) <> ? ORDER BY created DESC LIMIT 2000",
                (model, revision, len(_REFUSED), _REFUSED),
            ).fetchall()
        times = [float(row[0]) for row in rows]
        unbroken = min(1, len(times))
        while unbroken < len(times) and times[unbroken - 1] - times[unbroken] < _PAUSE_SECONDS:
            unbroken += 1
        if unbroken < RATE_REPLIES:
            return None
        span = times[0] - times[unbroken - 1]
        return (unbroken - 1) / span if span > 0 else None

    def stats(self) -> CacheStats:
        """What the cache holds, by model and prompt version, the newest first."""
        with self._named_errors(), self._lock:
            rows = self._db.execute(
                "SELECT model, revision, prompt_version, count(*), sum(length(CAST(text AS BLOB))),"
                " sum(prompt_tokens), sum(completion_tokens), min(created), max(created) FROM replies"
                " WHERE substr(finish_reason, 1, ?) <> ?"
                " GROUP BY model, revision, prompt_version ORDER BY max(created) DESC",
                (len(_REFUSED), _REFUSED),
            ).fetchall()
        shares = tuple(Share(*row) for row in rows)
        return CacheStats(
            path=str(self.path),
            file_bytes=self._file_bytes(),
            replies=sum(share.replies for share in shares),
            prompt_tokens=sum(share.prompt_tokens for share in shares),
            completion_tokens=sum(share.completion_tokens for share in shares),
            oldest=min((share.oldest for share in shares), default=None),
            newest=max((share.newest for share in shares), default=None),
            shares=shares,
        )

    def _file_bytes(self) -> int:
        log = self.path.with_name(f"{self.path.name}-wal")
        return sum(file.stat().st_size for file in (self.path, log) if file.exists())

    def prune(self, selection: Selection) -> int:
        """Drop the selected replies and give their space back; returns how many. An empty selection is a
        ValueError.
        """
        conditions: dict[str, object] = {}
        if selection.model is not None:
            conditions["model = ?"] = selection.model
        if selection.prompt_version is not None:
            conditions["prompt_version = ?"] = selection.prompt_version
        if selection.older_than is not None:
            conditions["created < ?"] = time.time() - selection.older_than
        if not conditions:
            raise ValueError("an empty selection prunes everything")
        where = " AND ".join(conditions)
        with self._named_errors(), self._lock:
            done = self._db.execute(f"DELETE FROM replies WHERE {where}", tuple(conditions.values()))
            self._db.executescript("PRAGMA incremental_vacuum;")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return done.rowcount

    def close(self) -> None:
        """Close the file; the last to do so leaves one file without a log."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreError(
                f"{self.path}: the reply cache can't be used: {error}; check the disk's space, the folder's "
                "rights and whether another program holds the file, then build again"
            ) from error
        except sqlite3.Error as error:
            raise StoreError(
                f"{self.path}: the reply cache is damaged: {error}; repair it with the command `sqlite3 "
                f"{self.path} .recover`, or move it away: what it held is then asked again"
            ) from error
        except OSError as error:
            raise StoreError(
                f"{self.path}: the reply cache can't be made: {error.strerror}; give another path for it"
            ) from error
