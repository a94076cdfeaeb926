"""Stage merge: all rows of all sources in one order, with their splits, cut into the shards to publish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

from flows.stages.external import FileTally, judge, listed
from flows.stages.ingest import ingested
from flows.stages.job import Job
from flows.stages.keepout import KeepOut, evaluation_sets, listed_hashes
from flows.stages.known import Known
from flows.stages.merging.candidates import Candidate, Picture, RowRef
from flows.stages.merging.conflicts import without_conflicts
from flows.stages.merging.duplicates import generated_files, same_pictures, without_repeats
from flows.stages.merging.mixture import allowed, mixed
from flows.stages.merging.read_candidates import external_rows, own_rows, stored_pictures
from flows.stages.merging.splits import split_rows
from flows.stages.pictures import located
from flows.stages.stage import Stage, a_shard
from flows.stages.survivors import survivors
from schemas.config import MergeConfig
from schemas.hashing import content_key
from schemas.records import SPLITS, Split
from schemas.sections import shaping
from schemas.shards import Item, ShardWriter, read_items
from schemas.store import Manifest, Store

VERSION = 3
_TEXT_BYTES = 2_000
"""What a row without a picture counts for where files are cut by bytes."""


class ListedShard(TypedDict):
    """What the manifest lists of each file to publish; `digest` is a hash of the rows it gets."""

    name: str
    split: Split
    rows: int
    digest: str


class FileRows(TypedDict):
    """A record of this stage: the rows (`RowRef`) of one file to publish."""

    split: Split
    rows: list[list[Any]]


def jobs(known: Known) -> list[Job]:
    """The one job of this stage."""
    config = known.config
    content: dict[str, Any] = {
        "version": VERSION,
        "merge": shaping(config.merge, "merge"),
        "publish": shaping(config.publish, "merge"),
        "seed": config.seed,
        "annotate": [[job.key, job.content["distort"]] for job in known.jobs["annotate"]],
    }
    local: dict[str, Any] = {}
    rows = listed(known)
    if rows:
        found = located(known)
        files = [{name: sha256 for name, (sha256, _, _) in one.files.items()} for one in found]
        lost = [one.lost for one in found]
        hashes = listed_hashes(evaluation_sets(known))
        content |= {
            "external": [[row.key, number] for row, number in rows],
            "found": content_key([sorted(names.items()) for names in files], [sorted(one) for one in lost]),
            "pictures": [job.key for job in known.jobs["pictures"]],
            "near_duplicate_bits": config.ingest.near_duplicate_bits,
            "keep_out": [[job.key for job in known.jobs["keepout"]], content_key(hashes)],
            "ingest": sorted(survivors(known).by_shard),
        }
        local = {
            "files": files,
            "lost": lost,
            "hashes": hashes,
            "named": [[row.content["file"], row.content["name"]] for row, _ in rows],
        }
    return [Job("merge", content, local)]


def run(job: Job, store: Store, out: ShardWriter) -> None:
    """Bring the sources together, shuffle pictures, cut by bytes; `extra["shards"]` lists what to publish.

    The rows of a picture follow one another, so that a row group stores it once; publishing shuffles each row
    group's rows.
    """
    config = MergeConfig.model_validate(job.content["merge"])
    counts: Counter[str] = Counter()
    rows = list(own_rows(store, job.content["annotate"]))
    pictures: dict[str, Picture] = {}
    if "external" in job.content:
        pictures = stored_pictures(store, job.content["pictures"])
        rows += _external_rows(job, store, out, config, pictures, counts)
    rows = [row for row in rows if _licensed(row, config, counts)]
    if pictures:
        bits = job.content["near_duplicate_bits"]
        used = {name for row in rows if row.stage == "external" for name in row.pictures}
        shown = {name: pictures[name] for name in sorted(used)}
        stands = same_pictures(shown, generated_files(rows), bits, counts)
        for row in rows:
            row.pictures = tuple(stands.get(name, name) for name in row.pictures)
            row.origin = stands.get(row.origin, row.origin) if row.origin else None
        looks = {first: pictures[first].pixels for first in stands.values()}
        rows = without_conflicts(without_repeats(rows, looks, counts), looks, counts)
    kept = mixed(rows, config.mixture, job.content["seed"], counts) if config.mixture else rows
    placed = split_rows(kept, pictures, _photographs(job, store), config, counts)
    out.counts.update({f"merge: {name}": count for name, count in counts.items() if count})
    by_split: dict[Split, list[RowRef]] = {split: [] for split in SPLITS}
    for row, split in placed:
        by_split[split].append(_reference(row, pictures))
    _cut(job, by_split, out)


def _cut(job: Job, by_split: Mapping[Split, list[RowRef]], out: ShardWriter) -> None:
    bounds = job.content["publish"]
    shards: list[ListedShard] = []
    for split, rows in by_split.items():
        rows.sort(
            key=lambda ref: (content_key(job.content["seed"], "shuffle", _picture_key(ref)), ref.row_id)
        )
        out.counts[f"rows: {split}"] = len(rows)
        runs = list(_runs(rows, bounds["shard_bytes"], bounds["min_shards"]))
        for number, run_of in enumerate(runs):
            name = f"{split}-{number:05d}-of-{len(runs):05d}"
            listed = [list(ref) for ref in run_of]
            shards.append({"name": name, "split": split, "rows": len(listed), "digest": content_key(listed)})
            out.add(Item(name, FileRows(split=split, rows=listed)))
    out.extra["shards"] = shards


def _external_rows(
    job: Job,
    store: Store,
    out: ShardWriter,
    config: MergeConfig,
    pictures: Mapping[str, Picture],
    counts: Counter[str],
) -> list[Candidate]:
    """Rows of other datasets, evaluation pictures out first, then rows without a usable picture, then other
    versions of a photograph that an evaluation set has.

    `extra["kept_out"]` lists the pictures that were evaluation pictures. Raises BuildError when an annotation
    file has too many unusable rows.
    """
    keys, _ = job.content["keep_out"]
    keep_out = KeepOut(keys, [tuple(entry) for entry in job.local["hashes"]], config.keep_out_bits, store)
    matches = {
        sha256: found
        for sha256, picture in pictures.items()
        if (found := keep_out.match(sha256, picture.pixels, picture.fingerprint)) is not None
    }
    undecoded: dict[str, list[str]] = {}
    for key in job.content["pictures"]:
        undecoded |= _manifest(store, "pictures", key).extra["lost"]
    removed: set[tuple[str, str]] = set()
    groups: set[str] = set()
    tallies: dict[str, FileTally] = {}
    kept: list[Candidate] = []
    for (key, number), (file, name) in zip(job.content["external"], job.local["named"], strict=True):
        tally = tallies.setdefault(file, FileTally(name))
        manifest = _manifest(store, "external", key)
        tally.rows += manifest.counts.get("rows", 0)
        tally.bad.update(entry.reason for entry in manifest.quarantine)
        for row, missing in external_rows(store, key, job.local["files"][number]):
            if row.origin is not None and row.origin in undecoded and row.origin not in row.pictures:
                row.origin = None
            shown = [*row.pictures, *([row.origin] if row.origin else [])]
            held = [sha256 for sha256 in shown if sha256 in matches]
            if held:
                removed.update((row.source, sha256) for sha256 in held)
                groups.update(row.groups)
                counts[f"evaluation: {row.source}"] += 1
                continue
            fault = _fault(row, missing, job.local["lost"][number], undecoded)
            if fault is not None:
                tally.bad[fault[0]] += 1
                out.quarantine(f"{name}#{row.item}", fault[0], fault[1], row.row_id)
                continue
            row.bytes = sum(pictures[sha256].bytes for sha256 in row.pictures) or _TEXT_BYTES
            kept.append(row)
    judge(tallies.values(), config.max_bad_share)
    versions = [row for row in kept if not groups.isdisjoint(row.groups)]
    counts.update(f"evaluation, versions of the photograph: {row.source}" for row in versions)
    kept = [row for row in kept if groups.isdisjoint(row.groups)]
    out.extra["kept_out"] = [
        [source, pictures[sha256].uri, pictures[sha256].pixels, *matches[sha256]]
        for source, sha256 in sorted(removed)
    ]
    return kept


def _fault(
    row: Candidate, missing: str | None, lost: Mapping[str, Any], undecoded: Mapping[str, Any]
) -> tuple[str, str] | None:
    """The reason and detail of a row with a picture that can't be used."""
    if missing is not None:
        reason, detail = lost.get(missing, ("missing-file", "there is no such file"))
        return reason, f"{missing}: {detail}"
    broken = next((sha256 for sha256 in row.pictures if sha256 in undecoded), None)
    return None if broken is None else (undecoded[broken][0], undecoded[broken][1])


