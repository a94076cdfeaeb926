"""The benchmark `spider`: the test split of a built dataset, scored against its structured truth."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from annotation.qa.read_claims import read_claims
from inference.evaluation import measures, metrics
from inference.evaluation.benchmark_interface import Item, Measure, Opened, Reply, Statistic, Values
from inference.evaluation.claim_scores import CLAIM_COLUMNS, score_claims, score_missing
from inference.evaluation.mask_scores import score_mask
from inference.grounded_answer import Picture
from schemas import masks
from schemas.dataset import load_manifest, read_rows, rows_with_pictures, split_files
from schemas.errors import InputError, SampleError
from schemas.pictures import load_png
from schemas.records import TASKS, Region, Row

GROUNDING = tuple(task for task in TASKS if task.startswith("grounding"))
DESCRIBING = tuple(task for task in TASKS if task not in GROUNDING)
GROUNDING_COLUMNS = ("intersection", "union", "iou", "in_mask", "whole_right", "region_named", "no_answer")


def _measures() -> tuple[Measure | Statistic, ...]:
    levelled = ("global_description", "referring_long")
    return (
        *measures.iou_measures(GROUNDING),
        measures.mean("point in mask", "in_mask", GROUNDING),
        measures.mean("whole image right", "whole_right", GROUNDING),
        measures.mean("region named", "region_named", GROUNDING),
        measures.mean("F1", "f1", DESCRIBING),
        measures.ratio("precision", "right", "claimed", DESCRIBING),
        measures.ratio("recall", "told", "truths", DESCRIBING),
        measures.mean("class F1", "class_f1", DESCRIBING),
        measures.ratio("class precision", "class_right", "class_claimed", DESCRIBING),
        measures.ratio("class recall", "class_told", "class_truths", DESCRIBING),
        measures.ratio("placed recall", "placed_told", "placed_truths", ("global_description",)),
        measures.ratio("level within 1", "level_near", "level_truths", levelled),
        measures.mean("false claims", "false_claims", DESCRIBING, better="lower"),
        measures.mean("no answer", "no_answer", better="lower"),
    )


@dataclass(frozen=True)
class SpiderBenchmark:
    """Items are the test rows of the seven tasks.

    A grounding row asks its first question alone, since the mask comes from the first answer and the later
    questions ask why. Other rows ask all their questions, each after the model's own answers, and what all
    answers claim is scored together: no true answer is ever shown to the model.
    """

    name: str = "spider"
    needs_logits: bool = False
    judged: bool = True
    columns: tuple[str, ...] = (*GROUNDING_COLUMNS, *CLAIM_COLUMNS)
    measures: tuple[Measure | Statistic, ...] = _measures()

    def open(self, data: Path, limit: int | None) -> Opened:
        """Read the folder of a dataset. Raises InputError when it isn't one or has no test rows of ours."""
        manifest = load_manifest(data)
        paths = [path for path, _ in split_files(data, "test")]
        ids = list(islice((row.id for path in paths for row in read_rows(path) if row.task in TASKS), limit))
        if not ids:
            raise InputError(
                f"{data}: the split 'test' has no row of the seven tasks; build a larger dataset"
            )
        return Opened(lambda: _items(paths, limit), len(ids), manifest.digest)

    def score(self, items: Sequence[Item], replies: Sequence[Reply]) -> list[Values]:
        return [self._score(item, reply) for item, reply in zip(items, replies, strict=True)]

    def _score(self, item: Item, reply: Reply) -> Values:
        row: Row = item.truth
        found: dict[str, float | None] = dict.fromkeys(self.columns)
        if row.task in GROUNDING:
            found.update(score_mask(item, reply))
            found["region_named"] = _names_region(row, reply)
            return found
        missing = not reply.text.strip()
        found["no_answer"] = float(missing)
        if missing:
            found.update(score_missing(row))
        else:
            found.update(score_claims(row, read_claims(row, reply.texts)))
        return found


def make() -> SpiderBenchmark:
    """The benchmark."""
    return SpiderBenchmark()


def _names_region(row: Row, reply: Reply) -> float | None:
    """Whether the first answer points, by label, at the target and at no other region; None for a model
    that gives masks without words.
    """
    wordless = not reply.texts and (reply.masks or reply.whole_image)
    if row.whole_image or wordless:
        return None
    target = {i for i, region in enumerate(row.regions) if region.region_id in row.target_region_ids}
    pointed = read_claims(row, reply.texts[:1]).pointed
    return float(bool(pointed) and all(target <= regions for regions in pointed))


_WINDOW = 128


def _items(paths: Sequence[Path], limit: int | None) -> Iterator[Item]:
    """The items of the first rows; within a window of rows those of one picture one after another."""
    every = ((path, *found) for path in paths for found in rows_with_pictures(path))
    ours = islice((found for found in every if found[1].task in TASKS), limit)
    while window := [_item(*found) for found in islice(ours, _WINDOW)]:
        yield from sorted(window, key=lambda item: (item.group, item.picture_key, item.id))


def _item(path: Path, row: Row, pictures: Sequence[bytes]) -> Item:
    asked = [m.content for m in row.messages if m.role == "user"]
    answers = [m.content for m in row.messages if m.role == "assistant"]
    source = row.source_image
    if len(pictures) != 1 or source is None or not asked or len(asked) != len(answers):
        what = f"row {row.id} isn't one picture with questions, each answered"
        raise InputError(f"{path}: {what}; see `iqa-spider verify`")
    grounding = row.task in GROUNDING
    target = _target(path, row) if grounding else None
    return Item(
        id=row.id,
        group=source.id,
        task=row.task,
        questions=tuple(asked[:1] if grounding else asked),
        picture=lambda: _decoded(path, row.id, pictures[0]),
        picture_key=hashlib.sha256(pictures[0]).hexdigest(),
        target=target.mask if target else None,
        noun=target.label if target and not row.whole_image else "",
        whole_image=grounding and bool(row.whole_image),
        reference=answers[0] if grounding else "\n".join(answers),
        truth=row,
    )


def _target(path: Path, row: Row) -> Region:
    """The region a grounding row asks for; for the whole picture the first one, its mask all pixels."""
    for region in row.regions:
        if not row.whole_image and region.region_id not in row.target_region_ids:
            continue
        try:
            masks.area(region.mask)
        except ValueError as error:
            what = f"row {row.id}, region {region.region_id}: {error}"
            raise InputError(f"{path}: {what}; see `iqa-spider verify`") from error
        if row.whole_image:
            return region.model_copy(update={"mask": metrics.full_mask(*region.mask.size)})
        return region
    raise InputError(f"{path}: row {row.id} has no target region; see `iqa-spider verify`")


def _decoded(path: Path, row_id: str, data: bytes) -> Picture:
    try:
        return load_png(data)
    except SampleError as error:
        raise InputError(f"{path}: row {row_id}: {error}; see `iqa-spider verify`") from error
