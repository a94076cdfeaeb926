"""The summary of a build that a person reads."""

from __future__ import annotations

from flows.engine.build import Outcome, Stopped
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


def print_stopped(stopped: Stopped) -> None:
    """What a build that ended after a stage made, reused and counted, and where its shards are."""
    for stage, count in stopped.shards.items():
        took = f" in {duration(stopped.seconds[stage])}" if stage in stopped.seconds else ""
        print(f"{stage:<9}{count.new} shards made, {count.reused} reused{took}")
    for name, number in stopped.counts.items():
        print(f"           {name:<30} {number}")
    print(f"failed   {stopped.quarantined} in quarantine")
    print(f"store    {stopped.store.resolve()}: no dataset yet, `build` without --until goes on from here")


def print_manifest(manifest: DatasetManifest) -> None:
    """What a dataset holds."""
    splits = ", ".join(f"{split} {count}" for split, count in manifest.splits.items())
    print(f"rows     {manifest.rows} ({splits})")
    for task, count in manifest.tasks.items():
        print(f"           {task:<20} {count}")
    print(f"failed   {manifest.quarantined} in quarantine.parquet")
    print(f"digest   {manifest.digest}")
