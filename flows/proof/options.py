"""The options of the learning proof: crops, both builds, base and stage one, seeds, in one YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StrictInt

from schemas.section_reader import load_section
from schemas.sections import ConfigPath, Section

Count = Annotated[StrictInt, Field(ge=1, le=10**6)]


class CropsConfig(Section):
    """Square crops of `pixels` a side, so many of each photograph of a side of the split."""

    pixels: Annotated[StrictInt, Field(ge=64, le=1024, multiple_of=16)] = 64
    train: Count
    test: Count
    seed: Annotated[StrictInt, Field(ge=0, lt=2**63)] = 0


class BaseOptions(Section):
    """The training of the base on pasted patches: AdamW's steps, rows a step and peak rate."""

    steps: Count
    batch: Count = 32
    rate: Annotated[float, Field(gt=0, le=1)] = 1e-3


class ProofOptions(Section):
    """The proof, as its YAML file says.

    `build` and `stage_one` are a build's and a run's configuration, by their paths; their pictures, folders,
    split and seed are the proof's. `wording` replaces entries of the packaged wording's `phrases` and
    `places`. `test_rows` bounds the rows measured; `workers` seeds are trained at once.
    """

    out: ConfigPath
    build: ConfigPath
    stage_one: ConfigPath
    crops: CropsConfig
    phrases: dict[str, list[str]] = Field(default_factory=dict)
    places: dict[str, list[str]] = Field(default_factory=dict)
    base: BaseOptions
    seeds: Annotated[list[StrictInt], Field(min_length=1, max_length=20)]
    test_rows: Count
    workers: Annotated[StrictInt, Field(ge=1, le=64)] = 2


def load_proof(path: Path) -> ProofOptions:
    """Read the proof's YAML file. Raises InputError (one line: file, line, key, what to do)."""
    return load_section(path, ProofOptions)