def _manifest(store: Store, stage: str, key: str) -> Manifest:
    manifest = store.find(stage, key)
    if manifest is None:
        raise KeyError(f"{stage} {key} is not in the store")
    return manifest


def _photographs(job: Job, store: Store) -> Iterator[tuple[str, str]]:
    """SHA-256 and fingerprint of our photographs, once each."""
    for key in job.content.get("ingest", []):
        for entry in ingested(_manifest(store, "ingest", key)):
            yield entry["source_image"]["sha256"], entry["fingerprint"]


def _licensed(row: Candidate, config: MergeConfig, counts: Counter[str]) -> bool:
    fine = allowed(row.license, config.licenses)
    counts[f"licence: {row.source}"] += not fine
    return fine


def _reference(row: Candidate, pictures: Mapping[str, Picture]) -> RowRef:
    if row.distort is not None:
        key, sample_id, place = row.distort
        return RowRef(
            row.row_id, row.stage, row.key, row.item, [["distort", key, place, sample_id]], None, row.bytes
        )

    def place_of(sha256: str) -> list[Any]:
        picture = pictures[sha256]
        return ["pictures", picture.key, picture.place, picture.sha256]

    source = row.origin or (row.pictures[-1] if row.pictures else None)
    return RowRef(
        row.row_id,
        row.stage,
        row.key,
        row.item,
        [place_of(sha256) for sha256 in row.pictures],
        None if source is None else place_of(source),
        row.bytes,
    )


