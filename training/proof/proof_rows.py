"""The rows of the proof: those that ask where something is strongest, with an answer of a fixed form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from schemas.errors import InputError
from schemas.hashing import rng
from training.sft.encode_rows import UnfitRow
from training.streaming import stream

ASKED_WORD = "strongest"


def to_pointing_row(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its first question unchanged and the answer "At the <row> <column>." from its truth.

    The place is the published `position` of the one target region, with "center" for an axis that it omits:
    "top left", "top center", "center center". Raises UnfitRow ("other-question") for a row that doesn't ask
    where something is strongest.
    """
    question = row["messages"][0]
    if ASKED_WORD not in question["content"].split(" ")[-1]:
        raise UnfitRow("other-question", str(row.get("id")))
    (target,) = row["target_region_ids"]
    position = next(region["position"] for region in row["regions"] if region["region_id"] == target)
    return {**row, "messages": [dict(question), position_answer(position)]}


def position_answer(position: str) -> dict[str, str]:
    """The assistant's message for a position as `schemas.masks.position` returns it."""
    words = position.split()
    vertical = next((word for word in words if word in ("top", "bottom")), "center")
    horizontal = next((word for word in words if word in ("left", "right")), "center")
    return {"role": "assistant", "content": f"At the {vertical} {horizontal}."}


def load_proof_rows(dataset: Path, split: str, most: int | None = None) -> list[dict[str, Any]]:
    """Pointing rows of a split with their pictures, at most `most` drawn at random, in a fixed order.

    Raises InputError when there is none.
    """
    found = []
    for row in stream(dataset, split=split, seed=0):
        try:
            found.append(to_pointing_row(row))
        except UnfitRow:
            continue
    if not found:
        raise InputError(f"{dataset}: no row of the split {split!r} asks where something is {ASKED_WORD}")
    found.sort(key=lambda row: str(row["id"]))
    if most is not None and len(found) > most:
        chosen = rng(0, "proof", "rows", split).permutation(len(found))[:most]
        found = [found[number] for number in sorted(chosen.tolist())]
    return found
