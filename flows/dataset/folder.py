"""The dataset folder: data files, card, manifest, report and recipes, made hidden and shown by one rename."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import yaml

from distortions import catalog
from flows.dataset.card import PublishedFile, croissant, dataset_card
from flows.dataset.report import (
    BuildSummary,
    Duplicate,
    ReportData,
    ReportRow,
    ShardCount,
    choose_gallery,
    collect,
    render,
    row_meta,
)
from flows.stages import publish
from flows.stages.distort import DistortedSample
from flows.stages.job import Job
from flows.stages.merge import files_of, shard_rows
from schemas import __version__
from schemas.arrow import dataset_digest
from schemas.config import BuildConfig, config_hash
from schemas.dataset import (
    DATASET_FORMAT,
    MANIFEST,
    DatasetManifest,
    FileEntry,
    KeptOut,
    find_rows,
    quarantine_bytes,
    read_rows,
    recipe_bytes,
)
from schemas.errors import StoreError
from schemas.folders import make_durable
from schemas.hashing import canonical_json, content_key
from schemas.records import EXTERNAL_TASKS, SPLITS, TASKS, Quarantined
from schemas.sections import public
from schemas.shards import Item, check_shard, file_digest, read_items
from schemas.store import Manifest, Store, fsync_folder, wrap_disk_errors

LIBRARIES = ("numpy", "opencv-python", "pillow", "pyarrow", "pycocotools", "scikit-image")


@dataclass
class BuildFacts:
    """What the build knows once all shards exist: handed to the report, the card and the manifest."""

    config: BuildConfig
    inputs: int
    quarantine: list[Quarantined]
    duplicates: list[Duplicate]
    runner: str
    workers: int
    kept_out: list[KeptOut] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    shards: dict[str, ShardCount] = field(default_factory=dict)


def dataset_key(files: Sequence[Job], facts: BuildFacts) -> str:
    """The key of the whole dataset folder: its files, what is told of quarantine and duplicates, the code's
    version.
    """
    listed = [[job.key, job.local["name"]] for job in files]
    quarantine = [entry.model_dump() for entry in facts.quarantine]
    duplicates = [[entry.uri, entry.kept, entry.kind] for entry in facts.duplicates]
    kept_out = [entry.model_dump() for entry in facts.kept_out]
    return content_key(
        "dataset", publish.VERSION, __version__, facts.config.name, listed, quarantine, duplicates, kept_out
    )


def dataset_folder(out: Path, name: str, key: str) -> Path:
    return out / "datasets" / f"{name}-{key[:12]}"


def assemble(
    files: Sequence[Job], merge: Manifest, distort: Sequence[Job], facts: BuildFacts, store: Store, out: Path
) -> DatasetManifest:
    """Make the dataset folder under a hidden name, check every shard's bytes, rename it, point `latest` at
    it.

    A folder left unfinished by a killed run is removed first. Raises StoreError when a shard is damaged.
    """
    key = dataset_key(files, facts)
    final = dataset_folder(out, facts.config.name, key)
    started = time.perf_counter()
    with wrap_disk_errors(out):
        staging = out / "datasets" / f".{final.name}.unfinished"
        for leftover in (out / "datasets").glob(".*.unfinished"):
            shutil.rmtree(leftover)
        (staging / "data").mkdir(parents=True)
        try:
            manifest = _fill(staging, key, files, merge, distort, facts, store, started)
            make_durable(staging)
            if final.exists():
                shutil.rmtree(final)
            staging.rename(final)
            fsync_folder(final.parent)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        point_latest(out, final)
    return manifest


def point_latest(out: Path, final: Path) -> None:
    """Make `latest` a link to the dataset folder, by rename."""
    link = out / ".latest.new"
    link.unlink(missing_ok=True)
    link.symlink_to(Path("datasets") / final.name, target_is_directory=True)
    link.replace(out / "latest")
    fsync_folder(out)


def _fill(
    folder: Path,
    key: str,
    files: Sequence[Job],
    merge: Manifest,
    distort: Sequence[Job],
    facts: BuildFacts,
    store: Store,
    started: float,
) -> DatasetManifest:
    published, digests = _place_files(folder, files, merge, store)
    return describe(folder, key, published, digests, _recipes(store, merge, distort), facts, started)


def describe(
    folder: Path,
    key: str,
    published: Sequence[PublishedFile],
    digests: Mapping[str, str],
    recipes: Sequence[dict[str, str]],
    facts: BuildFacts,
    started: float,
) -> DatasetManifest:
    """Write everything of a dataset folder but its data files: recipes, quarantine, report, card, manifest.

    `digests` holds each row's digest by id, `started` when the folder's making began (time.perf_counter).
    """
    entries = {
        file.path: FileEntry(sha256=file.sha256, bytes=file.bytes, rows=file.rows, split=file.split)
        for file in published
    }
    digest = dataset_digest(dict(digests))
    config = public(facts.config)
    texts = {
        "quarantine.parquet": quarantine_bytes(facts.quarantine),
        "recipes.parquet": recipe_bytes(recipes),
    }
    data = _report_data(folder, published, facts, digest, started)
    texts["report.html"] = render(data).encode()
    texts["README.md"] = dataset_card(data, published, yaml.safe_dump(config, sort_keys=False)).encode()
    texts["croissant.json"] = canonical_json(croissant(data, published)).encode()
    counts = {"quarantine.parquet": len(facts.quarantine), "recipes.parquet": len(recipes)}
    for name, content in texts.items():
        (folder / name).write_bytes(content)
        sha256, size = file_digest(folder / name)
        entries[name] = FileEntry(sha256=sha256, bytes=size, rows=counts.get(name))
    manifest = DatasetManifest(
        format=DATASET_FORMAT,
        name=facts.config.name,
        digest=digest,
        key=key,
        rows=len(digests),
        tasks={
            task: sum(data.tasks.get(task, {}).values())
            for task in (*TASKS, *(task for task in EXTERNAL_TASKS if task in data.tasks))
        },
        splits={split: sum(by.get(split, 0) for by in data.tasks.values()) for split in SPLITS},
        quarantined=len(facts.quarantine),
        sources={source: sum(by.values()) for source, by in data.sources.items()},
        licenses=data.licenses,
        merged=dict(data.build.merged),
        kept_out=facts.kept_out,
        seed=facts.config.seed,
        config=config,
        config_hash=config_hash(facts.config),
        code_version=__version__,
        versions={name: version(name) for name in LIBRARIES},
        files=entries,
        shards={stage: {"new": count.new, "reused": count.reused} for stage, count in facts.shards.items()},
        seconds={**facts.seconds, "assemble": round(time.perf_counter() - started, 3)},
        facts={
            "inputs": facts.inputs,
            "runner": facts.runner,
            "workers": facts.workers,
            "counts": facts.counts,
            "duplicates": [[entry.uri, entry.kept, entry.kind] for entry in facts.duplicates],
        },
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return manifest


def _place_files(
    folder: Path, files: Sequence[Job], merge: Manifest, store: Store
) -> tuple[list[PublishedFile], dict[str, str]]:
    """Link (or copy) every shard to its name after checking its bytes against its manifest."""
    published: list[PublishedFile] = []
    digests: dict[str, str] = {}
    for job, shard in zip(files, files_of(merge), strict=True):
        source = check_shard(store, "publish", job.key)
        manifest = store.find("publish", job.key)
        if manifest is None:
            raise StoreError(f"{source}: this shard is gone; build again")
        path = f"data/{shard['name']}.parquet"
        _link_or_copy(source, folder / path)
        published.append(PublishedFile(path, shard["split"], manifest.rows, manifest.bytes, manifest.sha256))
        digests.update(manifest.extra["digests"])
    return published, digests


def _link_or_copy(source: Path, target: Path) -> None:
    """A hard link where the file system has them; the store's file and the link are made read-only
    together.
    """
    source.chmod(0o444)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(0o444)


def _recipes(store: Store, merge: Manifest, distort: Sequence[Job]) -> list[dict[str, str]]:
    """One recipe a row: files in the order they are published, the rows of each by id."""
    by_sample: dict[str, dict[str, str]] = {}
    for job in distort:
        items: Iterator[Item[DistortedSample]] = read_items(store, "distort", job.key)
        for item in items:
            source = item.record["sample"]["source_image"]
            by_sample[item.id] = {
                "sample_id": item.id,
                "source_sha256": source["sha256"],
                "source_uri": source["uri"],
                "picture_sha256": item.record["picture_sha256"],
                "recipe": canonical_json(item.record["recipe"]),
            }
    return [
        {"id": ref.row_id, **by_sample[ref.pictures[0][3]]}
        for shard in files_of(merge)
        for ref in sorted(shard_rows(store, merge.key, shard["name"]))
        if ref.stage == "annotate"
    ]


def _report_data(
    folder: Path, published: Sequence[PublishedFile], facts: BuildFacts, digest: str, started: float
) -> ReportData:
    paths = [folder / file.path for file in published]
    chosen = choose_gallery(
        row_meta(row)
        for path in paths
        for row in read_rows(path)
        if row.external is None or row.external.images
    )
    pictures = find_rows(paths, chosen)
    spent = {**facts.seconds, "assemble": round(time.perf_counter() - started, 3)}
    summary = BuildSummary(
        name=facts.config.name,
        digest=digest,
        seed=facts.config.seed,
        config_hash=config_hash(facts.config),
        code_version=__version__,
        position_grid=facts.config.regions.position_grid,
        made=time.strftime("%Y-%m-%d", time.gmtime()),
        runner=facts.runner,
        workers=facts.workers,
        inputs=facts.inputs,
        dataset_bytes=sum(file.bytes for file in published),
        seconds=spent,
        shards=facts.shards,
        skips=_under(facts.counts, "skipped: "),
        refusals=_under(facts.counts, "refused: "),
        duplicates=facts.duplicates,
        catalog=facts.config.distort.names or [entry.name for entry in catalog()],
        merged=_under(facts.counts, "merge: "),
        kept_out=facts.kept_out,
        mixture=facts.config.merge.mixture,
    )
    rows: Iterator[ReportRow] = (
        (row, next(iter(pictures.get(row.id, ())), None)) for path in paths for row in read_rows(path)
    )
    return collect(rows, facts.quarantine, summary, _under(facts.counts, "dropped: "))


def _under(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}
