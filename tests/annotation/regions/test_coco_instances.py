"""annotation.regions.coco_instances: pycocotools' areas, reasons for hostile annotations, keys by content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from annotation.regions import propose
from annotation.regions.coco_instances import (
    CocoIndex,
    CocoPicture,
    candidates_of,
    category_phrase,
    draw,
    load_coco,
)
from annotation.regions.interface import Candidate
from schemas import masks
from schemas.errors import InputError, SampleError
from schemas.hashing import content_key
from schemas.regions_config import RegionsConfig

HEIGHT, WIDTH = 60, 80
POLYGON = [10, 10, 40, 10.5, 40.2, 30, 10, 30]
TWO_PARTS = [[5, 5, 20, 5, 20, 20], [30.5, 30.5, 60, 30, 60, 50, 30, 50]]


def coco_candidates(index: CocoIndex, name: str, height: int, width: int) -> list[Candidate]:
    """The candidates of one picture of a file."""
    return candidates_of(index.annotations(name), height, width)


def ring() -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A square with a hole."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[10:50, 10:50] = True
    mask[20:40, 20:40] = False
    return mask


def runs(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> list[int]:
    """Uncompressed COCO runs, written without pycocotools."""
    counts, value, length = [], False, 0
    for pixel in mask.T.ravel():
        if bool(pixel) != value:
            counts.append(length)
            value, length = bool(pixel), 0
        length += 1
    return [*counts, length]


def compressed(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> dict[str, Any]:
    encoded = masks.encode(mask)
    return {"size": encoded.size, "counts": encoded.counts}


def document(*segmentations: Any, **changes: Any) -> dict[str, Any]:
    """A COCO file with one picture and these annotations."""
    data: dict[str, Any] = {
        "licenses": [{"id": 3, "name": "CC-BY-4.0"}],
        "images": [{"id": 7, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT, "license": 3}],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "baseball_bat"}],
        "annotations": [
            {
                "id": i,
                "image_id": 7,
                "category_id": 1,
                "iscrowd": 0,
                "segmentation": s,
                "bbox": [0, 0, 1, 1],
                "area": 1,
            }
            for i, s in enumerate(segmentations)
        ],
    }
    return {**data, **changes}


def write(folder: Path, data: Any, name: str = "instances.json") -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


FORMS = {
    "polygon": [POLYGON],
    "polygons": TWO_PARTS,
    "overlapping polygons": [[10, 10, 40, 10, 40, 40, 10, 40], [20, 20, 60, 20, 60, 50, 20, 50]],
    "a polygon inside another, which is no hole": [
        [5, 5, 60, 5, 60, 50, 5, 50],
        [20, 20, 40, 20, 40, 40, 20, 40],
    ],
    "a part of a pixel": [[10.2, 10.2, 10.4, 10.2, 10.4, 10.4]],
    "polygon over the border": [[-5, -5, 30, -5, 30, 30, -5, 30]],
    "uncompressed runs with a hole": {"size": [HEIGHT, WIDTH], "counts": runs(ring())},
    "compressed runs with a hole": compressed(ring()),
}


@pytest.mark.parametrize("form", FORMS)
def test_areas_and_masks_are_those_of_pycocotools(tmp_path: Path, form: str) -> None:
    path = write(tmp_path, document(FORMS[form]))
    reference = COCO(str(path))
    expected = reference.annToMask(reference.anns[0])
    (found,) = coco_candidates(load_coco(path), "a.jpg", HEIGHT, WIDTH)
    assert found.area == int(coco_mask.area(reference.annToRLE(reference.anns[0]))) == masks.area(found.mask)
    assert (found.area > 0) == (form != "a part of a pixel")
    assert np.array_equal(masks.decode(found.mask), expected.astype(bool))
    assert found.label == "person"


@pytest.mark.parametrize("encoding", ["uncompressed", "compressed"])
def test_a_crowd_has_the_area_of_pycocotools_and_is_no_region(tmp_path: Path, encoding: str) -> None:
    """COCO's crowds are runs with holes: many objects under one mask."""
    given_runs = FORMS[f"{encoding} runs with a hole"]
    data = document(given_runs, [POLYGON])
    data["annotations"][0]["iscrowd"] = 1
    path = write(tmp_path, data)
    reference = COCO(str(path))
    found = coco_candidates(load_coco(path), "a.jpg", HEIGHT, WIDTH)
    areas = sorted(int(coco_mask.area(reference.annToRLE(one))) for one in reference.anns.values())
    assert sorted(item.area for item in found) == areas
    assert [item.area for item in found if item.facts["crowd"]] == [int(ring().sum())]
    picture = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    assert propose(picture, RegionsConfig(proposer="coco"), found).dropped == {"crowd": 1}


