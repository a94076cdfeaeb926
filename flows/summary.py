"""The summary of a build that a person reads."""

from __future__ import annotations

from flows.build import Outcome
from flows.progress import duration
from schemas.dataset import DatasetManifest


def print_outcome(outcome: Outcome) -> None:
    """Where the dataset is, what it holds, what was made and reused, how long it took."""
    if not outcome.changed:
        print("nothing changed: the dataset of this configuration and these photographs stands already")
    print_manifest(outcome.manifest)
    times = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in outcome.seconds.items())
    spent = duration(sum(outcome.seconds.values()))
    print(f"shards   {outcome.new} made, {outcome.reused} reused in {spent} ({times})")
    print(f"dataset  {outcome.folder.resolve()}")
    print(f"report   {(outcome.folder / 'report.html').resolve()}")


def print_manifest(manifest: DatasetManifest) -> None:
    """What a dataset holds."""
    splits = ", ".join(f"{split} {count}" for split, count in manifest.splits.items())
    print(f"rows     {manifest.rows} ({splits})")
    for task, count in manifest.tasks.items():
        print(f"           {task:<20} {count}")
    print(f"failed   {manifest.quarantined} in quarantine.parquet")
    print(f"digest   {manifest.digest}")
