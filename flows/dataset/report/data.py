"""What the report page and the dataset card say about a dataset, counted from a stream of rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from flows.dataset.report.gallery import GalleryItem, gallery_item
from flows.dataset.report.statistics import Balance, Histogram, balance
from flows.dataset.report.tally import Tally, smooth
from schemas import masks
from schemas.config import MixtureRule
from schemas.dataset import KeptOut
from schemas.masks import PositionGrid
from schemas.records import EXTERNAL_TASKS, SPLITS, TASKS, Quarantined, Row

ReportRow = tuple[Row, bytes | None]
"""A row and, for rows chosen for the gallery, the encoded bytes (PNG, WebP, JPEG) of its first picture."""

QUARANTINE_EXAMPLES = 3


@dataclass(frozen=True)
class ShardCount:
    """Shards of one stage: made in this build, and taken from the store."""

    new: int
    reused: int


@dataclass(frozen=True)
class Duplicate:
    """A photograph that was left out: its place, the place of the one kept, and "exact" or "near"."""

    uri: str
    kept: str
    kind: str


@dataclass(frozen=True)
class BuildSummary:
    """What the build itself knows; everything else is counted from the rows.

    `seconds` and `shards` are by stage, in the order the stages ran. `inputs` is the number of files the
    build was given. `skips` says how often a sample could not be planned, by reason; `refusals` how often
    each check refused a dialogue that was then written again; `catalog` lists the names that could have
    been injected (to show the ones that never were). `made` is an ISO date (2026-03-14), "" leaves it out.
    `merged` counts what merging sources did, in words; `kept_out` lists the pictures removed because an
    evaluation set has them; `mixture` are the rules it followed.
    """

    name: str
    digest: str
    seed: int
    config_hash: str
    code_version: str
    position_grid: PositionGrid = "thirds"
    made: str = ""
    runner: str = ""
    workers: int = 0
    inputs: int = 0
    dataset_bytes: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    shards: Mapping[str, ShardCount] = field(default_factory=dict)
    skips: Mapping[str, int] = field(default_factory=dict)
    refusals: Mapping[str, int] = field(default_factory=dict)
    duplicates: Sequence[Duplicate] = ()
    catalog: Sequence[str] = ()
    merged: Mapping[str, int] = field(default_factory=dict)
    kept_out: Sequence[KeptOut] = ()
    mixture: Sequence[MixtureRule] = ()


@dataclass(frozen=True)
class DistortionCount:
    """How often one distortion type was injected: `levels[k]` counts level k + 1."""

    name: str
    category: str
    levels: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.levels)


@dataclass(frozen=True)
class TextCount:
    """The answers of one task: how many, how many different, and how long in words."""

    task: str
    answers: int
    distinct: int
    words: Histogram


@dataclass(frozen=True)
class QuarantineGroup:
    """Samples that failed in one stage for one reason, with the first few as (source, error)."""

    stage: str
    reason: str
    count: int
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ReportData:
    """Everything `render` shows.

    Distortions, levels, strengths, sizes and places count each distorted region once a picture, however many
    rows ask about that picture. Tables by task, source, split and license count rows unless their name says
    otherwise.
    """

    build: BuildSummary
    rows: int
    merged_rows: int
    pictures: int
    photographs: int
    shared_photographs: int
    distorted_regions: int
    tasks: dict[str, dict[str, int]]
    sources: dict[str, dict[str, int]]
    split_pictures: dict[str, int]
    split_photographs: dict[str, int]
    licenses: dict[str, int]
    source_licenses: dict[tuple[str, str], int]
    generators: dict[str, int]
    distortions: tuple[DistortionCount, ...]
    strengths: Histogram
    strengths_by_level: tuple[Histogram, ...]
    sizes: Histogram
    positions: dict[str, int]
    density: tuple[tuple[float, ...], ...]
    balance: tuple[Balance, ...]
    text: tuple[TextCount, ...]
    answers: int
    distinct_answers: int
    distinct_questions: int
    repeated_answers: tuple[tuple[str, int], ...]
    filters: dict[str, int]
    quarantine: tuple[QuarantineGroup, ...]
    quarantined: int
    gallery: tuple[GalleryItem, ...]

    @property
    def splits(self) -> dict[str, int]:
        """Rows by split."""
        return {split: sum(n[split] for n in self.tasks.values()) for split in SPLITS}

    @property
    def splits_by_task(self) -> dict[str, tuple[int, ...]]:
        """Rows by task, then split in the order of `SPLITS`."""
        return {task: tuple(counts[split] for split in SPLITS) for task, counts in self.tasks.items()}

    @property
    def rows_by_source(self) -> dict[str, int]:
        """Rows by source."""
        return {source: sum(counts.values()) for source, counts in self.sources.items()}

    @property
    def categories(self) -> dict[str, int]:
        """Injected distortions by class, most frequent first."""
        counts: Counter[str] = Counter()
        for kind in self.distortions:
            counts[kind.category] += kind.total
        return dict(counts.most_common())

    @property
    def levels(self) -> tuple[int, ...]:
        """Injected distortions by level 1 to 5."""
        return tuple(sum(kind.levels[k] for kind in self.distortions) for k in range(5))

    @property
    def never_injected(self) -> tuple[str, ...]:
        """Names that could have been injected and weren't, in alphabetical order."""
        return tuple(sorted(set(self.build.catalog) - {kind.name for kind in self.distortions}))

    @property
    def words_by_task(self) -> dict[str, Histogram]:
        """The answers' lengths by task."""
        return {text.task: text.words for text in self.text}

    @property
    def stages(self) -> tuple[tuple[str, float, ShardCount | None], ...]:
        """Each stage with its seconds and shards, in the order they ran."""
        seconds, shards = self.build.seconds, self.build.shards
        return tuple((stage, seconds.get(stage, 0.0), shards.get(stage)) for stage in {**seconds, **shards})