def _picture_key(ref: RowRef) -> str:
    """What a row shows: rows of one value have the same pictures."""
    return content_key(ref.pictures) if ref.pictures else ref.row_id


def _runs(rows: Sequence[RowRef], shard_bytes: int, min_shards: int) -> Iterator[list[RowRef]]:
    """Equal runs of rows: as few as stay below `shard_bytes` on average, at least `min_shards` where rows
    suffice; more than four are a multiple of eight, which common numbers of ranks divide.
    """
    if not rows:
        return
    total = sum({_picture_key(ref): ref.bytes for ref in rows}.values())
    count = max(min_shards, -(-total // shard_bytes))
    count = min(len(rows), next((few for few in (1, 2, 4) if few >= count), -(-count // 8) * 8))
    for number in range(count):
        start, end = len(rows) * number // count, len(rows) * (number + 1) // count
        yield list(rows[start:end])


def files_of(manifest: Manifest) -> list[ListedShard]:
    """The files to publish, as the finished shard lists them."""
    shards: list[ListedShard] = manifest.extra["shards"]
    return shards


def shard_rows(store: Store, merge_key: str, name: str) -> list[RowRef]:
    """The rows of one shard to publish, in order."""
    items: Iterator[Item[FileRows]] = read_items(store, "merge", merge_key, only={name})
    for item in items:
        return [RowRef(*ref) for ref in item.record["rows"]]
    raise KeyError(f"merge {merge_key} has no shard {name}")


STAGE = Stage(
    "merge", after=("ingest", "keepout", "pictures", "annotate"), jobs=jobs, run=run, cost=a_shard(0.5)
)
