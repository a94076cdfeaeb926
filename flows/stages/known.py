"""What is known of a build while it grows: configuration, photographs, each stage's jobs and shards."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flows.sources import HashCache, ScanResult
from flows.stages.job import Job
from schemas.config import BuildConfig
from schemas.hash_cache import FileHashes
from schemas.store import Manifest, Store

T = TypeVar("T")


@dataclass
class Known:
    """A build as far as it can be foreseen: jobs by stage, and the manifests of the shards that exist by key.

    With `remember`, hashes of files are kept in the store, so that unchanged files aren't read again.
    """

    config: BuildConfig
    scanned: ScanResult
    store: Store
    remember: bool = False
    jobs: dict[str, list[Job]] = field(default_factory=dict)
    found: dict[str, Manifest] = field(default_factory=dict)
    _remembered: dict[Hashable, tuple[Hashable, Any]] = field(default_factory=dict, repr=False)

    def missing(self, stage: str) -> list[Job]:
        """The known jobs of a stage that have no shard."""
        return [job for job in self.jobs.get(stage, []) if job.key not in self.found]

    def manifests(self, stage: str) -> list[Manifest]:
        """The manifests of a stage's shards, in the order of its jobs."""
        return [self.found[job.key] for job in self.jobs.get(stage, []) if job.key in self.found]

    def complete(self, stage: str) -> bool:
        """Whether all jobs of a stage are known and have shards."""
        return stage in self.jobs and not self.missing(stage)

    def once(self, compute: Callable[[Known], T], *after: str) -> T:
        """`compute(self)`, computed again only when there are other shards of the stages in `after`."""
        state = tuple(manifest.key for stage in after for manifest in self.manifests(stage))
        kept = self._remembered.get(compute)
        if kept is None or kept[0] != state:
            kept = self._remembered[compute] = (state, compute(self))
        result: T = kept[1]
        return result

    def hashes(self) -> AbstractContextManager[HashCache | None]:
        """The hashes of files that are remembered; see `file_hashes`."""
        return file_hashes(self.store, self.remember)


def file_hashes(store: Store, remember: bool) -> AbstractContextManager[HashCache | None]:
    """The hashes of files kept in a store, written when the block ends; None unless they are remembered."""
    return FileHashes(store.root / "hashes.sqlite") if remember else nullcontext()
