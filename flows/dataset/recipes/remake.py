"""Pictures made again from one source photograph, each held against the hash of the first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distortions.plans import rebuild as apply_recipe
from flows.dataset.folder import LIBRARIES
from flows.dataset.recipes.sample import difference
from flows.sources import SourceRef, read_source
from schemas.config import IngestConfig
from schemas.errors import InputError, SampleError
from schemas.hashing import content_key
from schemas.packs import PackedPicture
from schemas.pictures import decode, encode, pixel_hash


@dataclass(frozen=True)
class Photograph:
    """A source photograph as the pack names it, and the file found for it: None, one of the same bytes, or
    (`changed`) one of the same name with other bytes.
    """

    sha256: str
    uri: str
    ref: SourceRef | None

    @property
    def changed(self) -> bool:
        return self.ref is not None and self.ref.sha256 != self.sha256


def file_name(picture: PackedPicture) -> str:
    """Where a remade picture lies; the names of a pack from elsewhere never become paths."""
    return content_key(picture.name)


@dataclass(frozen=True)
class Remade:
    """One picture made again: `why` it isn't the first, or None; `same` says that a file was written."""

    name: str
    same: bool
    why: str | None


def remake(
    photograph: Photograph,
    pictures: Sequence[PackedPicture],
    limits: IngestConfig,
    versions: dict[str, str],
    folder: Path,
) -> list[Remade]:
    """Make all pictures of a photograph; those equal to the first are written to `folder` by their names.

    `versions` are the libraries of the build the pack was made from.
    """
    if photograph.ref is None:
        why = f"missing source: no file has the SHA-256 {photograph.sha256} ({photograph.uri})"
        return [Remade(picture.name, False, why) for picture in pictures]
    prefix = ""
    if photograph.changed:
        told = f"{photograph.sha256[:16]}..., it has {photograph.ref.sha256[:16]}..."
        prefix = f"changed source: {photograph.ref.uri} should have the SHA-256 {told}"
    try:
        image = decode(read_source(photograph.ref), limits).rgb
    except SampleError as error:
        why = prefix or f"source {photograph.ref.uri}"
        return [Remade(picture.name, False, f"{why}: can't be read: {error}") for picture in pictures]
    return [_one(image, picture, prefix, versions, folder) for picture in pictures]


def _one(
    image: NDArray[np.uint8], picture: PackedPicture, prefix: str, versions: dict[str, str], folder: Path
) -> Remade:
    try:
        rgb = image if picture.recipe is None else apply_recipe(image, json.loads(picture.recipe))
    except InputError as error:
        return Remade(picture.name, False, f"{prefix}: {error}" if prefix else str(error))
    if pixel_hash(rgb) == picture.pixels_sha256:
        (folder / file_name(picture)).write_bytes(encode(rgb))
        return Remade(picture.name, True, None)
    apart = difference(picture.sample, rgb)
    amount = "the pictures have different sizes" if apart is None else str(apart)
    return Remade(picture.name, False, f"{prefix or _library(versions)}: {amount}")


def _library(versions: dict[str, str]) -> str:
    """Which libraries differ from those of the build."""
    here = {name: version(name) for name in LIBRARIES}
    apart = [
        f"{name} {versions[name]} then, {now} here"
        for name, now in here.items()
        if name in versions and versions[name] != now
    ]
    return f"library versions differ: {'; '.join(apart)}" if apart else "same library versions, other machine"
