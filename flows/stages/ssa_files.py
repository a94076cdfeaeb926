"""Which file of SSA goes with which picture, and the hashes of those files.

The file of `sub/a.jpg` is `sub/a_semantic.json`, as SSA names it. Where another picture of the build would
have the same one (`sub/a.png`), both have their whole names in it: `sub/a.jpg_semantic.json`.
"""

# Names may hold undecodable bytes: plain strings and os calls.
# ruff: noqa: PTH118, PTH122

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from annotation.regions.ssa_masks import MAX_BYTES
from flows.sources import HashCache, SourceRef
from flows.sources.files import hash_files, locate, to_uri
from schemas.errors import InputError, SampleError

SUFFIX = "_semantic.json"
_LONGEST = 200
"""Bytes of a file's name; a longer one is cut and gets a hash of the whole."""


@dataclass(frozen=True)
class SsaFile:
    """One picture's file: where it is, or the reason and the detail why there is none to use."""

    ref: SourceRef | None
    reason: str = ""
    detail: str = ""

    @property
    def identity(self) -> str:
        """What the regions depend on: the hash of the file's bytes, or the reason why there is none."""
        return self.ref.sha256 if self.ref is not None else self.reason


def file_names(uris: Iterable[str]) -> dict[str, str]:
    """The file of each picture by its uri: a relative path, none twice for the pictures of one build."""
    whole = {uri: os.fsdecode(unquote_to_bytes(uri)) for uri in uris}
    stems = {uri: os.path.splitext(name)[0] for uri, name in whole.items()}
    claims = Counter([*whole.values(), *stems.values()])
    return {uri: _file_name(stem if claims[stem] == 1 else whole[uri]) for uri, stem in stems.items()}


def _file_name(path: str) -> str:
    folder, name = os.path.split(path)
    encoded = os.fsencode(name)
    if len(encoded) + len(SUFFIX) > _LONGEST:
        mark = hashlib.sha256(encoded).hexdigest()[:16]
        name = f"{os.fsdecode(encoded[: _LONGEST - len(SUFFIX) - 17])}-{mark}"
    return os.path.join(folder, name + SUFFIX)


def find(folder: Path, refs: Sequence[SourceRef], cache: HashCache | None) -> dict[str, SsaFile]:
    """The file of each picture by the picture's id; with a warm `cache`, unchanged files aren't read.

    A picture without a file, or with one that can't be read, has the reason instead: no file at all most
    likely means that SSA has not run on it, which an empty list of masks would hide. Raises InputError when
    the folder itself can't be read.
    """
    try:
        root = os.path.realpath(folder, strict=True)
        with os.scandir(root):
            pass
    except OSError as error:
        problem = (error.strerror or "can't be read").lower()
        raise InputError(
            f"{folder}: {problem}; regions.ssa_json is a folder with a NAME{SUFFIX} for each picture"
        ) from error
    names = file_names(ref.uri for ref in refs)
    found: dict[str, SsaFile] = {}
    located: list[tuple[SourceRef, str]] = []
    for ref in refs:
        try:
            located.append((ref, _locate(root, names[ref.uri], ref.uri)))
        except SampleError as error:
            found[ref.sha256[:16]] = _unusable(names[ref.uri], error)
    outcomes = hash_files([real for _, real in located], MAX_BYTES, cache)
    for (ref, real), outcome in zip(located, outcomes, strict=True):
        if isinstance(outcome, SampleError):
            found[ref.sha256[:16]] = _unusable(names[ref.uri], outcome)
        else:
            found[ref.sha256[:16]] = SsaFile(SourceRef(Path(real), ref.uri, *outcome, None))
    return found


def _locate(root: str, name: str, uri: str) -> str:
    """The real path of a picture's file, under its whole name if there is none under `name`."""
    try:
        return locate(root, name)
    except SampleError as error:
        if error.reason != "missing-file":
            raise
    return locate(root, _file_name(os.fsdecode(unquote_to_bytes(uri))))


def _unusable(name: str, error: SampleError) -> SsaFile:
    if error.reason == "missing-file":
        return SsaFile(None, "no-ssa-json", f"there is no {to_uri(name)}")
    return SsaFile(None, error.reason, f"{to_uri(name)}: {error.detail}")
