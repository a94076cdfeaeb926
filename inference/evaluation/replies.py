"""Replies kept as they come, one JSON line each, so that a run that was stopped asks nothing twice."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import ValidationError

from inference.evaluation.benchmark_interface import Reply
from schemas.dataset import first_problem
from schemas.errors import InputError
from schemas.records import Mask, Record
from schemas.store import wrap_disk_errors


class _Kept(Record):
    """A line of the file."""

    id: str
    texts: tuple[str, ...]
    masks: tuple[Mask, ...]
    scores: tuple[float, ...]
    points: tuple[tuple[float, float], ...]
    whole_image: bool
    words: tuple[float, ...]
    seconds: float
    error: None

    def reply(self) -> Reply:
        return Reply(
            self.texts, self.masks, self.scores, self.points, self.whole_image, self.words, self.seconds
        )


def _whole(text: str) -> str:
    """The text with "?" for each half of a character, which a server may send and no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


class KeptReplies:
    """The replies of one run in a file. `key` stands in its first line: what they depend on.

    Raises InputError when the file is another run's, is being written, or can't be read. A last line that a
    crash left unfinished is dropped.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self.found: dict[str, Reply] = {}
        with wrap_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: RawIOBase = path.open("ab", buffering=0)
        try:
            self._begin(key)
        except BaseException:
            self._file.close()
            raise

    def _begin(self, key: str) -> None:
        """Take the file for this run alone, and read what it holds."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{self._path}: another run is writing it; wait for it to end") from error
        with wrap_disk_errors(self._path):
            whole = self._read(self._path.read_bytes(), key)
            self._file.truncate(whole)
        if whole == 0:
            self._write([{"key": key}])

    def _read(self, data: bytes, key: str) -> int:
        """Read the finished lines; the number of their bytes."""
        end = data.rfind(b"\n") + 1
        lines = data[:end].splitlines()
        if not lines:
            return 0
        try:
            head = json.loads(lines[0])
            if not isinstance(head, dict) or head.get("key") != key:
                raise InputError(f"{self._path}: replies of another run; give another --out or remove it")
            for line in lines[1:]:
                kept = _Kept.model_validate_json(line)
                self.found[kept.id] = kept.reply()
        except ValidationError as error:
            what = f"line {len(self.found) + 2} is not a reply: {first_problem(error)}"
            raise InputError(f"{self._path}: {what}; remove the file to ask again") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{self._path}: not JSON lines; remove the file to ask again") from error
        return end

    def add(self, ids: Sequence[str], replies: Sequence[Reply]) -> None:
        """Keep some replies, on the disk when this returns. Those with an error are kept for this run alone:
        a later one asks again. Half a character is kept as "?".
        """
        lines = []
        for name, said in zip(ids, replies, strict=True):
            reply = replace(said, texts=tuple(_whole(text) for text in said.texts))
            self.found[name] = reply
            if reply.error is None:
                values = {**asdict(reply), "masks": [mask.model_dump() for mask in reply.masks]}
                lines.append({"id": name, **values})
        self._write(lines)

    def _write(self, lines: Sequence[dict[str, Any]]) -> None:
        data = memoryview(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        with wrap_disk_errors(self._path):
            while data:
                data = data[self._file.write(data) or 0 :]
            os.fsync(self._file.fileno())

    def __enter__(self) -> KeptReplies:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
