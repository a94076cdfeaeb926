"""Masks of Semantic-Segment-Anything: a folder with a file for each picture (`regions.ssa_json`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from annotation.regions.interface import Candidate
from annotation.regions.ssa_masks import parse
from flows.sources import HashCache, SourceRef, read_source
from flows.stages import ssa_files
from flows.stages.ssa_files import SsaFile
from schemas.config import BuildConfig
from schemas.errors import InputError, SampleError


def find(config: BuildConfig, refs: Sequence[SourceRef], cache: HashCache | None) -> Callable[[str], SsaFile]:
    """The file of each picture, found and hashed here. Raises InputError."""
    if config.regions.ssa_json is None:
        raise InputError("regions.proposer 'ssa-json' needs regions.ssa_json, the folder; add it")
    return ssa_files.find(config.regions.ssa_json, refs, cache).__getitem__


def identity(found: SsaFile) -> str:
    return found.identity


def read(found: SsaFile, height: int, width: int) -> list[Candidate]:
    if found.ref is None:
        raise SampleError(found.reason, found.detail)
    return parse(read_source(found.ref), height, width)
