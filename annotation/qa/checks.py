"""Judges a dialogue against the injected truth: every claim about regions, distortions, severity, place and
order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import get_args

from annotation.qa import asks, truth
from annotation.qa.claims import check_clean, check_distortions, check_severity
from annotation.qa.forms import (
    Failure,
    check_language,
    check_length,
    check_meta,
    check_repetition,
    check_turns,
)
from annotation.qa.orders import OrderClaim, contradicts, order_claims, place_in_order
from annotation.qa.pointing import check_pointing, check_whole
from annotation.qa.reading import LabelMask, Reading, read
from annotation.qa.scene import Scene
from schemas.records import Message, Region, Row, Task

__all__ = ["Failure", "check_dialogue", "check_row"]


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
    scene = _scene(task, messages, regions, target_region_ids, whole_image)
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


def _scene(
    task: Task,
    messages: Sequence[Message],
    regions: Sequence[Region],
    targets: Sequence[str],
    whole_image: bool,
) -> Scene:
    labels = LabelMask(regions)
    index = {region.region_id: i for i, region in enumerate(regions)}
    subject = None if task == "global_description" or whole_image else index[targets[0]]
    read_messages: list[tuple[str, Reading]] = []
    for message in messages:
        read_messages.append((message.role, read(message.content, labels, subject)))
    return Scene(task, tuple(regions), subject, whole_image, tuple(read_messages), labels)


def check_question(scene: Scene) -> list[Failure]:
    """A grounding question asks for one end of the scale (or an order), and the target is the right answer to
    it.
    """
    if scene.task == "grounding_dao" or not scene.task.startswith("grounding"):
        return []
    question = scene.question.masked
    failures = _check_type(scene) if scene.task == "grounding_sid" else []
    if scene.whole_image:
        return failures
    target = scene.regions[scene.target]
    end = asks.asked(question)
    if end is None:
        if scene.task == "grounding_hyd" or len(truth.distorted(scene.regions)) != 1:
            return [
                *failures,
                Failure(
                    "question", "the question doesn't say whether it asks for the most or the least damaged"
                ),
            ]
        right = truth.distorted(scene.regions)[0]
        return (
            failures
            if right is target
            else [*failures, Failure("target", "the target isn't the distorted region")]
        )
    first = truth.leader(scene.regions, most=end == "most")
    if first is None or first.region_id != target.region_id:
        failures.append(
            Failure(
                "target", f"the target is not clearly the {end} damaged region, which the question asks for"
            )
        )
    opposite: asks.Polarity = "least" if end == "most" else "most"
    for reading in scene.answers:
        if asks.says(reading.masked, opposite) and not asks.says(reading.masked, end):
            failures.append(
                Failure(
                    "target", f"the question asks for the {end} damaged region, the answer says the opposite"
                )
            )
    return failures


def _check_type(scene: Scene) -> list[Failure]:
    """The question names the distortion type that every distorted region has."""
    common = set(truth.common_names(scene.regions))
    named = [m for m in scene.question.mentions() if m.kind == "name" and not m.negated]
    if not named:
        return [Failure("question", "the question names no distortion type")]
    wrong = [m.text for m in named if not m.names & common]
    if wrong:
        return [
            Failure(
                "question",
                f"the question asks for a distortion that not every region has: {', '.join(wrong)}",
            )
        ]
    return []


def check_order(scene: Scene) -> list[Failure]:
    """Order words follow the order of application; a DAO question names one that only the target has."""
    failures: list[Failure] = []
    asked_names: list[str] = []
    for number, (_, reading) in enumerate(scene.messages):
        for sentence, index in _ordered_sentences(scene, reading):
            order = truth.in_order(scene.regions[index])
            claims = order_claims(sentence)
            failures.extend(
                Failure("order", f"'{sentence.strip()[:80]}' turns the order of the distortions around")
                for claim in claims
                if contradicts(claim, order)
            )
            if number == 0:
                asked_names = asked_names or _asked_names(claims, order)
    if scene.task != "grounding_dao":
        return failures
    if len(asked_names) != 2:
        failures.append(
            Failure("order_missing", "the question doesn't name two distortions of the target in an order")
        )
        return failures
    if any(
        truth.has_order(region, asked_names) for i, region in enumerate(scene.regions) if i != scene.target
    ):
        failures.append(Failure("target", "another region received the same distortions in the same order"))
    return failures


def _asked_names(claims: Sequence[OrderClaim], order: Sequence[str]) -> list[str]:
    """The two distortions a question puts in order; [] when it doesn't."""
    firsts = [claim.first for claim in claims if claim.first is not None]
    seconds = [claim.second for claim in claims if claim.second is not None]
    if not firsts or not seconds:
        return []
    places = [place_in_order(firsts[0], order), place_in_order(seconds[-1], order)]
    return [order[place] for place in places if place is not None]


def _ordered_sentences(scene: Scene, reading: Reading) -> list[tuple[str, int]]:
    """Sentences with the one region each is about; sentences about several regions are left out."""
    pairs = []
    for sentence in reading.sentences():
        marks = re.findall("[\ue000-\uf8ff]", sentence)
        if scene.subject is not None:
            pairs.append((sentence, scene.subject))
        elif len(set(marks)) == 1:
            holders, _ = scene.labels.holders(marks[0])
            if len(holders) == 1:
                pairs.append((sentence, next(iter(holders))))
    return pairs


_CHECKS: tuple[Callable[[Scene], list[Failure]], ...] = (
    check_distortions,
    check_severity,
    check_clean,
    check_pointing,
    check_whole,
    check_question,
    check_order,
)
