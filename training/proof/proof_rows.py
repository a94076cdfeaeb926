"""The rows of the proof: those that ask for the strongest, each with one answer of a fixed form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from schemas.errors import InputError
from schemas.hashing import rng
from training.sft.encode_rows import UnfitRow
from training.streaming import stream

ASKED = "strongest"


def pointed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its first question as it is and the answer "At the <row> <column>.", out of its truth.

    The place is the published `position` of the one target region, with "center" for an axis that it leaves
    unsaid: "top left", "top center", "center center". Raises UnfitRow ("other-question") for a row that
    doesn't ask where something is strongest.
    """
    question = row["messages"][0]
    if ASKED not in question["content"].split(" ")[-1]:
        raise UnfitRow("other-question", str(row.get("id")))
    (target,) = row["target_region_ids"]
    position = next(region["position"] for region in row["regions"] if region["region_id"] == target)
    return {**row, "messages": [dict(question), answer_at(position)]}


def answer_at(position: str) -> dict[str, str]:
    """The assistant's words for a place as `schemas.masks.position` gives it."""
    said = position.split()
    vertical = next((word for word in said if word in ("top", "bottom")), "center")
    horizontal = next((word for word in said if word in ("left", "right")), "center")
    return {"role": "assistant", "content": f"At the {vertical} {horizontal}."}


def rows_of(dataset: Path, split: str, most: int | None = None) -> list[dict[str, Any]]:
    """`pointed` rows of a split with their pictures, at most `most` drawn at random, in a fixed order.

    Raises InputError when there is none.
    """
    found = []
    for row in stream(dataset, split=split, seed=0):
        try:
            found.append(pointed(row))
        except UnfitRow:
            continue
    if not found:
        raise InputError(f"{dataset}: no row of the split {split!r} asks where something is {ASKED}")
    found.sort(key=lambda row: str(row["id"]))
    if most is not None and len(found) > most:
        chosen = rng(0, "proof", "rows", split).permutation(len(found))[:most]
        found = [found[number] for number in sorted(chosen.tolist())]
    return found
