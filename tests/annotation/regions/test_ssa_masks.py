"""SSA's files: all of their fields, what is written loads back, reasons for hostile ones."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask

from annotation.regions import propose, ssa_masks
from annotation.regions.interface import Candidate, candidate
from annotation.regions.ssa_masks import parse, write
from schemas import masks
from schemas.errors import SampleError
from schemas.records import SourceImage
from schemas.regions_config import RegionsConfig
from tests.annotation.regions.conftest import load
from tests.annotation.regions.test_coco_instances import runs

HEIGHT, WIDTH = 30, 40
SOURCE = SourceImage(id="0" * 16, sha256="0" * 64, uri="a.jpg", license=None, width=WIDTH, height=HEIGHT)
FIELDS = {
    *("segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box"),
    *("class_name", "class_proposals"),
}
"""What SAM's automatic mask generation and SSA's engine leave of a mask."""

finite = st.floats(-1e6, 1e6)
shares = st.floats(0, 1)
names = st.sampled_from(["person", "baseball bat", "dark grey wall", "Käse", "人"])


def blob(top: int, left: int, height: int, width: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


def document(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"annotations": list(entries)}).encode()


def entry(mask: np.ndarray[Any, np.dtype[np.bool_]] | None = None, **changes: Any) -> dict[str, Any]:
    """One mask as the original writes it."""
    mask = blob(5, 5, 10, 20) if mask is None else mask
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    values = {
        "segmentation": {"size": list(mask.shape), "counts": encoded["counts"].decode()},
        "bbox": [5, 5, 19, 9],
        "area": int(mask.sum()),
        "predicted_iou": 0.97,
        "point_coords": [[12.5, 8.0]],
        "stability_score": 0.95,
        "crop_box": [0, 0, WIDTH, HEIGHT],
        "class_name": "baseball bat",
        "class_proposals": ["baseball bat", "stick"],
    }
    return {**values, **changes}


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    mask = draw(arrays.arrays(np.bool_, (HEIGHT, WIDTH)))
    facts: dict[str, float] = {}
    if draw(st.booleans()):
        facts |= {"predicted_iou": draw(finite), "stability_score": draw(shares)}
        facts |= {name: draw(finite) for name in ("point_x", "point_y")}
        facts |= {name: draw(finite) for name in ("crop_x", "crop_y", "crop_width", "crop_height")}
    made = candidate(mask, draw(shares), draw(st.none() | names), draw(st.none() | shares), facts)
    return replace(made, proposals=tuple(draw(st.lists(names, max_size=3))))


@settings(max_examples=60, deadline=None)
@given(st.lists(candidates(), max_size=4))
def test_what_is_written_loads_back_equal(given_: list[Candidate]) -> None:
    assert parse(write(given_, SOURCE), HEIGHT, WIDTH) == given_


def test_every_field_of_the_original_is_written() -> None:
    made = propose(load("coffee"), RegionsConfig())
    assert made.candidates
    height, width = load("coffee").shape[:2]
    source = SOURCE.model_copy(update={"width": width, "height": height})
    for one, item in zip(
        json.loads(write(made.candidates, source))["annotations"], made.candidates, strict=True
    ):
        assert one.keys() >= FIELDS
        decoded = coco_mask.decode(one["segmentation"]).astype(bool)
        assert np.array_equal(decoded, masks.decode(item.mask))
        assert one["area"] == decoded.sum() == coco_mask.area(one["segmentation"])
        assert one["bbox"] == coco_mask.toBbox(one["segmentation"]).tolist()
        assert one["class_name"] == item.label
        assert (one["predicted_iou"], one["stability_score"], one["crop_box"]) == (None, None, None)


def test_a_file_of_the_original_is_read() -> None:
    written = entry()
    expected = replace(
        candidate(
            blob(5, 5, 10, 20),
            0.97,
            "baseball bat",
            None,
            {
                "predicted_iou": 0.97,
                "stability_score": 0.95,
                "point_x": 12.5,
                "point_y": 8.0,
                "crop_x": 0.0,
                "crop_y": 0.0,
                "crop_width": 40.0,
                "crop_height": 30.0,
            },
        ),
        proposals=("baseball bat", "stick"),
    )
    assert parse(document(written), HEIGHT, WIDTH) == [expected]
    assert parse(json.dumps([written]).encode(), HEIGHT, WIDTH) == [expected]
    (again,) = json.loads(write([expected], SOURCE))["annotations"]
    for field in FIELDS - {"bbox"}:
        assert again[field] == written[field]
    uncompressed = entry(segmentation={"size": [HEIGHT, WIDTH], "counts": runs(blob(5, 5, 10, 20))})
    assert parse(document(uncompressed), HEIGHT, WIDTH) == [expected]


def test_the_fields_that_only_readers_use_may_be_missing() -> None:
    (found,) = parse(document({"segmentation": entry()["segmentation"]}), HEIGHT, WIDTH)
    assert found == candidate(blob(5, 5, 10, 20))
    assert parse(document(), HEIGHT, WIDTH) == parse(b"[]", HEIGHT, WIDTH) == []


@pytest.mark.parametrize("factor", [0.5, 2])
def test_masks_points_and_boxes_follow_the_pictures_size(factor: float) -> None:
    written = entry(blob(6, 6, 10, 20))
    (found,) = parse(document(written), int(HEIGHT * factor), int(WIDTH * factor))
    assert found.mask.size == [int(HEIGHT * factor), int(WIDTH * factor)]
    assert found.area == pytest.approx(200 * factor**2, rel=0.1)
    assert (found.facts["point_x"], found.facts["point_y"]) == (12.5 * factor, 8.0 * factor)
    assert (found.facts["crop_width"], found.facts["crop_height"]) == (WIDTH * factor, HEIGHT * factor)


def test_the_picture_of_sa_1b_gives_the_size() -> None:
    data = {"image": {"image_id": 1, "width": WIDTH, "height": HEIGHT}, "annotations": [entry()]}
    assert len(parse(json.dumps(data).encode(), HEIGHT, WIDTH)) == 1
    data["image"]["width"] = WIDTH + 2  # type: ignore[index]
    with pytest.raises(SampleError) as caught:
        parse(json.dumps(data).encode(), HEIGHT, WIDTH + 2)
    assert caught.value.reason == "bad-rle"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("wall ", "wall"),
        ("chest of drawers, chest", "chest of drawers"),
        ("bow_(weapon)", "bow"),
        (" ,", None),
    ],
)
def test_a_class_becomes_a_noun_phrase_or_nothing(name: str, label: str | None) -> None:
    (found,) = parse(document(entry(class_name=name)), HEIGHT, WIDTH)
    assert found.label == label


def test_regions_of_a_file_have_its_names(tmp_path: Any) -> None:
    data = document(
        entry(class_name="bat"),
        entry(blob(16, 5, 10, 20), class_name="bat"),
        entry(blob(16, 28, 9, 9), class_name=None),
    )
    picture = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    config = RegionsConfig(proposer="ssa-json", ssa_json=tmp_path)
    assert config.labeller == "given"
    result = propose(picture, config, parse(data, HEIGHT, WIDTH))
    assert [region.label for region in result.regions] == ["bat in the center", "bat at the bottom"]
    assert [item.label for item in result.candidates] == ["bat", "bat"]
    assert result.dropped == {"unnamed": 1}
    for region, item in zip(result.regions, result.candidates, strict=True):
        assert (region.mask, region.area) == (item.mask, item.area)


SIZE = [HEIGHT, WIDTH]
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "bad-json"),
    "not JSON": (b"{annotations:", "bad-json"),
    "not text": (b"\xff\xfe\x00\x81", "bad-json"),
    "deep": (b"[" * 100_000, "bad-json"),
    "a number": (b"3", "bad-json"),
    "null": (b"null", "bad-json"),
    "an object without a list": (b"{}", "bad-json"),
    "a list of numbers": (b"[1, 2]", "bad-json"),
    "a long number": (b"[" + b"9" * 10_000 + b"]", "bad-json"),
    "no segmentation": (document({"area": 1}), "bad-size"),
    "polygons": (document(entry(), entry(segmentation=[[1, 2, 3, 4, 5, 6]])), "bad-field"),
    "no size": (document(entry(segmentation={"counts": "0"})), "bad-size"),
    "size of words": (document(entry(segmentation={"size": ["30", "40"], "counts": "0"})), "bad-size"),
    "huge size": (document(entry(segmentation={"size": [10**9, 10**9], "counts": "0"})), "bad-size"),
    "another shape": (document(entry(np.zeros((WIDTH, HEIGHT), bool))), "size-mismatch"),
    "two sizes": (document(entry(), entry(np.zeros((60, 80), bool))), "bad-rle"),
    "short runs": (document(entry(segmentation={"size": SIZE, "counts": [3, 4]})), "bad-rle"),
    "negative runs": (document(entry(segmentation={"size": SIZE, "counts": [-1, 1201]})), "bad-rle"),
    "cut text": (document(entry(segmentation={"size": SIZE, "counts": "o"})), "bad-rle"),
    "wrong text": (document(entry(segmentation={"size": SIZE, "counts": "\u20ac"})), "bad-rle"),
    "counts as a number": (document(entry(segmentation={"size": SIZE, "counts": 5})), "bad-rle"),
    "infinite": (document(entry(predicted_iou=float("inf"))), "bad-field"),
    "not a number": (document(entry(stability_score=float("nan"))), "bad-field"),
    "stability of 2": (document(entry(stability_score=2)), "bad-field"),
    "score as text": (document(entry(predicted_iou="0.9")), "bad-field"),
    "true": (document(entry(predicted_iou=True)), "bad-field"),
    "a point of words": (document(entry(point_coords=[["a", "b"]])), "bad-field"),
    "a flat point": (document(entry(point_coords=[3, 4])), "bad-field"),
    "a point as an object": (document(entry(point_coords={"x": 3})), "bad-field"),
    "a short box": (document(entry(bbox=[1, 2, 3])), "bad-field"),
    "a crop as text": (document(entry(crop_box="all")), "bad-field"),
    "area as a list": (document(entry(area=[1])), "bad-field"),
    "a name as a number": (document(entry(class_name=3)), "bad-field"),
    "a long name": (document(entry(class_name="x" * 501)), "bad-field"),
    "proposals as text": (document(entry(class_proposals="bat")), "bad-field"),
    "numbers as proposals": (document(entry(class_proposals=[1])), "bad-field"),
    "many proposals": (document(entry(class_proposals=["x"] * 101)), "bad-field"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_malformed_file_has_its_reason(case: str) -> None:
    data, reason = HOSTILE[case]
    with pytest.raises(SampleError) as caught:
        parse(data, HEIGHT, WIDTH)
    assert caught.value.reason == reason
    assert "\n" not in caught.value.detail


def test_too_much_is_refused_before_it_is_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SampleError) as caught:
        parse(document(*[{}] * (ssa_masks.MAX_MASKS + 1)), HEIGHT, WIDTH)
    assert caught.value.reason == "too-many-masks"
    monkeypatch.setattr(ssa_masks, "MAX_BYTES", 100)
    with pytest.raises(SampleError) as caught:
        parse(b" " * 101, HEIGHT, WIDTH)
    assert caught.value.reason == "too-many-bytes"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([*sorted(FIELDS), "score", "class_score", "size", "counts"]), json_values)
def test_any_value_in_any_field_gives_candidates_or_a_reason(field: str, value: Any) -> None:
    values = entry()
    if field in ("size", "counts"):
        values["segmentation"] = {**values["segmentation"], field: value}
    else:
        values[field] = value
    try:
        found = parse(document(values), HEIGHT, WIDTH)
    except SampleError as error:
        reason = error.reason
    else:
        reason = ""
        assert found[0].mask.size == SIZE
        assert parse(write(found, SOURCE), HEIGHT, WIDTH) == found
    assert reason in ("", "bad-field", "bad-rle", "bad-size", "size-mismatch")
