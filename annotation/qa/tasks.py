"""Which training rows a sample gives: one draft a row, only where the truth makes the question well-posed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from annotation.qa import truth
from schemas.hashing import rng
from schemas.records import Region, Sample, SampleKind, Task


@dataclass(frozen=True)
class Draft:
    """A row to be written.

    `target_region_ids` and `whole_image` become the row's; `subject` is the region that a local or referring
    row is about, or the answer of a grounding row, None when the row is about the whole picture.
    """

    row_id: str
    sample_id: str
    task: Task
    target_region_ids: tuple[str, ...]
    whole_image: bool
    subject: str | None


def drafts(sample: Sample) -> list[Draft]:
    """The rows of a sample, in a fixed order with fixed ids; questions without one clear answer are left out.

    Ids are "<sample id>-<task>", with "-<region id>" where the row is about one region.
    """
    return _RULES[sample.kind](sample)


def _global(sample: Sample) -> list[Draft]:
    """A description of the whole picture, when every distorted region can be named without mistake."""
    names = truth.unmistakable(sample.regions)
    carriers = truth.distorted(sample.regions)
    if not sample.whole_image and any(region.region_id not in names for region in carriers):
        return []
    targets = () if sample.whole_image else tuple(region.region_id for region in carriers)
    row_id = f"{sample.sample_id}-global_description"
    return [Draft(row_id, sample.sample_id, "global_description", targets, sample.whole_image, None)]


def _about(sample: Sample, task: Task, region: Region) -> Draft:
    row_id = f"{sample.sample_id}-{task}-{region.region_id}"
    return Draft(row_id, sample.sample_id, task, (region.region_id,), False, region.region_id)


def _describing(sample: Sample, tasks: Sequence[Task]) -> list[Draft]:
    """Local and referring rows: the first about the target, the others spread over the distorted regions."""
    names = truth.unmistakable(sample.regions)
    carriers = [region for region in truth.distorted(sample.regions) if region.region_id in names]
    if not carriers:
        return []
    targets = [region for region in carriers if region.region_id in sample.target_region_ids]
    others = [region for region in carriers if region.region_id not in sample.target_region_ids]
    order = rng(sample.seed, "drafts", sample.sample_id).permutation(len(others))
    ranked = targets + [others[int(i)] for i in order]
    return [_about(sample, task, ranked[i % len(ranked)]) for i, task in enumerate(tasks)]


def _grounding(sample: Sample, task: Task) -> list[Draft]:
    """The grounding row, when the target is the one right answer and can be named without mistake."""
    if len(sample.target_region_ids) != 1:
        return []
    target = next((r for r in sample.regions if r.region_id == sample.target_region_ids[0]), None)
    if target is None or target.region_id not in truth.unmistakable(sample.regions):
        return []
    if not _answers(sample, target):
        return []
    return [_about(sample, task, target)]


def _answers(sample: Sample, target: Region) -> bool:
    """Whether the target is the only right answer to the sample's question."""
    if sample.ask in ("worst", "best", "strongest", "weakest"):
        first = truth.leader(sample.regions, most=sample.ask in ("worst", "strongest"))
        same_type = sample.kind != "sid" or bool(truth.common_names(sample.regions))
        return first is not None and first.region_id == target.region_id and same_type
    if sample.ask == "order":
        if len(sample.ask_order) != 2 or sample.order_effect is None:
            return False
        carriers = [r for r in sample.regions if truth.has_order(r, sample.ask_order)]
        return [r.region_id for r in carriers] == [target.region_id]
    return False


def _hyd(sample: Sample) -> list[Draft]:
    describing = _describing(sample, ("local_description", "referring_short", "referring_long"))
    return _grounding(sample, "grounding_hyd") + _global(sample) + describing


def _sid(sample: Sample) -> list[Draft]:
    describing = _describing(sample, ("local_description", "referring_short", "referring_long"))
    return _grounding(sample, "grounding_sid") + _global(sample) + describing


def _dao(sample: Sample) -> list[Draft]:
    describing = _describing(sample, ("referring_short", "referring_long", "local_description"))
    return _grounding(sample, "grounding_dao") + describing + _global(sample)


def _single(sample: Sample) -> list[Draft]:
    return _describing(sample, ("local_description", "referring_short", "referring_long")) + _global(sample)


def _whole(sample: Sample) -> list[Draft]:
    if not sample.whole_image or not truth.common_names(sample.regions):
        return []
    row_id = f"{sample.sample_id}-grounding_sid"
    return [*_global(sample), Draft(row_id, sample.sample_id, "grounding_sid", (), True, None)]


def _pristine(sample: Sample) -> list[Draft]:
    """An untouched picture, and two of its regions."""
    names = truth.unmistakable(sample.regions)
    regions = [region for region in sample.regions if region.region_id in names]
    if not regions:
        return _global(sample)
    order = rng(sample.seed, "drafts", sample.sample_id).permutation(len(regions))
    short, long = regions[int(order[0])], regions[int(order[-1])]
    return [
        *_global(sample),
        _about(sample, "referring_short", short),
        _about(sample, "referring_long", long),
    ]


_RULES: dict[SampleKind, Callable[[Sample], list[Draft]]] = {
    "hyd": _hyd,
    "sid": _sid,
    "dao": _dao,
    "single": _single,
    "whole": _whole,
    "pristine": _pristine,
}
