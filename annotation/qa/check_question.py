"""Checks that a grounding question asks for what its target is the right answer to."""

from __future__ import annotations

from annotation.qa import truth
from annotation.qa.read_superlatives import Polarity, find_asked_end, says_end
from annotation.qa.scene import Failure, Scene


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
    end = find_asked_end(question)
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
    opposite: Polarity = "least" if end == "most" else "most"
    for reading in scene.answers:
        if says_end(reading.masked, opposite) and not says_end(reading.masked, end):
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