def test_a_file_of_lvis(tmp_path: Path) -> None:
    """LVIS has addresses and no file names, no crowds, categories with synonyms, and lists of what is not
    there.
    """
    data = document([POLYGON], TWO_PARTS)
    url = "http://images.cocodataset.org/train2017/000000391895.jpg"
    data["images"] = [
        {
            "id": 391895, "coco_url": url, "flickr_url": "http://f.com/a_z.jpg", "width": WIDTH,
            "height": HEIGHT, "license": 3, "date_captured": "2013-11-14 11:18:45",
            "neg_category_ids": [5], "not_exhaustive_category_ids": [1],
        }
    ]  # fmt: skip
    data["categories"] = [
        {
            "id": number, "name": name, "synonyms": [name, "another"], "synset": "a.n.01", "def": "a thing",
            "frequency": "c", "image_count": 1, "instance_count": 1,
        }
        for number, name in ((1, "bow_(weapon)"), (2, "chest_of_drawers_(furniture)"))
    ]  # fmt: skip
    for number, annotation in enumerate(data["annotations"], start=1):
        annotation.update(image_id=391895, category_id=number)
        del annotation["iscrowd"]
    path = write(tmp_path, data)
    index = load_coco(path)
    assert index.pictures == (
        CocoPicture("000000391895.jpg", 391895, "CC-BY-4.0", "train2017/000000391895.jpg"),
    )
    found = coco_candidates(index, "000000391895.jpg", HEIGHT, WIDTH)
    for polygons, label in (([POLYGON], "bow"), (TWO_PARTS, "chest of drawers")):
        area = int(coco_mask.area(coco_mask.merge(coco_mask.frPyObjects(polygons, HEIGHT, WIDTH))))
        assert [item.area for item in found if item.label == label] == [area]
    assert all(item.facts["crowd"] == 0 for item in found)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(-20, 80), min_size=3, max_size=8), min_size=1, max_size=3), st.data())
def test_any_polygon_near_the_picture(columns: list[list[float]], data: st.DataObject) -> None:
    polygons = []
    for xs in columns:
        ys = data.draw(st.lists(st.floats(-20, 60), min_size=len(xs), max_size=len(xs)))
        polygons.append([value for pair in zip(xs, ys, strict=True) for value in pair])
    expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, HEIGHT, WIDTH)))
    assert np.array_equal(draw(polygons, HEIGHT, WIDTH), expected.astype(bool))


def test_masks_follow_the_decoded_pictures_size(tmp_path: Path) -> None:
    index = load_coco(write(tmp_path, document(FORMS["compressed runs with a hole"])))
    for factor in (0.5, 2):
        (found,) = coco_candidates(index, "a.jpg", int(HEIGHT * factor), int(WIDTH * factor))
        assert found.area == pytest.approx(int(ring().sum()) * factor**2, rel=0.03)
        mask = masks.decode(found.mask)
        assert not mask[int(30 * factor), int(30 * factor)]
        assert mask[int(15 * factor), int(30 * factor)]


def test_crowds_and_boxes_are_dropped_by_name(tmp_path: Path) -> None:
    data = document([POLYGON], compressed(ring()), None, [])
    data["annotations"][1]["iscrowd"] = 1
    given_masks = coco_candidates(load_coco(write(tmp_path, data)), "a.jpg", HEIGHT, WIDTH)
    picture = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    result = propose(picture, RegionsConfig(proposer="coco", labeller="given"), given_masks)
    assert [region.label for region in result.regions] == ["person"]
    assert result.regions[0].label_score is None
    assert result.dropped == {"crowd": 1, "no-mask": 2}


def test_coco_masks_may_be_named_by_appearance(tmp_path: Path) -> None:
    given_masks = coco_candidates(load_coco(write(tmp_path, document([POLYGON]))), "a.jpg", HEIGHT, WIDTH)
    picture = np.full((HEIGHT, WIDTH, 3), (200, 20, 20), dtype=np.uint8)
    config = RegionsConfig(proposer="coco", labeller="appearance")
    result = propose(picture, config, given_masks)
    assert [region.label for region in result.regions] == ["smooth red area"]


