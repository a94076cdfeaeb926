"""What is pinned of the reference builds: job keys, and hashes of each stage's output beside its VERSION.

`python -m tests.flows.pins` writes both files again, after a VERSION was raised or keys were meant to change.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from flows.stages.known import Known
from flows.stages.table import STAGES
from schemas.config import BuildConfig
from schemas.hashing import canonical_json
from schemas.pictures import load_png
from schemas.shards import read_items
from schemas.store import Store
from tests.flows import reference_builds

FOLDER = Path(__file__).parent / "pinned"
KEYS, OUTPUTS = FOLDER / "keys.json", FOLDER / "outputs.json"
NOT_RUN = frozenset({"regions", "distort", "annotate", "merge", "publish"})
"""What a build needn't run for the keys of the stages up to merge to be known."""


def keys(name: str, root: Path) -> dict[str, list[str]]:
    """Every job key of a reference build by stage, sorted; those of publish follow from all outputs."""
    return keys_of(reference_builds.write_config(name, root))


def keys_of(config: BuildConfig) -> dict[str, list[str]]:
    """The same for any configuration."""
    known = reference_builds.make(config, dry=NOT_RUN)
    return {stage: sorted(job.key for job in known.jobs[stage]) for stage in STAGES if known.jobs.get(stage)}


def outputs(root: Path) -> dict[str, dict[str, Any]]:
    """Of each stage: its VERSION and a hash over what it makes of one small merged build, and of annotate
    besides what a model's replies become.
    """
    config = reference_builds.write_config("merged", root / "merged")
    found = output_hashes(reference_builds.make(config), config.store or config.out / "store")
    config = reference_builds.write_config("vlm-replay", root / "vlm")
    reference_builds.record_replies(config, root / "vlm")
    replayed = reference_builds.make(config, "annotate")
    found["annotate (replay)"] = output_hashes(replayed, config.out / "store")["annotate"]
    return {name: {"version": module_of(name).VERSION, "output": found[name]} for name in found}


def output_hashes(known: Known, root: Path) -> dict[str, str]:
    """SHA-256 by stage over ids, records, pixels, counts and quarantine of all shards."""
    store = Store(root)
    return {stage: _hash(known, store, stage) for stage in STAGES if known.jobs.get(stage)}


def _hash(known: Known, store: Store, stage: str) -> str:
    total = hashlib.sha256()
    for manifest in sorted(known.manifests(stage), key=lambda one: one.key):
        told = [manifest.rows, manifest.counts, [one.model_dump() for one in manifest.quarantine]]
        total.update(canonical_json([told, manifest.extra]).encode())
        if stage == "publish":  # rows with their pictures' pixels: `extra` holds the digest of each
            continue
        for item in read_items(store, stage, manifest.key, pictures=True):
            total.update(canonical_json([item.id, item.record]).encode())
            if item.picture is not None:
                pixels = np.ascontiguousarray(load_png(item.picture))
                total.update(repr(pixels.shape).encode() + pixels.tobytes())
    return total.hexdigest()


def complaint(found: dict[str, dict[str, Any]], pinned: dict[str, dict[str, Any]]) -> str | None:
    """What is wrong with the first stage that differs from what is pinned; later ones follow from it."""
    for name in found:
        if name not in pinned or found[name]["version"] != pinned[name]["version"]:
            what = f"the VERSION of {name} was raised"
            return f"{what}: run `python -m tests.flows.pins` and commit what it writes"
        if found[name] != pinned[name]:
            return f"the output of {name} changed: raise VERSION in {file_of(name.split()[0])}"
    return None


def file_of(stage: str) -> str:
    """The file, from the repository's root, that holds a stage's VERSION."""
    return str(Path(str(module_of(stage).__file__)).relative_to(reference_builds.ROOT))


def module_of(name: str) -> ModuleType:
    """The file of the stage whose output has this name."""
    return importlib.import_module(f"flows.stages.{name.split()[0]}")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        names = ("demo", *reference_builds.SECTIONS)
        KEYS.write_text(json.dumps({name: keys(name, root / name) for name in names}, indent=1) + "\n")
        OUTPUTS.write_text(json.dumps(outputs(root / "outputs"), indent=1) + "\n")


if __name__ == "__main__":
    main()
