"""A build's configuration with what the command line changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.plugin_kinds import BACKENDS, LABELLERS, PROPOSERS, read_settings
from flows.stages.given import GIVEN
from flows.stages.importers import IMPORTERS, importer
from schemas.choices import RunnerName
from schemas.config import BuildConfig, ImagesConfig, load_config
from schemas.errors import InputError
from schemas.plugins import suggest
from schemas.section_reader import Checks
from schemas.sections import Settings


def _check_proposer(name: str) -> None:
    """Masks that were made elsewhere have the place of a proposer."""
    if name not in GIVEN.names():
        known = (*PROPOSERS.names(), *GIVEN.names())
        if name not in known:
            raise InputError(f"unknown {PROPOSERS.kind} {name!r}; {suggest(name, known)}")


def _check_region_settings(settings: Settings) -> None:
    for name, values in settings.items():
        kinds = [kind for kind in (PROPOSERS, LABELLERS) if name in kind.names()]
        if not kinds:
            raise InputError(f"{name!r} takes no settings; remove them")
        for kind in kinds:
            read_settings(kind.load(name), name, values)


def _check_backend_settings(settings: Settings) -> None:
    for name, values in settings.items():
        read_settings(BACKENDS.load(name), name, values)


CHECKS: Checks = {
    "proposer": _check_proposer,
    "labeller": LABELLERS.check,
    "region settings": _check_region_settings,
    "backend": BACKENDS.check,
    "back end settings": _check_backend_settings,
    "importer": IMPORTERS.check,
}
"""Names of plug-ins are those of the files in their folders; see `schemas.sections.checked_as`."""


@dataclass(frozen=True)
class Overrides:
    """Command-line values that take the place of the configuration's; None leaves it as it is."""

    images: Path | None = None
    out: Path | None = None
    workers: int | None = None
    runner: RunnerName | None = None
    seed: int | None = None


def read_config(path: Path) -> BuildConfig:
    """Read a build's configuration and load the plug-ins it names.

    Raises InputError as `load_config` does, and for a plug-in whose file is broken, which it names.
    """
    config = load_config(path, CHECKS)
    proposer, labeller = config.regions.proposer, config.regions.labeller
    (GIVEN if proposer in GIVEN.names() else PROPOSERS).load(proposer)
    LABELLERS.load(labeller)
    BACKENDS.load(config.annotate.backend)
    for dataset in config.merge.external:
        importer(dataset.kind)
    return config


def configure(path: Path, overrides: Overrides) -> BuildConfig:
    """Read a configuration and apply the overrides. Raises InputError."""
    config = read_config(path)
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
