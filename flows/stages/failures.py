"""When a build stops because of its samples: too many of a stage failed, or no sample is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from flows.stages.known import Known
from schemas.dataset import quarantine_bytes
from schemas.errors import BuildError
from schemas.records import Quarantined
from schemas.store import write_atomically


def limited(stage: str) -> Callable[[Known], None]:
    """A judge that stops the build when more of a stage failed than run.max_failure_rate allows."""

    def judge(known: Known) -> None:
        failed, tried = failures(known, stage)
        limit = known.config.run.max_failure_rate
        if tried and len(failed) / tried > limit:
            stop(known, stage, f"the limit run.max_failure_rate is {limit:.0%}")

    return judge


def failures(known: Known, stage: str) -> tuple[list[Quarantined], int]:
    """What failed in a stage, files that the scan refused included, and how many were tried."""
    manifests = known.manifests(stage)
    failed = [entry for manifest in manifests for entry in manifest.quarantine]
    if stage == "ingest":
        failed += known.scanned.quarantined
    return failed, sum(manifest.rows for manifest in manifests) + len(failed)


def stop(known: Known, stage: str, why: str) -> None:
    """Raise BuildError, one line, and leave what failed in the output folder's quarantine.parquet."""
    failed, tried = failures(known, stage)
    path = known.config.out / "quarantine.parquet"
    write_atomically(path, quarantine_bytes(failed), known.config.out)
    reasons = ", ".join(
        f"{reason} {count}" for reason, count in Counter(entry.reason for entry in failed).most_common(3)
    )
    raise BuildError(f"{stage}: {len(failed)} of {tried} failed ({reasons}); {why}; see {path}")
