"""Checks of rows that come from other datasets: dialogue, pictures, license, stated distortions, leaks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from flows.stages.merging.mixture import allowed
from schemas.config import LicensesConfig
from schemas.dataset import KeptOut
from schemas.records import EXTERNAL_TASKS, TASKS, External, GivenDistortion, Row

_TOKENS = ("<image>", "<|image|>")
Problem = tuple[str, str]
"""A stable slug and what is wrong."""


class ExternalChecks:
    """Checks merged rows one by one; `categories` are the catalog's classes by name."""

    def __init__(
        self, categories: Mapping[str, str], licenses: LicensesConfig, kept_out: Iterable[KeptOut]
    ) -> None:
        self._categories = categories
        self._licenses = licenses
        self._kept_out = {entry.pixels: entry.picture for entry in kept_out if entry.pixels}
        self._split_of_picture: dict[str, tuple[str, str]] = {}

    def check(self, row: Row, hashes: Sequence[str]) -> Iterator[Problem]:
        """The faults of a row whose pictures have these pixel hashes."""
        external = row.external
        if external is None:
            return
        if row.task not in (*TASKS, *EXTERNAL_TASKS):
            yield "unknown-task", f"no task is called {row.task!r}"
        if row.provenance is not None or row.regions or row.target_region_ids:
            yield "invented-truth", "a merged row has provenance, regions or targets that its dataset hasn't"
        if row.license is None:
            yield "missing-license", "the row states no license"
        elif not allowed(row.license, self._licenses):
            yield "refused-license", f"the configuration refuses {row.license!r}"
        yield from _check_dialogue(row)
        yield from self._check_pictures(row, external, hashes)
        for stated in external.distortions or ():
            yield from self._check_distortion(stated, external)
        if external.better is not None and not 0 <= external.better < len(external.images):
            yield "wrong-picture", f"the better picture is number {external.better}, which the row hasn't"

    def _check_pictures(self, row: Row, external: External, hashes: Sequence[str]) -> Iterator[Problem]:
        if [picture.pixels for picture in external.images] != list(hashes):
            yield "wrong-picture", "its pictures are not those listed in its column external"
        if bool(external.images) != (row.source_image is not None):
            yield "wrong-source", "a row has a source picture when it has pictures"
        for pixels in hashes:
            if pixels in self._kept_out:
                yield "evaluation-leak", f"it shows {self._kept_out[pixels]}, which was to be kept out"
            split, first = self._split_of_picture.setdefault(pixels, (row.split, row.id))
            if split != row.split:
                yield "split-leak", f"its picture is in the splits {split} (row {first}) and {row.split}"

    def _check_distortion(self, stated: GivenDistortion, external: External) -> Iterator[Problem]:
        if stated.image >= len(external.images):
            yield "wrong-picture", f"a distortion of picture number {stated.image}, which the row hasn't"
        if (stated.name is None) != (stated.category is None):
            yield "wrong-category", "a stated distortion has a name or a class, not both"
        if stated.name is not None:
            category = self._categories.get(stated.name)
            if category is None:
                yield "unknown-distortion", f"{stated.name!r} is not in the catalog"
            elif category != stated.category:
                yield "wrong-category", f"{stated.name} is of class {category}, not {stated.category}"


def _check_dialogue(row: Row) -> Iterator[Problem]:
    """People first and in turn, an answer last, no text empty or with an image token."""
    roles = [message.role for message in row.messages]
    if not roles or len(roles) % 2 or roles != ["user", "assistant"] * (len(roles) // 2):
        yield "wrong-dialogue", "user and assistant don't take turns, from a question to an answer"
    for message in row.messages:
        if not message.content.strip():
            yield "wrong-dialogue", "a turn is empty"
        if any(token in message.content for token in _TOKENS):
            yield "wrong-dialogue", "a turn has an image token"
