"""Checks of what an answer claims about damage: the right distortions, all of them, none more, at the right
severity.
"""

from __future__ import annotations

from collections.abc import Iterable

from annotation.qa.lexicon import load_lexicon
from annotation.qa.read_message import Mention
from annotation.qa.scene import Failure, Scene
from schemas.records import Distortion

_COMPLETE = ("global_description", "local_description", "referring_short", "referring_long")
_WITH_SEVERITY = ("global_description", "referring_long")


def check_distortions(scene: Scene) -> list[Failure]:
    """Distortions named in answers are true of the regions they are claimed of, and none is left out or
    denied.
    """
    failures: list[Failure] = []
    mentions = [m for reading in scene.answers for m in reading.mentions() if m.kind in ("name", "hint")]
    for mention in mentions:
        if mention.rest:
            continue
        true_here = {d.name for d in scene.distortions(_find_claimed(scene, mention))}
        if mention.negated and mention.kind == "name" and mention.names & true_here:
            failures.append(
                Failure("distortion_denied", f"the answer denies '{mention.text}', which is there")
            )
        if not mention.negated and not mention.names & true_here:
            failures.append(Failure("distortion_invented", f"'{mention.text}' is not there"))
    if scene.task in _COMPLETE:
        failures.extend(
            _find_missing(scene, [m for m in mentions if m.kind == "name" and not m.negated and not m.rest])
        )
    return failures


def _find_claimed(scene: Scene, mention: Mention) -> Iterable[int]:
    """The regions to judge a mention by: all distorted ones where only context says which (a global row)."""
    if scene.whole_image:
        return scene.distorted
    if scene.subject is None and (not mention.regions or (mention.implied and not mention.negated)):
        return scene.distorted
    return mention.regions or scene.about()


def _find_missing(scene: Scene, mentions: list[Mention]) -> list[Failure]:
    failures = []
    for index in scene.about():
        region = scene.regions[index]
        for distortion in region.distortions:
            telling = [m for m in mentions if _tells(m, distortion, scene, index)]
            where = f" of the {region.label}" if scene.subject is None else ""
            if not telling:
                name = _speak(distortion)
                failures.append(Failure("distortion_missing", f"the {name}{where} is not named"))
            elif scene.task in _WITH_SEVERITY and not any(m.levels is not None for m in telling):
                failures.append(
                    Failure("severity_missing", f"no word says how severe the {_speak(distortion)}{where} is")
                )
    return failures


def _tells(mention: Mention, distortion: Distortion, scene: Scene, index: int) -> bool:
    """Whether a mention names this distortion of this region, and no other kind the region has."""
    if distortion.name not in mention.names:
        return False
    if not scene.whole_image and mention.regions and index not in mention.regions:
        return False
    if not scene.whole_image and scene.subject is None and not mention.regions:
        return False
    lexicon = load_lexicon()
    own = {d.name for d in scene.regions[index].distortions}
    return len({lexicon.kind(name) for name in mention.names & own}) == 1


def _speak(distortion: Distortion) -> str:
    lexicon = load_lexicon()
    return lexicon.group(distortion.name).bare()[0] if distortion.name in lexicon.names else distortion.name


def check_severity(scene: Scene) -> list[Failure]:
    """Severity words fit the level of the distortion they qualify."""
    failures = []
    for mention in (m for reading in scene.answers for m in reading.mentions()):
        if (
            mention.levels is None
            or mention.negated
            or mention.rest
            or mention.kind not in ("name", "generic")
        ):
            continue
        present = scene.distortions(_find_claimed(scene, mention))
        levels = {d.level for d in present if mention.kind == "generic" or d.name in mention.names}
        if levels and not levels & mention.levels:
            failures.append(
                Failure("severity", f"'{mention.severity}' is the wrong severity for '{mention.text}'")
            )
    return failures


def check_clean(scene: Scene) -> list[Failure]:
    """Where nothing was done the answer says so, and no distorted region is called clean."""
    found = [
        m
        for reading in scene.answers
        for m in reading.mentions()
        if m.kind == "clean" or (m.kind == "generic" and m.negated)
    ]
    if not scene.distortions(scene.about()):
        damage = [
            m
            for r in scene.answers
            for m in r.mentions()
            if m.kind == "generic" and not m.negated and not m.rest
        ]
        if damage:
            return [
                Failure("distortion_invented", f"the answer speaks of '{damage[0].text}' where there is none")
            ]
        return (
            []
            if found
            else [Failure("clean_missing", "the answer doesn't say that no distortion is visible")]
        )
    failures = []
    for mention in found:
        if mention.rest and not scene.whole_image:
            continue
        claimed = scene.about() if scene.whole_image or not mention.regions else mention.regions
        if scene.distortions(claimed):
            failures.append(Failure("clean_claim", f"'{mention.text}' calls a distorted region clean"))
    return failures
