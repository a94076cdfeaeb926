"""The options of the learning proof, read from one YAML file: crops, builds, base, stage one, seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StrictInt

from schemas.section_reader import load_section
from schemas.sections import HOW, OUTPUT, ConfigPath, Section

Count = Annotated[StrictInt, Field(ge=1, le=10**6)]


class CropsConfig(Section):
    """Square crops of the photographs."""

    pixels: Annotated[StrictInt, Field(ge=64, le=1024, multiple_of=16)] = 64
    """Side of a crop in pixels, a multiple of 16."""
    train: Count
    """Number of crops of each training photograph."""
    test: Count
    """Number of crops of each test photograph."""
    seed: Annotated[StrictInt, Field(ge=0, lt=2**63)] = 0
    """Seed of the crops' positions."""


class BaseOptions(Section):
    """The training of the base model on pasted patches, by AdamW."""

    steps: Count
    """Number of optimizer steps."""
    batch: Count = 32
    """Rows per step."""
    rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """Peak learning rate."""


class ProofOptions(Section):
    """The proof, as its YAML file says.

    It takes a build's and a training run's configuration files, and sets their pictures, folders, split and
    seed itself.
    """

    out: Annotated[ConfigPath, OUTPUT]
    """Folder for everything the proof makes."""
    build: ConfigPath
    """Configuration file of both builds; pictures, folders and split are the proof's."""
    stage_one: ConfigPath
    """Configuration file of the training run; dataset, folder and seed are the proof's."""
    crops: CropsConfig
    """Crops that the datasets are built from."""
    phrases: dict[str, list[str]] = Field(default_factory=dict)
    """Entries that replace those of the packaged wording file's `phrases`."""
    places: dict[str, list[str]] = Field(default_factory=dict)
    """Entries that replace those of the packaged wording file's `places`."""
    base: BaseOptions
    """Training of the base model."""
    seeds: Annotated[list[StrictInt], Field(min_length=1, max_length=20)]
    """Seeds of the runs, each of which trains a base and stage one."""
    test_rows: Count
    """Maximum number of test rows measured."""
    workers: Annotated[StrictInt, Field(ge=1, le=64), HOW] = 2
    """Number of seeds trained at a time."""


def load_proof(path: Path) -> ProofOptions:
    """Read the proof's YAML file. Raises InputError (one line: file, line, key, what to do)."""
    return load_section(path, ProofOptions)
