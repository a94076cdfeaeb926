"""Stage external: a run of rows of an annotation file, each read and checked, without its pictures."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypedDict

from flows.stages.importers import importer
from flows.stages.job import Job
from flows.stages.known import Known
from flows.stages.outline import Range, ranges_of, spans
from flows.stages.row_fields import Imported, Part, Turn, Values
from flows.stages.stage import Stage, a_shard
from schemas.config import ExternalConfig
from schemas.errors import BuildError, InputError, SampleError
from schemas.shards import Item, ShardWriter
from schemas.store import Manifest, Store

VERSION = 1
MAX_ROW = 256_000
"""Bytes of a row; dialogues have a few thousand."""


class ExternalRecord(TypedDict):
    """A record of this stage: what `flows.stages.importers` read, and the row's place.

    `messages` are (role, text), `pictures` (path, part); tuples are read back as lists.
    """

    task: str
    messages: list[Turn]
    pictures: list[tuple[str, Part]]
    distortions: list[dict[str, Any]] | None
    better: int | None
    id: str
    source: str
    license: str
    file: str
    row: int
    given_id: str | None
    task_type: str | None
    origin: str | None
    groups: list[str]
    published_test: bool


def jobs(known: Known) -> list[Job]:
    """The jobs of all annotation files, once each."""
    return list({job.key: job for job, _ in listed(known)}.values())


def listed(known: Known) -> list[tuple[Job, int]]:
    """The jobs of all annotation files with the numbers of their datasets in the configuration, in order; two
    datasets that share a file share its jobs.
    """
    return known.once(_listed, "outline")


def _listed(known: Known) -> list[tuple[Job, int]]:
    datasets = known.config.merge.external
    files = [(number, path) for number, one in enumerate(datasets) for path in one.annotations]
    return [
        (made, number)
        for outline, (number, path) in zip(known.jobs["outline"], files, strict=True)
        for made in file_jobs(known.found[outline.key], path, outline.content["file"], datasets[number])
    ]


def file_jobs(outline: Manifest, path: Path, sha256: str, dataset: ExternalConfig) -> list[Job]:
    """One job a run of rows of the file at `path`; its key holds the file's hash and the run."""
    kind = importer(dataset.kind)
    content: dict[str, Any] = {
        **kind.facts(path),
        "version": VERSION,
        "kind": dataset.kind,
        "file": sha256,
        "name": path.name,
        "license": dataset.license or kind.license,
    }
    return [
        Job("external", {**content, "range": list(entry)}, {"path": str(path)})
        for entry in ranges_of(outline)
    ]


def run(job: Job, store: Store, out: ShardWriter) -> None:
    """Read the rows; `extra["pictures"]` lists the paths they name. What can't be used is quarantined."""
    content = job.content
    read = importer(content["kind"]).read
    rows = Range(*content["range"])
    data = _read(Path(job.local["path"]), rows)
    named: set[str] = set()
    listed = io.BytesIO(b"[" + data + b"]")
    for number, (a, b) in enumerate(spans(listed, Path(job.local["path"])), rows.first):
        out.counts["rows"] += 1
        source = f"{content['name']}#{number}"
        with out.guard(source):
            row = _parsed(data[a - 1 : b - 1])
            imported = read(row, content)
            if not imported.messages:
                out.counts["left out: question without an answer"] += 1
                continue
            record = _record(imported, content, number)
            named.update(name for name, _ in imported.pictures)
            if imported.origin is not None:
                named.add(imported.origin)
            out.counts[f"tasks: {imported.task}"] += 1
            out.add(Item(str(number), record))
    out.extra["pictures"] = sorted(named)


def _read(path: Path, rows: Range) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(rows.start)
            data = file.read(rows.end - rows.start)
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}; give the dataset's JSON file") from error
    if hashlib.sha256(data).hexdigest() != rows.sha256:
        raise InputError(f"{path}: it changed while the build ran; build again")
    return data


def _parsed(data: bytes) -> Values:
    """Raises SampleError "row-too-long", "bad-json" or "row-type"."""
    if len(data) > MAX_ROW:
        raise SampleError("row-too-long", f"{len(data)} bytes; the limit is {MAX_ROW}")
    try:
        row = _DECODER.decode(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SampleError("bad-json", str(error)[:200]) from error
    if not isinstance(row, dict):
        raise SampleError("row-type", f"the row is {type(row).__name__}, not an object")
    return row


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _record(row: Imported, content: dict[str, Any], number: int) -> ExternalRecord:
    """A row as it is stored; `id` is a hash of what it says, so a row given twice has one id."""
    said = [row.task, repr(row.distortions), repr(row.better)]
    said += [part for pair in (*row.messages, *row.pictures) for part in pair]
    digest = hashlib.sha256("\x1f".join(said).encode()).hexdigest()  # no text holds this character
    return {
        "task": row.task,
        "messages": row.messages,
        "pictures": row.pictures,
        "distortions": row.distortions,
        "better": row.better,
        "id": f"{content['kind']}-{digest[:20]}",
        "source": content["kind"],
        "license": content["license"],
        "file": content["name"],
        "row": number,
        "given_id": row.given_id,
        "task_type": row.task_type,
        "origin": row.origin,
        "groups": row.groups,
        "published_test": row.published_test,
    }


@dataclass
class FileTally:
    """What became of the rows of one annotation file."""

    name: str
    rows: int = 0
    bad: Counter[str] = field(default_factory=Counter)


def tally(jobs: Iterable[Job], manifests: Mapping[str, Manifest]) -> dict[str, FileTally]:
    """Rows and unusable rows of each annotation file by its hash, from the finished shards."""
    files: dict[str, FileTally] = {}
    for job in jobs:
        manifest = manifests[job.key]
        file = files.setdefault(job.content["file"], FileTally(job.content["name"]))
        file.rows += manifest.counts.get("rows", 0)
        file.bad.update(entry.reason for entry in manifest.quarantine)
    return files


def judge(files: Iterable[FileTally], max_bad_share: float) -> None:
    """Raises BuildError, one line, for a file with a larger share of unusable rows."""
    for file in files:
        bad = file.bad.total()
        if bad > max_bad_share * file.rows:
            reasons = ", ".join(f"{reason} {count}" for reason, count in file.bad.most_common(3))
            what = f"{bad} of {file.rows} rows can't be used ({reasons})"
            raise BuildError(
                f"{file.name}: {what}; the limit merge.max_bad_share is {max_bad_share:.1%}; "
                "complete the dataset's files or raise the limit"
            )


def _judge(known: Known) -> None:
    judge(tally(known.jobs["external"], known.found).values(), known.config.merge.max_bad_share)


STAGE = Stage(
    "external", after=("outline",), jobs=jobs, run=run, cost=a_shard(1.0), optional=True, judge=_judge
)
