"""Masks of a COCO or LVIS annotation file, the one that lists the photographs (`images.coco`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from annotation.regions.coco_instances import candidates_of, load_coco
from annotation.regions.interface import Candidate
from flows.sources import HashCache, SourceRef
from schemas.config import BuildConfig
from schemas.errors import InputError
from schemas.hashing import content_key

Json = dict[str, Any]


def find(config: BuildConfig, refs: Sequence[SourceRef], cache: HashCache | None) -> Callable[[str], Json]:
    """What the file says about a picture, read from it at each call. Raises InputError."""
    if config.images.coco is None:
        raise InputError("regions.proposer 'coco' needs images.coco, the annotation file; add it")
    index = load_coco(config.images.coco)
    names = {ref.sha256[:16]: ref.coco_name for ref in refs if ref.coco_name is not None}
    return lambda picture: index.annotations(names[picture])


def identity(found: Json) -> str:
    return content_key(found)


def read(found: Json, height: int, width: int) -> list[Candidate]:
    return candidates_of(found, height, width)
