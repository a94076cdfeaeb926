"""Verify: rows that lie about masks, pictures, distortions or sources, answers that contradict their regions.

Every hash, count and digest is mended after the damage, so that only the checks of the rows can find it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from schemas import masks
from schemas.pictures import encode, load_png
from schemas.records import Mask
from tests.flows import damage
from tests.flows.damage import Values, first, region

if TYPE_CHECKING:
    from tests.flows.conftest import Verdict


def edit_region(**changes: Any) -> Callable[[Values], None]:
    return lambda values: region(values).update(changes)


def shift_mask(values: Values) -> None:
    """Turn the target's mask upside down, and its box, area and position with it."""
    mask = masks.decode(Mask.model_validate(region(values)["mask"]))[::-1, ::-1]
    region(values).update(
        mask=masks.encode(mask).model_dump(),
        bbox=masks.bounding_box(mask),
        area=int(mask.sum()),
        position=masks.position(mask),
    )


def empty_mask(values: Values) -> None:
    size = region(values)["mask"]["size"]
    region(values)["mask"] = masks.encode(np.zeros(size, np.bool_)).model_dump()


def cut_mask(values: Values) -> None:
    """A mask of the picture less its last column."""
    mask = masks.decode(Mask.model_validate(region(values)["mask"]))[:, :-1]
    region(values)["mask"] = masks.encode(mask).model_dump()


def broken_counts(values: Values) -> None:
    region(values)["mask"]["counts"] = region(values)["mask"]["counts"][:-1]


def huge_mask(values: Values) -> None:
    region(values)["mask"]["size"] = [2**31, 2**31]


def set_distortion(**changes: Any) -> Callable[[Values], None]:
    return lambda values: region(values)["distortions"][0].update(changes)


def other_level(values: Values) -> None:
    distortion = region(values)["distortions"][0]
    distortion["level"] = distortion["level"] % 5 + 1


def swap_orders(values: Values) -> None:
    carried = region(values)["distortions"]
    carried[0]["order"], carried[1]["order"] = 2, 1


def swap_distortions(values: Values) -> None:
    carried = region(values)["distortions"]
    carried.reverse()
    for order, distortion in enumerate(carried, 1):
        distortion["order"] = order


def other_picture(values: Values) -> None:
    rgb = load_png(values["images"][0]["bytes"]).copy()
    rgb[0, 0] ^= 1
    values["images"][0]["bytes"] = encode(rgb)


def smaller_picture(values: Values) -> None:
    values["images"][0]["bytes"] = encode(load_png(values["images"][0]["bytes"])[:-1])


def picture_of(data: bytes | None) -> Callable[[Values], None]:
    return lambda values: values["images"][0].update(bytes=data)


def no_picture(values: Values) -> None:
    values["images"] = []


def other_source(values: Values) -> None:
    values["source_image"].update(sha256="f" * 64, id="f" * 16)


def other_source_id(values: Values) -> None:
    values["source_image"].update(id="f" * 16)


def twin_regions(values: Values) -> None:
    values["regions"].append(values["regions"][0])


def targets(*names: str, whole: bool = False) -> Callable[[Values], None]:
    return lambda values: values.update(target_region_ids=list(names), whole_image=whole)


def two_distortions(values: Values) -> bool:
    return len(region(values)["distortions"]) == 2


def carries(values: Values) -> bool:
    return bool(region(values)["distortions"])


def anything(values: Values) -> bool:
    return True


DAMAGE: list[tuple[str, str, Callable[[Values], bool], Callable[[Values], None], str]] = [
    ("wrong-area", "grounding_hyd", anything, edit_region(area=1), "area 1, the mask has "),
    ("wrong-area", "grounding_hyd", anything, empty_mask, "the mask has 0 pixels"),
    (
        "wrong-bbox",
        "grounding_sid",
        lambda v: not v["whole_image"],
        edit_region(bbox=[0, 0, 1, 1]),
        "bbox [0, 0, 1, 1]",
    ),
    (
        "wrong-position",
        "local_description",
        anything,
        edit_region(position="nowhere"),
        "position 'nowhere', the mask's",
    ),
    ("wrong-mask", "local_description", anything, shift_mask, "its mask is not the one that the recipe"),
    ("mask-size", "local_description", anything, cut_mask, "mask of ["),
    ("mask-size", "local_description", anything, huge_mask, "mask of [2147483648, 2147483648], picture of "),
    ("broken-mask", "local_description", anything, broken_counts, "mask "),
    (
        "unknown-distortion",
        "referring_short",
        carries,
        set_distortion(name="blurr"),
        "'blurr' is not in the catalog",
    ),
    ("wrong-category", "referring_short", carries, set_distortion(category="fog"), "not fog"),
    ("wrong-distortions", "referring_short", carries, other_level, "the recipe injected"),
    ("wrong-order", "grounding_dao", two_distortions, swap_orders, "orders of distortions are not 1, 2"),
    ("wrong-distortions", "grounding_dao", two_distortions, swap_distortions, "the recipe injected"),
    ("wrong-picture", "global_description", anything, other_picture, "its pixels are not those"),
    ("mask-size", "global_description", anything, smaller_picture, "picture of ["),
    ("broken-picture", "global_description", anything, picture_of(None), "image 0: not-a-picture"),
    (
        "broken-picture",
        "global_description",
        anything,
        picture_of(b"\x89PNG\r\n\x1a\n"),
        "image 0: truncated",
    ),
    ("broken-picture", "global_description", anything, picture_of(b"GIF89a"), "image 0: not-a-picture"),
    ("broken-picture", "global_description", anything, no_picture, "image 0: not-a-picture"),
    ("wrong-source", "referring_long", anything, other_source, "recipes.parquet"),
    ("wrong-source", "referring_long", anything, other_source_id, "not the start of its SHA-256"),
    ("repeated-region", "global_description", anything, twin_regions, "two regions have the same id"),
    (
        "unknown-target",
        "local_description",
        anything,
        targets("r99"),
        "target 'r99' is not a region of this row",
    ),
    (
        "unknown-target",
        "local_description",
        anything,
        targets("r1", whole=True),
        "the whole image has target regions",
    ),
]