def test_pictures_for_ingest(tmp_path: Path) -> None:
    data = document()
    data["images"] += [
        {
            "id": 8,
            "coco_url": "http://images.cocodataset.org/val2017/b.jpg",
            "width": 5,
            "height": 5,
            "license": 99,
        }
    ]
    path = write(tmp_path, data)
    pictures = load_coco(path).pictures
    assert pictures == (
        CocoPicture("a.jpg", 7, "CC-BY-4.0"),
        CocoPicture("b.jpg", 8, None, "val2017/b.jpg"),
    )
    assert coco_candidates(load_coco(path), "b.jpg", 5, 5) == []
    with pytest.raises(SampleError) as caught:
        load_coco(path).annotations("c.jpg")
    assert caught.value.reason == "not-in-coco"


def test_the_content_of_one_picture_is_its_key(tmp_path: Path) -> None:
    data = document([POLYGON], TWO_PARTS)
    data["images"].append({"id": 8, "file_name": "b.jpg", "width": WIDTH, "height": HEIGHT})
    one = load_coco(write(tmp_path, data, "1.json"))
    shuffled = {**data, "annotations": [{**a, "id": 90 - a["id"]} for a in data["annotations"][::-1]]}
    shuffled["annotations"].append({"image_id": 8, "category_id": 2, "segmentation": [POLYGON]})
    two = load_coco(write(tmp_path, shuffled, "2.json"))
    assert content_key(one.annotations("a.jpg")) == content_key(two.annotations("a.jpg"))
    assert content_key(one.annotations("b.jpg")) != content_key(two.annotations("b.jpg"))
    assert two.annotations("b.jpg")["annotations"][0]["category"] == "baseball bat"
    same = [candidates_of(index.annotations("a.jpg"), HEIGHT, WIDTH) for index in (one, two)]
    assert same[0] == same[1]


def test_a_file_is_read_once_until_it_changes(tmp_path: Path) -> None:
    path = write(tmp_path, document([POLYGON]))
    first = load_coco(path)
    assert load_coco(path) is first
    write(tmp_path, document([POLYGON], TWO_PARTS))
    assert len(load_coco(path).annotations("a.jpg")["annotations"]) == 2


def test_annotations_of_no_picture_are_counted(tmp_path: Path) -> None:
    data = document([POLYGON])
    data["annotations"].append({"image_id": 1234, "category_id": 1, "segmentation": [POLYGON]})
    assert load_coco(write(tmp_path, data)).orphans == 1


