"""`recipes rebuild`: a dataset from its pack and the source photographs, the same digest or each row that
differs.
"""

from __future__ import annotations

import multiprocessing
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from flows.dataset.columns import PublishedFile
from flows.dataset.folder import BuildFacts, describe
from flows.dataset.recipes.remake import Photograph, Remade, file_name, remake
from flows.dataset.report import Duplicate, ShardCount
from flows.sources import SourceRef, scan
from flows.workers import single_threaded_libraries
from schemas.arrow import row_digest
from schemas.config import BuildConfig, ImagesConfig
from schemas.dataset import RowWriter, first_problem
from schemas.errors import BuildError, InputError
from schemas.folders import move_into_place, staging_folder
from schemas.meter import SILENT, Progress
from schemas.packs import PackedPicture, PackedRow, PackHead, read_pack, read_pack_head, read_packed_pictures
from schemas.shards import file_digest

_DATA_FILE = re.compile(r"data/[a-z]+-[0-9]+-of-[0-9]+\.parquet")


@dataclass(frozen=True)
class Rebuilt:
    """What came of it: `digest` of the new dataset, None when rows differ (`differing`, why by row id)."""

    rows: int
    digest: str | None
    differing: dict[str, str]


def rebuild(
    pack: Path, images: ImagesConfig, out: Path, workers: int, progress: Progress = SILENT
) -> Rebuilt:
    """Make the dataset of a pack in the folder `out`, which appears by one rename when every row is the same.

    Photographs are found by the hash of their bytes, whatever their names. Raises InputError when the pack
    can't be read, `out` exists or there are no photographs; BuildError when the digest isn't the pack's.
    """
    head = read_pack_head(pack)
    config = _config(pack, head)
    with staging_folder(out) as staging:
        wanted: dict[str, dict[str, PackedPicture]] = {}
        shown: dict[str, list[str]] = {}
        for row_id, pictures in read_packed_pictures(pack):
            shown[row_id] = [picture.name for picture in pictures]
            for picture in pictures:
                wanted.setdefault(picture.source_sha256, {})[picture.name] = picture
        started = time.perf_counter()
        made = staging / ".pictures"
        made.mkdir()
        photographs = _photographs(wanted, scan(images, config.ingest).refs if wanted else [])
        why: dict[str, str] = {}
        with progress("rebuild", len(photographs), unit="photographs", done="remade") as meter:
            for results in _remade(photographs, wanted, config, head, made, workers):
                why.update((one.name, one.why) for one in results if one.why is not None)
                meter.step()
        differing = {row_id: why[name] for row_id, names in shown.items() for name in names if name in why}
        digest = None
        if not differing:
            digest = _write(pack, head, config, staging, made, started)
            move_into_place(staging, out)
    return Rebuilt(len(shown), digest, differing)


def _config(pack: Path, head: PackHead) -> BuildConfig:
    try:
        return BuildConfig.model_validate({**head.manifest.config, "out": "."})
    except ValidationError as error:
        raise InputError(f"{pack}: its configuration is not valid: {first_problem(error)}") from error


def _photographs(
    wanted: Mapping[str, Mapping[str, PackedPicture]], refs: list[SourceRef]
) -> list[Photograph]:
    """The file of each source: by hash, else, to tell by how much it changed, one of the same name."""
    by_hash = {ref.sha256: ref for ref in refs}
    by_name = {PurePosixPath(ref.uri).name: ref for ref in refs if ref.sha256 not in wanted}
    found = []
    for sha256, pictures in sorted(wanted.items()):
        uri = next(iter(pictures.values())).source_uri
        ref = by_hash.get(sha256) or by_name.get(PurePosixPath(uri).name)
        found.append(Photograph(sha256, uri, ref))
    return found


def _remade(
    photographs: list[Photograph],
    wanted: Mapping[str, Mapping[str, PackedPicture]],
    config: BuildConfig,
    head: PackHead,
    folder: Path,
    workers: int,
) -> Iterator[list[Remade]]:
    """The pictures of every photograph, a photograph a task."""
    tasks = [
        (photograph, list(wanted[photograph.sha256].values()), config.ingest, head.manifest.versions, folder)
        for photograph in photographs
    ]
    if workers == 1:
        for task in tasks:
            yield remake(*task)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=single_threaded_libraries) as pool:
        yield from pool.map(remake, *zip(*tasks, strict=True))


def _write(pack: Path, head: PackHead, config: BuildConfig, folder: Path, made: Path, started: float) -> str:
    """Write the data files and all that describes them; returns the digest, which is the pack's."""
    digests: dict[str, str] = {}
    recipes: list[dict[str, str]] = []
    published: list[PublishedFile] = []
    (folder / "data").mkdir()
    for name, rows in groupby(read_pack(pack), lambda packed: packed.file):
        split = _split_of(pack, head, name, published)
        writer = RowWriter(folder / name, config.publish.rows_per_group, config.publish.group_bytes)
        try:
            for packed in rows:
                pictures = [(made / file_name(picture)).read_bytes() for picture in packed.pictures]
                writer.add(packed.row, pictures)
                hashes = [picture.pixels_sha256 for picture in packed.pictures]
                digests[packed.row.id] = row_digest(packed.row, hashes)
                if packed.sample_id is not None:
                    recipes.append(_recipe(packed, packed.sample_id))
            writer.close()
        except BaseException:
            writer.abandon()
            raise
        sha256, size = file_digest(folder / name)
        published.append(PublishedFile(name, split, writer.rows, size, sha256))
    shutil.rmtree(made)
    manifest = describe(folder, head.manifest.key, published, digests, recipes, _facts(head, config), started)
    if manifest.digest != head.manifest.digest:
        what = f"the rows' digest is {manifest.digest[:16]}..., the pack's {head.manifest.digest[:16]}..."
        raise BuildError(f"{pack}: {what}; the pack's rows were changed, get it again")
    return manifest.digest


def _split_of(pack: Path, head: PackHead, name: str, published: Sequence[PublishedFile]) -> str:
    """The split of a data file the pack names. Raises InputError for a name that isn't a data file's."""
    entry = head.manifest.files.get(name)
    if entry is None or entry.split is None or _DATA_FILE.fullmatch(name) is None:
        raise InputError(f"{pack}: a row is in {name!r}, which is not a data file; don't trust this pack")
    if any(file.path == name for file in published):
        raise InputError(f"{pack}: the rows of {name} don't follow one another; make the pack again")
    return entry.split


def _recipe(packed: PackedRow, sample_id: str) -> dict[str, str]:
    """The row of recipes.parquet."""
    picture = packed.pictures[0]
    return {
        "id": packed.row.id,
        "sample_id": sample_id,
        "source_sha256": picture.source_sha256,
        "source_uri": picture.source_uri,
        "picture_sha256": picture.pixels_sha256,
        "recipe": picture.recipe or "",
    }


def _facts(head: PackHead, config: BuildConfig) -> BuildFacts:
    """What the first build knew, from its manifest."""
    manifest = head.manifest
    told = manifest.facts
    return BuildFacts(
        config=config,
        inputs=told.get("inputs", 0),
        quarantine=head.quarantine,
        duplicates=[Duplicate(*entry) for entry in told.get("duplicates", [])],
        runner=told.get("runner", ""),
        workers=told.get("workers", 1),
        kept_out=manifest.kept_out,
        counts=told.get("counts", {}),
        seconds=dict(manifest.seconds),
        shards={stage: ShardCount(**count) for stage, count in manifest.shards.items()},
    )
