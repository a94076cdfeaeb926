"""Reads what a row's answers claim, with the words that the checks know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from annotation.qa.lexicon import load_lexicon
from annotation.qa.read_message import LabelMask, Mention, MessageReading, read_message
from annotation.qa.read_order import contradicts, find_order_claims
from annotation.qa.truth import in_order
from schemas.records import Row


@dataclass(frozen=True)
class Claim:
    """A distortion that a text names.

    `names` are the catalog names that the words may mean, `categories` their classes. `regions` are
    indexes into the row's regions, empty where the text doesn't say which. `levels` are those its severity
    words allow, None without such words. `denied`: the text says that it isn't there. `hint`: only its effect
    is told ("grainy"), not its name.
    """

    names: frozenset[str]
    categories: frozenset[str]
    regions: frozenset[int] = frozenset()
    levels: frozenset[int] | None = None
    denied: bool = False
    hint: bool = False


@dataclass(frozen=True)
class Claims:
    """What a text claims: distortions, that something is undamaged (of regions, or of all when it doesn't say
    which), damage without a kind, the regions that it points at by their label, and how often it turns the
    order of a region's distortions around.
    """

    distortions: tuple[Claim, ...] = ()
    clean: tuple[frozenset[int], ...] = ()
    damage: bool = False
    pointed: tuple[frozenset[int], ...] = ()
    disorders: int = 0


def read_claims(row: Row, texts: Sequence[str]) -> Claims:
    """What answers to a row's questions claim of its regions. Claims about "the rest" are left out."""
    labels = LabelMask(row.regions)
    index = {region.region_id: i for i, region in enumerate(row.regions)}
    single = row.task != "global_description" and not row.whole_image and len(row.target_region_ids) == 1
    subject = index[row.target_region_ids[0]] if single else None
    if row.task.startswith("grounding"):
        subject = None
    readings = [read_message(text, labels, subject) for text in texts]
    mentions = [mention for reading in readings for mention in reading.mentions() if not mention.rest]
    return Claims(
        tuple(_find_claims(mentions)),
        tuple(m.regions for m in mentions if m.kind == "clean" or (m.kind == "generic" and m.negated)),
        any(m.kind == "generic" and not m.negated for m in mentions),
        tuple(r.regions for reading in readings for r in reading.references() if r.labeled),
        sum(_count_disorders(row, reading, labels, subject) for reading in readings),
    )


def _count_disorders(row: Row, reading: MessageReading, labels: LabelMask, subject: int | None) -> int:
    """Sentences, each about one region, that contradict the order of application there."""
    found = 0
    for sentence, index in reading.sentences_about_one(labels, subject):
        order = in_order(row.regions[index])
        found += any(contradicts(claim, order) for claim in find_order_claims(sentence))
    return found


def _find_claims(mentions: Sequence[Mention]) -> Iterator[Claim]:
    lexicon = load_lexicon()
    for mention in mentions:
        if mention.kind in ("name", "hint"):
            categories = frozenset(lexicon.group(name).category for name in mention.names)
            regions = frozenset() if mention.implied and mention.negated else mention.regions
            yield Claim(
                mention.names, categories, regions, mention.levels, mention.negated, mention.kind == "hint"
            )
