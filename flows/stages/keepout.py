"""Stage keepout: evaluation pictures, hashed exactly and perceptually, that no row may show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from flows.sources import HashCache, SourceRef, read_source, scan
from flows.stages.job import Job, cut
from flows.stages.known import Known
from flows.stages.stage import Stage, a_shard
from schemas.config import ImagesConfig, IngestConfig, KeepOutConfig
from schemas.errors import InputError, SampleError
from schemas.pictures import NearPictures, decode, fingerprint, pixel_hash
from schemas.records import Quarantined
from schemas.shards import Item, ShardWriter, read_items
from schemas.store import Store

VERSION = 1
SHARD_PICTURES = 256
MAX_LINES = 10_000_000
_LIMITS = IngestConfig(min_side=1)
_HASH = re.compile(r"[0-9a-f]+(?:-[0-9a-f]+){0,2}")


class EvaluationPicture(TypedDict):
    """A record of this stage, by the file's hash; pixels' hashes are empty where it can't be decoded."""

    uri: str
    set: str
    pixels: str
    fingerprint: str


@dataclass
class Listed:
    """An evaluation set as listed: files of a folder, or the hashes of a list as (hash, name)."""

    name: str
    refs: list[SourceRef] = field(default_factory=list)
    hashes: list[tuple[str, str]] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)


def evaluation_sets(known: Known) -> list[Listed]:
    """The evaluation sets of the configuration. Raises InputError for one that can't be read."""
    return known.once(_list_sets)


def _list_sets(known: Known) -> list[Listed]:
    with known.hashes() as cache:
        return [_list(one, cache) for one in known.config.merge.keep_out]


def listed_hashes(listed: Iterable[Listed]) -> list[tuple[str, str, str]]:
    """(set, hash, name) of every evaluation picture that a list of hashes names."""
    return [(one.name, *entry) for one in listed for entry in one.hashes]


def _list(one: KeepOutConfig, cache: HashCache | None) -> Listed:
    if one.folder is not None:
        scanned = scan(ImagesConfig(folder=one.folder), _LIMITS, cache)
        refused = [entry.model_copy(update={"stage": "keepout"}) for entry in scanned.quarantined]
        return Listed(one.name or one.folder.name, scanned.refs, [], refused)
    assert one.list is not None
    return Listed(one.name or one.list.stem, hashes=read_list(one.list))


def read_list(path: Path) -> list[tuple[str, str]]:
    """(hash, name) of each line. Raises InputError (file and line) for anything else than hashes."""
    found = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                words = line.split(maxsplit=1)
                if not words or words[0].startswith("#"):
                    continue
                value = words[0].lower()
                if not _HASH.fullmatch(value) or not ("-" in value or len(value) in (16, 64)):
                    advice = "give 64 hex digits (SHA-256), 16 (perceptual hash) or a fingerprint"
                    raise InputError(f"{path}:{number}: {words[0][:40]!r} is not a hash; {advice}")
                found.append((value, words[1].strip() if len(words) > 1 else value))
                if number > MAX_LINES:
                    raise InputError(f"{path}: more than {MAX_LINES} lines; give one list a set")
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}; give a list of hashes") from error
    except ValueError as error:
        raise InputError(f"{path}: not UTF-8 text; give a list of hashes") from error
    return found


def jobs(known: Known) -> list[Job]:
    """One job a run of files of a folder."""
    made = []
    for one in evaluation_sets(known):
        by_hash = {ref.sha256: ref for ref in one.refs}
        for run_of in cut(list(by_hash), SHARD_PICTURES):
            files = [by_hash[sha256] for sha256 in run_of]
            content = {
                "version": VERSION,
                "set": one.name,
                "files": [[ref.sha256, ref.uri] for ref in files],
            }
            made.append(Job("keepout", content, {"files": [[str(ref.path), ref.size] for ref in files]}))
    return made


def run(job: Job, store: Store, out: ShardWriter) -> None:
    """Hash the pixels of every file; one that can't be decoded is still known by the hash of its bytes."""
    for (sha256, uri), (path, size) in zip(job.content["files"], job.local["files"], strict=True):
        record = EvaluationPicture(uri=uri, set=job.content["set"], pixels="", fingerprint="")
        try:
            rgb = decode(read_source(SourceRef(Path(path), uri, sha256, size, None)), _LIMITS).rgb
            record["pixels"], record["fingerprint"] = pixel_hash(rgb), fingerprint(rgb)
        except SampleError as error:
            out.quarantine(f"{job.content['set']}/{uri}", error.reason, error.detail)
        out.add(Item(sha256, record))


class KeepOut:
    """Looks pictures up among those of the evaluation sets."""

    def __init__(
        self, manifests: Iterable[str], hashes: Iterable[tuple[str, str, str]], bits: int, store: Store
    ) -> None:
        """`manifests` are keys of this stage's shards, `hashes` (set, hash, name) of the lists."""
        self._exact: dict[str, str] = {}
        self._near = NearPictures(bits)
        for key in manifests:
            items: Iterator[Item[EvaluationPicture]] = read_items(store, "keepout", key)
            for item in items:
                record = item.record
                self._add(f"{record['set']}/{record['uri']}", item.id, record["pixels"])
                if record["fingerprint"]:
                    self._near.add(f"{record['set']}/{record['uri']}", record["fingerprint"])
        for name, value, called in hashes:
            if len(value) == 64:
                self._add(f"{name}/{called}", value)
            else:
                self._near.add(f"{name}/{called}", value)

    def _add(self, name: str, *values: str) -> None:
        for value in values:
            if value:
                self._exact.setdefault(value, name)

    def match(self, sha256: str, pixels: str, fingerprint: str) -> tuple[str, str] | None:
        """(set/picture, "exact" or "near") of the evaluation picture that this one is or shows, or None."""
        found = self._exact.get(sha256) or self._exact.get(pixels)
        if found is not None:
            return found, "exact"
        near = self._near.find(sha256, fingerprint, first=True)
        return (near[0], "near") if near else None


STAGE = Stage("keepout", after=(), jobs=jobs, run=run, cost=a_shard(5.0), optional=True)
