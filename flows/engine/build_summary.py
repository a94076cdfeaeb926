"""The summary of a build that a person reads."""

from __future__ import annotations

from flows.engine.build import Outcome, Stopped
from flows.progress import duration
from schemas.dataset import DatasetManifest


def outcome_lines(outcome: Outcome) -> list[str]:
    """Where the dataset is, what it holds, what was made and reused, how long it took."""
    times = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in outcome.seconds.items())
    spent = duration(sum(outcome.seconds.values()))
    unchanged = "nothing changed: the dataset of this configuration and these photographs already exists"
    return [
        *([] if outcome.changed else [unchanged]),
        *manifest_lines(outcome.manifest),
        f"shards   {outcome.new} made, {outcome.reused} reused in {spent} ({times})",
        f"dataset  {outcome.folder.resolve()}",
        f"report   {(outcome.folder / 'report.html').resolve()}",
    ]


def stopped_lines(stopped: Stopped) -> list[str]:
    """What a build that ended after a stage made, reused and counted, and where its shards are."""
    lines = []
    for stage, count in stopped.shards.items():
        took = f" in {duration(stopped.seconds[stage])}" if stage in stopped.seconds else ""
        lines.append(f"{stage:<9}{count.new} shards made, {count.reused} reused{took}")
    return [
        *lines,
        *(f"           {name:<30} {number}" for name, number in stopped.counts.items()),
        f"failed   {stopped.quarantined} in quarantine",
        f"store    {stopped.store.resolve()}: no dataset yet, `build` without --until continues from here",
    ]


def manifest_lines(manifest: DatasetManifest) -> list[str]:
    """What a dataset holds."""
    splits = ", ".join(f"{split} {count}" for split, count in manifest.splits.items())
    return [
        f"rows     {manifest.rows} ({splits})",
        *(f"           {task:<20} {count}" for task, count in manifest.tasks.items()),
        f"failed   {manifest.quarantined} in quarantine.parquet",
        f"digest   {manifest.digest}",
    ]