@pytest.mark.parametrize(
    ("kind", "task", "fits", "change", "what"),
    DAMAGE,
    ids=[f"{case[0]}-{number}" for number, case in enumerate(DAMAGE)],
)
def test_row_that_lies_with_hashes_and_digest_mended(
    dataset: Path,
    verdict: Callable[[], Verdict],
    rows: list[Values],
    kind: str,
    task: str,
    fits: Callable[[Values], bool],
    change: Callable[[Values], None],
    what: str,
) -> None:
    target = first(rows, task, lambda values: bool(fits(values)))["id"]
    damage.edit_row(dataset, target, change)
    damage.mend(dataset)
    found = verdict()
    assert found.code == 1
    named = found.of(kind)
    assert named, found.lines
    assert f"row {target}" in named[0]
    assert what in named[0]
    assert all(f"row {target}" in line for line in found.lines)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (set_distortion(level=9), "level"),
        (edit_region(area=0), "area"),
        (edit_region(bbox=[1]), "bbox"),
        (lambda values: values.update(messages=None), "messages"),
        (lambda values: values["messages"][0].update(role="system"), "role"),
    ],
)
def test_row_that_is_no_row(
    dataset: Path,
    verdict: Callable[[], Verdict],
    rows: list[Values],
    change: Callable[[Values], None],
    field: str,
) -> None:
    target = first(rows, "local_description")["id"]
    damage.edit_row(dataset, target, change)
    damage.mend(dataset, totals=False)
    (line,) = verdict().of("invalid-row")
    assert f"row {target}: " in line
    assert field in line


# Answers that contradict their regions


def reword(values: Values, role: str, old: str, new: str) -> bool:
    """Replace words in the messages of one role; whether there was something to replace."""
    changed = False
    for message in values["messages"]:
        if message["role"] == role and old in message["content"]:
            message["content"] = message["content"].replace(old, new)
            changed = True
    return changed


def opposite_place(values: Values) -> bool:
    """Swap the position words of an answer."""
    swapped = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
    changed = False
    for message in values["messages"]:
        if message["role"] == "assistant":
            for word, other in swapped.items():
                if f" {word} " in message["content"] or f" {word}." in message["content"]:
                    message["content"] = message["content"].replace(f" {word}", f" {other}")
                    changed = True
                    break
    return changed


def other_distortion(values: Values) -> bool:
    """An answer of a kind of damage that the row's region doesn't have."""
    names = {d["category"] for r in values["regions"] for d in r["distortions"]}
    if len(values["messages"]) != 2 or not region(values)["distortions"]:
        return False
    word = "noise" if "noise" not in names else "blur"
    label = region(values)["label"]
    values["messages"][1]["content"] = f"The {label} shows {word}."
    return True


def other_region(values: Values) -> bool:
    """An answer that points at another region than the target."""
    label = region(values)["label"]
    others = [r for r in values["regions"] if r["distortions"] and r["label"] != label]
    if values["whole_image"] or not others:
        return False
    return reword(values, "assistant", label, others[0]["label"])


def other_end(values: Values) -> bool:
    """The question asks for the other end of the scale."""
    target = region(values)["label"]
    question = "Which region of this image has the worst quality?"
    answer = f"It is the {target}."
    ranked = sorted((r for r in values["regions"]), key=lambda r: r["strength"] or 0.0)
    if ranked[-1]["region_id"] in values["target_region_ids"]:
        question = question.replace("worst", "best")
    values["messages"] = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return True


def clean_claim(values: Values) -> bool:
    if not region(values)["distortions"]:
        return False
    values["messages"][-1]["content"] = f"The {region(values)['label']} is free of visible distortion."
    return True


def other_target(values: Values) -> bool:
    """The same dialogue with another target."""
    carrying = [r["region_id"] for r in values["regions"] if r["distortions"]]
    others = [name for name in carrying if name not in values["target_region_ids"]]
    if not others:
        return False
    values["target_region_ids"] = others[:1]
    return True


@pytest.mark.parametrize(
    ("task", "change"),
    [
        ("local_description", opposite_place),
        ("referring_short", other_distortion),
        ("referring_short", clean_claim),
        ("referring_long", clean_claim),
        ("grounding_hyd", other_region),
        ("grounding_hyd", other_end),
        ("grounding_hyd", other_target),
        ("grounding_sid", other_region),
        ("grounding_dao", other_target),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_answer_that_contradicts_its_regions(
    dataset: Path,
    verdict: Callable[[], Verdict],
    rows: list[Values],
    task: str,
    change: Callable[[Values], bool],
) -> None:
    def possible(values: Values) -> bool:
        copy = json.loads(json.dumps({k: v for k, v in values.items() if k != "images"}))
        return bool(values["target_region_ids"]) and change(copy)

    candidates = [v["id"] for v in rows if v["task"] == task and possible(v)]
    if not candidates and change is opposite_place:
        candidates = [v["id"] for v in rows if possible(v)]
    target = min(candidates)
    damage.edit_row(dataset, target, lambda values: [change(values)].clear())
    damage.mend(dataset)
    found = verdict()
    assert found.kinds() == {"wrong-answer"}
    assert all(f"row {target}: " in line for line in found.lines)
