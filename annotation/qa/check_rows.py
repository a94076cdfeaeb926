"""Checks a row: its form, and each claim about regions, distortions, severity, place and order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

from annotation.qa.check_damage import check_clean, check_distortions, check_severity
from annotation.qa.check_form import (
    check_language,
    check_length,
    check_meta,
    check_repetition,
    check_turns,
)
from annotation.qa.check_order import check_order
from annotation.qa.check_pointing import check_pointing, check_whole
from annotation.qa.check_question import check_question
from annotation.qa.read_message import LabelMask, MessageReading, read_message
from annotation.qa.scene import Failure, Scene
from schemas.records import Message, Region, Row, Task


def check_dialogue(
    task: Task,
    messages: Sequence[Message],
    regions: Sequence[Region],
    target_region_ids: Sequence[str],
    whole_image: bool,
    order_effect: float | None = None,
) -> list[Failure]:
    """Every failed check of a dialogue, empty when it may ship. The arguments are a published row's fields.

    Checks: turns, truth, length, language, repetition, meta_talk, distortion_missing, distortion_invented,
    distortion_denied, clean_claim, clean_missing, severity, severity_missing, region_label, region_wrong,
    one_region, position, position_missing, whole_image, whole_missing, leak, question, target, order,
    order_missing, order_effect.
    """
    failures = check_turns(messages)
    if failures:
        return failures
    failures = _check_ids(task, regions, target_region_ids, whole_image)
    if failures:
        return failures
    scene = _read_scene(task, messages, regions, target_region_ids, whole_image)
    masked = [reading.masked for _, reading in scene.messages]
    failures = [
        *check_length(task, messages, masked),
        *check_language(masked),
        *check_repetition(messages, masked),
        *check_meta(masked),
    ]
    for check in _CHECKS:
        failures.extend(check(scene))
    if task == "grounding_dao" and order_effect is None:
        failures.append(Failure("order_effect", "nobody measured that the order can be seen"))
    return list(dict.fromkeys(failures))


def check_row(row: Row) -> list[Failure]:
    """Check a published row again. Rows of other datasets (no provenance, or a task of their own) are not
    judged.
    """
    if row.provenance is None or row.task not in get_args(Task):
        return []
    task: Task = row.task  # type: ignore[assignment]
    whole = bool(row.whole_image)
    return check_dialogue(task, row.messages, row.regions, row.target_region_ids, whole, row.order_effect)


def _check_ids(
    task: Task, regions: Sequence[Region], targets: Sequence[str], whole_image: bool
) -> list[Failure]:
    ids = [region.region_id for region in regions]
    if len(set(ids)) != len(ids):
        return [Failure("truth", "two regions have the same id")]
    unknown = [target for target in targets if target not in ids]
    if unknown:
        return [Failure("truth", f"target regions that the picture doesn't have: {', '.join(unknown)}")]
    if whole_image and targets:
        return [Failure("truth", "a row about the whole image has no target regions")]
    if task != "global_description" and not whole_image and len(targets) != 1:
        return [Failure("truth", f"the row needs one target region and has {len(targets)}")]
    return []


def _read_scene(
    task: Task,
    messages: Sequence[Message],
    regions: Sequence[Region],
    targets: Sequence[str],
    whole_image: bool,
) -> Scene:
    labels = LabelMask(regions)
    index = {region.region_id: i for i, region in enumerate(regions)}
    subject = None if task == "global_description" or whole_image else index[targets[0]]
    read_messages: list[tuple[str, MessageReading]] = []
    for message in messages:
        read_messages.append((message.role, read_message(message.content, labels, subject)))
    return Scene(task, tuple(regions), subject, whole_image, tuple(read_messages), labels)


_CHECKS: tuple[Callable[[Scene], list[Failure]], ...] = (
    check_distortions,
    check_severity,
    check_clean,
    check_pointing,
    check_whole,
    check_question,
    check_order,
)