def collect(
    rows: Iterable[ReportRow],
    quarantine: Sequence[Quarantined],
    build: BuildSummary,
    filters: Mapping[str, int],
) -> ReportData:
    """Count a stream of rows.

    `filters` says how many regions each rule dropped. Rows that carry bytes go to the gallery (see
    `gallery.choose_gallery`), in the order of the tasks. Memory grows with the number of pictures and
    different texts by some tens of bytes each. Raises ValueError when a gallery picture can't be decoded or
    its masks have other sizes.
    """
    tally = Tally(build.position_grid)
    gallery: list[GalleryItem] = []
    for row, encoded in rows:
        tally.add(row)
        if encoded is not None:
            gallery.append(gallery_item(row, encoded))
    order: dict[str, int] = {task: place for place, task in enumerate((*TASKS, *EXTERNAL_TASKS))}
    gallery.sort(key=lambda item: (order.get(item.row.task, len(order)), item.row.id))
    distortions = tuple(
        DistortionCount(name, category, tuple(levels))
        for (name, category), levels in sorted(
            tally.levels.items(), key=lambda entry: (-sum(entry[1]), entry[0])
        )
    )
    places = {word: tally.positions[word] for word in masks.position_words(build.position_grid)}
    places |= {word: count for word, count in sorted(tally.positions.items()) if word not in places}
    tasks: dict[str, Counter[str]] = {
        task: tally.tasks[task] for task in (*TASKS, *EXTERNAL_TASKS) if task in tally.tasks
    }
    tasks |= {task: tally.tasks[task] for task in sorted(tally.tasks) if task not in tasks}
    splits_of_photographs = Counter(split for splits in tally.photographs.values() for split in splits)
    return ReportData(
        build=build,
        rows=tally.rows,
        merged_rows=tally.merged_rows,
        pictures=len(tally.pictures),
        photographs=len(tally.photographs),
        shared_photographs=sum(len(splits) > 1 for splits in tally.photographs.values()),
        distorted_regions=tally.distorted_regions,
        tasks={task: _ordered_splits(counts) for task, counts in tasks.items()},
        sources={source: _ordered_splits(tally.sources[source]) for source in sorted(tally.sources)},
        split_pictures=_ordered_splits(Counter(tally.pictures.values())),
        split_photographs=_ordered_splits(splits_of_photographs),
        licenses=dict(tally.licenses.most_common()),
        source_licenses=dict(sorted(tally.source_licenses.items())),
        generators=dict(tally.generators.most_common()),
        distortions=distortions,
        strengths=tally.strengths,
        strengths_by_level=tuple(tally.strengths_by_level),
        sizes=tally.sizes,
        positions=places,
        density=smooth(tally.density),
        balance=_balances(distortions, places, tasks, build.catalog),
        text=tuple(
            TextCount(task, tally.words[task].total, len(tally.answers_by_task[task]), tally.words[task])
            for task in tasks
            if task in tally.words
        ),
        answers=tally.answers.total(),
        distinct_answers=len(tally.answers),
        distinct_questions=len(tally.questions),
        repeated_answers=tally.repeated(5),
        filters=dict(sorted(filters.items(), key=lambda entry: (-entry[1], entry[0]))),
        quarantine=_grouped(quarantine),
        quarantined=len(quarantine),
        gallery=tuple(gallery),
    )


def _ordered_splits(counts: Mapping[str, int]) -> dict[str, int]:
    return {split: int(counts.get(split, 0)) for split in SPLITS}


def _balances(
    distortions: Sequence[DistortionCount],
    places: Mapping[str, int],
    tasks: Mapping[str, Mapping[str, int]],
    catalog: Sequence[str],
) -> tuple[Balance, ...]:
    categories: Counter[str] = Counter()
    for kind in distortions:
        categories[kind.category] += kind.total
    types = dict.fromkeys(catalog, 0) | {kind.name: kind.total for kind in distortions}
    levels = {str(k + 1): sum(kind.levels[k] for kind in distortions) for k in range(5)}
    return tuple(
        balance(what, counts)
        for what, counts in (
            ("task (rows)", {task: sum(splits.values()) for task, splits in tasks.items()}),
            ("distortion class", dict(categories)),
            ("distortion type", types),
            ("level", levels),
            ("position", dict(places)),
        )
    )


def _grouped(quarantine: Sequence[Quarantined]) -> tuple[QuarantineGroup, ...]:
    groups: dict[tuple[str, str], list[Quarantined]] = {}
    for item in quarantine:
        groups.setdefault((item.stage, item.reason), []).append(item)
    ordered = sorted(groups.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    return tuple(
        QuarantineGroup(
            stage,
            reason,
            len(items),
            tuple((item.source, item.error) for item in items[:QUARANTINE_EXAMPLES]),
        )
        for (stage, reason), items in ordered
    )


def share(part: float, whole: float) -> float:
    """part / whole, and 0 when there is nothing."""
    return part / whole if whole and math.isfinite(whole) else 0.0
