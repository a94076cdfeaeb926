"""Checks that order words follow the order in which a region's distortions were applied."""

from __future__ import annotations

from collections.abc import Sequence

from annotation.qa import truth
from annotation.qa.read_order import OrderClaim, contradicts, find_in_order, find_order_claims
from annotation.qa.scene import Failure, Scene


def check_order(scene: Scene) -> list[Failure]:
    """Order words follow the order of application; a DAO question names one that only the target has."""
    failures: list[Failure] = []
    asked_names: list[str] = []
    for number, (_, reading) in enumerate(scene.messages):
        for sentence, index in reading.sentences_about_one(scene.labels, scene.subject):
            order = truth.in_order(scene.regions[index])
            claims = find_order_claims(sentence)
            failures.extend(
                Failure("order", f"'{sentence.strip()[:80]}' turns the order of the distortions around")
                for claim in claims
                if contradicts(claim, order)
            )
            if number == 0:
                asked_names = asked_names or _find_asked_names(claims, order)
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


def _find_asked_names(claims: Sequence[OrderClaim], order: Sequence[str]) -> list[str]:
    """The two distortions a question puts in order; [] when it doesn't."""
    firsts = [claim.first for claim in claims if claim.first is not None]
    seconds = [claim.second for claim in claims if claim.second is not None]
    if not firsts or not seconds:
        return []
    places = [find_in_order(firsts[0], order), find_in_order(seconds[-1], order)]
    return [order[place] for place in places if place is not None]
