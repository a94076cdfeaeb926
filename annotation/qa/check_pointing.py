"""Checks of how a text points: region labels, position words, one region in grounding answers, whole-image
claims.
"""

from __future__ import annotations

import re
from functools import lru_cache

from annotation.place_words import any_of, load_place_words
from annotation.qa import truth
from annotation.qa.read_message import Clause, MessageReading, Reference
from annotation.qa.read_places import picture_pattern
from annotation.qa.read_superlatives import says_end
from annotation.qa.scene import Failure, Scene

_NOT_A_CLAIM = re.compile(
    r"(?:\b(?:not|rather than|instead of|never|nor)\s+(?:just\s+)?(?:in|on|over|across)?\s*(?:the\s+|"
    r"this\s+)?$)|"
    r"\bquality of (?:the|this)\s+$"
)


def _is_grounding(scene: Scene) -> bool:
    return scene.task.startswith("grounding")


def check_pointing(scene: Scene) -> list[Failure]:
    """Labels and places belong to the right region; the answer of a grounding row carries exactly its one
    region.
    """
    failures = _check_places(scene)
    if scene.subject is None:
        if (
            scene.whole_image
            and _is_grounding(scene)
            and any(list(reading.references()) for reading in scene.answers)
        ):
            failures.append(
                Failure("one_region", "the answer is the whole image, but a single region is named")
            )
        return failures
    failures.extend(_check_subject(scene))
    if _is_grounding(scene):
        failures.extend(_check_grounding(scene))
    return failures


def _check_places(scene: Scene) -> list[Failure]:
    failures = []
    for role, reading in scene.messages:
        for reference in reading.references():
            true_places = {scene.regions[i].position for i in reference.regions}
            if scene.subject is not None and not reference.labeled:
                true_places = {scene.regions[scene.subject].position}
            wrong = [words for words in reference.positions if words not in true_places]
            if wrong and not (role == "user" and _is_grounding(scene) and reading is scene.question):
                failures.append(Failure("position", f"'{wrong[0]}' is not where the region is"))
    return failures


def _find_own(scene: Scene, reading: MessageReading) -> list[Reference]:
    """References that can only mean the subject, or its label where others share it."""
    return [r for r in reading.references() if scene.subject in r.regions and r.labeled]


def _check_subject(scene: Scene) -> list[Failure]:
    """The label of the subject is named, in the answer of a grounding row; a shared label comes with its
    place.
    """
    subject = scene.regions[scene.target]
    readings = scene.answers if _is_grounding(scene) else [reading for _, reading in scene.messages]
    own = [reference for reading in readings for reference in _find_own(scene, reading)]
    if not own:
        return [Failure("region_label", f"the text never names the {subject.label}")]
    if truth.shares_label(subject, scene.regions) and all(len(reference.regions) > 1 for reference in own):
        return [
            Failure(
                "position_missing", f"several regions are called {subject.label}; the place must be named"
            )
        ]
    if _is_grounding(scene):
        return []
    strangers = [
        r
        for reading in scene.questions
        for r in reading.references()
        if r.labeled and scene.subject not in r.regions
    ]
    return [Failure("region_wrong", "the question names another region")] if strangers else []


def _check_grounding(scene: Scene) -> list[Failure]:
    failures = []
    subject = scene.regions[scene.target]
    references = [r for reading in scene.answers for r in reading.references()]
    if any(r.labeled and scene.subject not in r.regions for r in references):
        failures.append(Failure("one_region", "the answer names another region than the target"))
    if not any(subject.position in r.positions and scene.subject in r.regions for r in references):
        failures.append(
            Failure("position_missing", f"the answer doesn't say that the region is at '{subject.position}'")
        )
    first = scene.question.references()
    if any(not r.labeled or scene.subject in r.regions for r in first):
        failures.append(Failure("leak", "the question gives the region or its place away"))
    return failures


def check_whole(scene: Scene) -> list[Failure]:
    """Only rows about the whole image say that the damage is everywhere, and they do say it."""
    claims = [
        text
        for reading in scene.answers
        for clause in reading.clauses
        if (text := _find_whole_claim(clause, scene))
    ]
    if scene.whole_image:
        return (
            []
            if claims
            else [Failure("whole_missing", "the answer doesn't say that the whole image is affected")]
        )
    if not scene.distorted or not claims:
        return []
    return [Failure("whole_image", f"'{claims[0]}' claims the whole image, but single regions are affected")]


def _find_whole_claim(clause: Clause, scene: Scene) -> str | None:
    loose = scene.whole_image or _is_grounding(scene)
    whole, everywhere = _patterns()
    match = whole.search(clause.text) or (everywhere.search(clause.text) if loose else None)
    if match is None or _NOT_A_CLAIM.search(clause.text[: match.start()]):
        return None
    if not scene.whole_image and re.search(
        r"\b(?:of|in|across|from)\s+(?:the|this)\s+$", clause.text[: match.start()]
    ):
        superlative = says_end(clause.text, "most") or says_end(clause.text, "least")
        if superlative:
            return None
    if re.search(r"\bno\b[^,:]*$", clause.text[: match.start()]):
        return None
    return match[0]


@lru_cache(maxsize=1)
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Claims about the whole picture that name it, and those that don't."""
    lists, picture = load_place_words("checks").lists, picture_pattern()
    whole = (
        rf"\b(?:{any_of(lists['whole'])}\s+{picture}|"
        rf"{any_of(lists['spread'])}\s+(?:in\s+)?(?:the|this)\s+(?:whole\s+|entire\s+)?{picture}|"
        rf"{picture}\s+as a whole|entirety of (?:the|this) {picture})\b"
    )
    return re.compile(whole), re.compile(rf"\b(?!everywhere else){any_of(lists['everywhere'])}\b")
