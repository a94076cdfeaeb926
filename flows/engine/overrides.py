"""A build's configuration with what the command line changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.config import BuildConfig, ImagesConfig, RunnerName, load_config
from schemas.errors import InputError


@dataclass(frozen=True)
class Overrides:
    """Command-line values that take the place of the configuration's; None leaves it as it is."""

    images: Path | None = None
    out: Path | None = None
    workers: int | None = None
    runner: RunnerName | None = None
    seed: int | None = None


def configure(path: Path, overrides: Overrides) -> BuildConfig:
    """Read a configuration and apply the overrides. Raises InputError."""
    config = load_config(path)
    changes: dict[str, Any] = {}
    if overrides.images is not None:
        if config.images.coco is not None:
            changes["images"] = ImagesConfig(coco=config.images.coco, folder=overrides.images)
        else:
            changes["images"] = ImagesConfig(folder=overrides.images)
    if overrides.out is not None:
        changes["out"] = overrides.out
    if overrides.seed is not None:
        if not 0 <= overrides.seed < 2**63:
            raise InputError(f"--seed {overrides.seed}: give a number from 0 to 2^63 - 1")
        changes["seed"] = overrides.seed
    run = {
        key: getattr(overrides, key) for key in ("workers", "runner") if getattr(overrides, key) is not None
    }
    if run:
        changes["run"] = config.run.model_copy(update=run)
    return config.model_copy(update=changes)