TEXT = masks.encode(ring()).counts
HOSTILE: dict[str, tuple[Any, str]] = {
    "text": ("polygon", "bad-segmentation"),
    "a number": (3, "bad-segmentation"),
    "odd polygon": ([[1, 2, 3, 4, 5, 6, 7]], "bad-polygon"),
    "two points": ([[1, 2, 3, 4]], "bad-polygon"),
    "flat polygon": ([1, 2, 3, 4, 5, 6], "bad-polygon"),
    "words in a polygon": ([[1, 2, 3, 4, 5, "6"]], "bad-polygon"),
    "true in a polygon": ([[1, 2, 3, 4, 5, True]], "bad-polygon"),
    "not a number": ([[1, 2, 3, 4, 5, float("nan")]], "bad-polygon"),
    "infinite": ([[1, 2, 3, 4, 5, float("inf")]], "bad-polygon"),
    "a huge integer": ([[1, 2, 3, 4, 5, 10**400]], "bad-polygon"),
    "far away": ([[1, 2, 3, 4, 5, 100_000_000]], "bad-polygon"),
    "a good and a bad polygon": ([POLYGON, []], "bad-polygon"),
    "no counts": ({"size": [HEIGHT, WIDTH]}, "bad-rle"),
    "no size": ({"counts": TEXT}, "bad-rle"),
    "other size": ({"size": [WIDTH, HEIGHT], "counts": TEXT}, "bad-rle"),
    "cut runs": ({"size": [HEIGHT, WIDTH], "counts": TEXT[:-1]}, "bad-rle"),
    "too many runs": ({"size": [HEIGHT, WIDTH], "counts": TEXT + "zzz4"}, "bad-rle"),
    "wrong letters": ({"size": [HEIGHT, WIDTH], "counts": "\x01\xff\u20ac"}, "bad-rle"),
    "empty text": ({"size": [HEIGHT, WIDTH], "counts": ""}, "bad-rle"),
    "negative run": ({"size": [HEIGHT, WIDTH], "counts": [-5, HEIGHT * WIDTH + 5]}, "bad-rle"),
    "fractional run": ({"size": [HEIGHT, WIDTH], "counts": [0.5, HEIGHT * WIDTH - 0.5]}, "bad-rle"),
    "short runs": ({"size": [HEIGHT, WIDTH], "counts": [10, 10]}, "bad-rle"),
    "no runs": ({"size": [HEIGHT, WIDTH], "counts": []}, "bad-rle"),
    "huge run": ({"size": [HEIGHT, WIDTH], "counts": [10**30]}, "bad-rle"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_malformed_mask_has_its_reason(tmp_path: Path, case: str) -> None:
    segmentation, reason = HOSTILE[case]
    index = load_coco(write(tmp_path, document([POLYGON], segmentation)))
    content_key(index.annotations("a.jpg"))
    with pytest.raises(SampleError) as caught:
        coco_candidates(index, "a.jpg", HEIGHT, WIDTH)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"category_id": 77}, "unknown-category"),
        ({"category_id": None}, "unknown-category"),
        ({"category_id": [1]}, "unknown-category"),
        ({"iscrowd": 5}, "bad-crowd"),
        ({"iscrowd": "no"}, "bad-crowd"),
        ({"iscrowd": [0]}, "bad-crowd"),
        ({"score": 2}, "bad-score"),
        ({"score": "high"}, "bad-score"),
        ({"score": float("nan")}, "bad-score"),
    ],
)
def test_a_malformed_annotation_has_its_reason(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    data = document([POLYGON])
    data["annotations"][0].update(change)
    with pytest.raises(SampleError) as caught:
        coco_candidates(load_coco(write(tmp_path, data)), "a.jpg", HEIGHT, WIDTH)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("size", "decoded", "reason"),
    [
        ((None, None), (60, 80), "bad-size"),
        (("80", "60"), (60, 80), "bad-size"),
        ((0, 60), (60, 80), "bad-size"),
        ((80.5, 60), (60, 80), "bad-size"),
        ((10**6, 10**6), (60, 80), "bad-size"),
        ((80, 60), (80, 60), "size-mismatch"),
        ((80, 60), (60, 60), "size-mismatch"),
    ],
)
def test_a_wrong_picture_size_has_its_reason(
    tmp_path: Path, size: tuple[Any, Any], decoded: tuple[int, int], reason: str
) -> None:
    data = document([POLYGON])
    data["images"][0].update(width=size[0], height=size[1])
    with pytest.raises(SampleError) as caught:
        coco_candidates(load_coco(write(tmp_path, data)), "a.jpg", *decoded)
    assert caught.value.reason == reason


UNREADABLE: dict[str, Any] = {
    "empty": "",
    "no JSON": "{images:",
    "cut": json.dumps(document([POLYGON]))[:-20],
    "deep": "[" * 100_000,
    "a list": [],
    "no images": document(images=None),
    "no annotations": document(annotations="none"),
    "no categories": document(categories={}),
    "image without a name": document(images=[{"id": 1, "width": 3, "height": 3}]),
    "image without an id": document(images=[{"file_name": "a.jpg"}]),
    "image as text": document(images=["a.jpg"]),
    "image twice": document(images=[{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}]),
    "name twice": document(images=[{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "a.jpg"}]),
    "id is a list": document(images=[{"id": [1], "file_name": "a.jpg"}]),
    "category without a name": document(categories=[{"id": 1}]),
    "category with an empty name": document(categories=[{"id": 1, "name": " _ "}]),
    "category twice": document(categories=[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]),
    "annotation as text": document(annotations=["a"]),
    "annotation without a picture": document(annotations=[{"category_id": 1}]),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_unreadable_file_is_one_line_with_its_name(tmp_path: Path, case: str) -> None:
    path = write(tmp_path, UNREADABLE[case])
    with pytest.raises(InputError) as caught:
        load_coco(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't read"):
        load_coco(tmp_path / "none.json")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="not JSON"):
        load_coco(tmp_path / "b.json")


@pytest.mark.parametrize(
    ("name", "phrase"),
    [("person", "person"), ("baseball_bat", "baseball bat"), ("bow_(weapon)", "bow"), ("a\nb\x00", "a b")],
)
def test_category_names_become_words(name: str, phrase: str) -> None:
    assert category_phrase(name) == phrase
