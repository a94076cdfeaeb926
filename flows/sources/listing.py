"""Lists the candidates of a source before any is read: a folder, a manifest, or a COCO annotation file."""

# Names may hold undecodable bytes and come by the hundred thousand: plain strings and os calls.
# ruff: noqa: PTH112, PTH118, PTH120, PTH122

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.sources.files import is_inside, locate, to_uri
from schemas.errors import InputError, SampleError
from schemas.records import Quarantined

READ_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib", ".tif", ".tiff")
REFUSED_SUFFIXES = (
    *(
        ".gif",
        ".heic",
        ".heif",
        ".avif",
        ".jp2",
        ".j2k",
        ".jxl",
        ".psd",
        ".ico",
        ".svg",
        ".ppm",
        ".pgm",
        ".qoi",
    ),
    *(".exr", ".hdr", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
)
PICTURE_SUFFIXES = frozenset(READ_SUFFIXES + REFUSED_SUFFIXES)
"""A file of a folder is a candidate by its suffix alone; what it really is, its content decides."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A regular file to read: `real` is its real path, `uri` its name in the source."""

    real: str
    uri: str
    license: str | None
    coco_name: str | None = None


@dataclass(slots=True)
class Listing:
    """Candidates, what can't be used, and how many entries of a folder don't have a picture's name."""

    candidates: list[Candidate] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    ignored: int = 0

    def refuse(self, source: str, error: SampleError) -> None:
        self.quarantined.append(
            Quarantined(stage="ingest", source=source, reason=error.reason, error=error.detail)
        )


def real_folder(folder: Path) -> str:
    """The real path of a folder that can be listed. Raises InputError."""
    try:
        real = os.path.realpath(folder, strict=True)
        with os.scandir(real):
            return real
    except OSError as error:
        problem = (error.strerror or "can't be read").lower()
        raise InputError(f"{folder}: {problem}; give a folder with pictures that can be read") from error


def list_folder(folder: Path, license: str | None) -> Listing:
    """Every picture below `folder`. Raises InputError when `folder` itself can't be listed.

    Links to files inside are followed; links to folders inside are left alone, since their files are listed
    where they are. "._*" files (the metadata macOS leaves beside files) are ignored like any file without a
    picture's suffix.
    """
    root = real_folder(folder)
    listing, pending = Listing(), [""]
    while pending:
        prefix = pending.pop()
        try:
            with os.scandir(os.path.join(root, prefix)) as entries:
                for entry in entries:
                    _list_entry(root, prefix + entry.name, entry, license, listing, pending)
        except OSError as error:
            if not prefix:
                raise InputError(f"{folder}: {error.strerror}; the folder can't be listed") from error
            listing.refuse(to_uri(prefix), SampleError("unreadable-folder", str(error.strerror).lower()))
    return listing


def _list_entry(
    root: str, relative: str, entry: os.DirEntry[str], license: str | None, out: Listing, pending: list[str]
) -> None:
    if entry.is_dir(follow_symlinks=False):
        pending.append(relative + "/")
        return
    suffix = os.path.splitext(entry.name)[1].lower()
    by_name = suffix in PICTURE_SUFFIXES and not entry.name.startswith("._")
    if not by_name and (suffix or not entry.is_symlink()):
        out.ignored += 1
        return
    try:
        real = locate(root, relative)
    except SampleError as error:
        path = os.path.join(root, relative)
        if error.reason != "not-a-file" or not os.path.isdir(path):
            out.refuse(to_uri(relative), error)
        elif is_inside(os.path.dirname(path), os.path.realpath(path)):
            out.refuse(to_uri(relative), SampleError("link-loop", "the link leads to a folder it lies in"))
        else:
            out.ignored += 1  # a link to a folder that is listed under its own name
        return
    if by_name:
        out.candidates.append(Candidate(real, to_uri(relative), license))
    else:
        out.ignored += 1


def list_manifest(manifest: Path, license: str | None) -> Listing:
    """The pictures a CSV (header with `path`, optional `license`) or JSON Lines manifest names.

    Paths are relative to the manifest's folder and can't leave it; other columns are ignored. Raises
    InputError for a manifest that can't be read or parsed.
    """
    readers = {".csv": _csv_entries, ".jsonl": _jsonl_entries, ".ndjson": _jsonl_entries}
    reader = readers.get(manifest.suffix.lower())
    if reader is None:
        raise InputError(f"{manifest}: a manifest is a .csv or a .jsonl file; rename or convert it")
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as lines:
            entries = [(path, own or license, None) for path, own in reader(manifest, lines)]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{manifest}: can't read this manifest: {error}") from error
    return _list_named(real_folder(manifest.parent), entries)


def _csv_entries(manifest: Path, lines: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    reader = csv.DictReader(lines, strict=True)
    try:
        if "path" not in (reader.fieldnames or ()):
            raise InputError(f"{manifest}:1: the header has no column 'path'; add it")
        for row in reader:
            yield row["path"] or "", row.get("license") or None
    except csv.Error as error:
        raise InputError(f"{manifest}:{reader.line_num}: {error}; fix the CSV there") from error


def _jsonl_entries(manifest: Path, lines: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{manifest}:{number}: {error}; fix the JSON there") from error
        path = row.get("path") if isinstance(row, dict) else None
        terms = row.get("license") if isinstance(row, dict) else None
        if not isinstance(path, str) or not isinstance(terms, str | None):
            raise InputError(f'{manifest}:{number}: expected {{"path": text, "license": text or absent}}')
        yield path, terms or None


def list_coco(annotations: Path, folder: Path | None, license: str | None) -> Listing:
    """The pictures a COCO file lists, in `folder` (default: the file's own folder). Raises InputError.

    A picture of LVIS is looked for in the folder itself and in the one its address names ("train2017").
    """
    from annotation.regions.coco_instances import load_coco  # slow to import, and only this source needs it

    root = real_folder(folder or annotations.parent)
    entries = []
    for picture in load_coco(annotations).pictures:
        name = picture.file_name
        place = name
        if picture.place is not None and not os.path.lexists(os.path.join(root, name)):
            place = picture.place
        entries.append((place, picture.license or license, name))
    return _list_named(root, entries)


def _list_named(root: str, entries: Iterable[tuple[str, str | None, str | None]]) -> Listing:
    """Named files under `root`; a file named twice counts once, and is refused when its licenses differ."""
    listing, seen = Listing(), dict[str, Candidate]()
    conflicts = set[str]()
    for name, license, coco_name in entries:
        try:
            relative = os.path.normpath(name) if name and ".." not in name.split("/") else name
            candidate = Candidate(locate(root, relative), to_uri(relative), license, coco_name)
        except UnicodeEncodeError as error:
            listing.refuse(_printable(name), SampleError("bad-path", str(error.reason)))
            continue
        except SampleError as error:
            listing.refuse(_printable(name), error)
            continue
        if seen.setdefault(candidate.uri, candidate).license != license:
            conflicts.add(candidate.uri)
    for uri in conflicts:
        del seen[uri]
        listing.refuse(
            uri, SampleError("license-conflict", "the file is named twice, with different licences")
        )
    listing.candidates.extend(seen.values())
    return listing


def _printable(name: str) -> str:
    """A name that may be anything as a safe, short text."""
    try:
        return to_uri(name)[:1000]
    except UnicodeEncodeError:
        return ascii(name)[1:1001]
