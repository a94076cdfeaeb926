"""Reads an answer's claims with the words that the dataset's own checks know, for the judge-free scores."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from annotation.qa.lexicon import load_lexicon
from annotation.qa.orders import contradicts, order_claims
from annotation.qa.reading import LabelMask, Mention, Reading, read
from annotation.qa.truth import in_order
from inference.evaluation.claims import Claim, ClaimReader, Claims
from schemas.records import Row


def claim_reader() -> ClaimReader:
    """The reader, as scores take it."""
    lexicon = load_lexicon()
    return ClaimReader(read_claims, lambda name: lexicon.names.get(name, name))


def read_claims(row: Row, texts: Sequence[str]) -> Claims:
    """What answers to a row's questions claim of its regions. Claims about "the rest" are left out."""
    labels = LabelMask(row.regions)
    index = {region.region_id: i for i, region in enumerate(row.regions)}
    single = row.task != "global_description" and not row.whole_image and len(row.target_region_ids) == 1
    subject = index[row.target_region_ids[0]] if single else None
    if row.task.startswith("grounding"):
        subject = None
    readings = [read(text, labels, subject) for text in texts]
    mentions = [mention for reading in readings for mention in reading.mentions() if not mention.rest]
    return Claims(
        tuple(_claims(mentions)),
        tuple(m.regions for m in mentions if m.kind == "clean" or (m.kind == "generic" and m.negated)),
        any(m.kind == "generic" and not m.negated for m in mentions),
        tuple(r.regions for reading in readings for r in reading.references() if r.labelled),
        sum(_disorders(row, reading, labels, subject) for reading in readings),
    )


def _disorders(row: Row, reading: Reading, labels: LabelMask, subject: int | None) -> int:
    """Sentences, each about one region, that contradict the order of application there."""
    found = 0
    for sentence in reading.sentences():
        marks = set(re.findall("[\ue000-\uf8ff]", sentence))
        about = frozenset({subject}) if subject is not None else frozenset[int]()
        if subject is None and len(marks) == 1:
            about, _ = labels.holders(marks.pop())
        if len(about) == 1:
            order = in_order(row.regions[next(iter(about))])
            found += any(contradicts(claim, order) for claim in order_claims(sentence))
    return found


def _claims(mentions: Sequence[Mention]) -> Iterator[Claim]:
    lexicon = load_lexicon()
    for mention in mentions:
        if mention.kind in ("name", "hint"):
            categories = frozenset(lexicon.group(name).category for name in mention.names)
            regions = frozenset() if mention.implied and mention.negated else mention.regions
            yield Claim(
                mention.names, categories, regions, mention.levels, mention.negated, mention.kind == "hint"
            )
