"""Q-Ground: IoU by class from published masks, a missing answer as an empty mask, nothing guessed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.evaluation.benchmark_interface import Item, Reply
from inference.evaluation.benchmarks.q_ground import QGround
from inference.evaluation.distortion_masks import CLASSES, class_of, read_mask
from schemas import masks
from schemas.errors import InputError
from tests.conftest import photograph
from tests.inference.evaluation.published_files import box, numbers, write_json, write_picture

SIDE = 96


def write_mask(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask.astype(np.uint8) * (255 if mask.dtype == np.bool_ else 1))


def shape(name: str) -> tuple[int, ...]:
    return photograph(name, SIDE).shape


def records() -> list[dict[str, Any]]:
    """Two pictures, one of them seen by two annotators; masks as PNG files and one run-length encoding."""
    rle = masks.encode(box(shape("coffee"), 0, 0, 30, 40)).model_dump()
    return [
        {
            "id": "0001_a", "image": "spaq_koniq/0001.jpg",
            "ann_list": [
                {"quality": "the ear is soft", "distortion": "blur", "mask": "0001_a_0.png"},
                {"quality": "so is the nose", "distortion": "Blur", "mask": "masks/0001_a_1.png"},
                {"quality": "dark behind the cat", "distortion": "low-light", "mask": "./0001_a_2.png"},
            ],
        },
        {
            "id": "0001_b", "image": "spaq_koniq/0001.jpg",
            "ann_list": [{"quality": "soft", "distortion": ["blur"], "mask": "0001_b.png"}],
        },
        {
            "id": "0002_a", "image": "spaq_koniq/0002.jpg",
            "ann_list": [{"quality": "grain", "distortion": "noise", "segmentation": rle}],
        },
    ]  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "qground", records())


def write(folder: Path, listed: Any) -> Path:
    cat = shape("chelsea")
    write_picture(folder / "images/spaq_koniq/0001.jpg", photograph("chelsea", SIDE))
    write_picture(folder / "images/spaq_koniq/0002.jpg", photograph("coffee", SIDE))
    write_mask(folder / "masks/0001_a_0.png", box(cat, 0, 0, 10, 20))
    write_mask(folder / "masks/0001_a_1.png", box(cat, 5, 10, 10, 20))
    write_mask(folder / "masks/0001_a_2.png", box(cat, 30, 0, 20, 96))
    write_mask(folder / "masks/0001_b.png", box(cat, 0, 0, 20, 20))
    write_json(folder / "qground_test.json", listed)
    return folder


def pointing(mask: np.ndarray, *points: tuple[float, float]) -> Reply:
    return Reply(texts=("there",), masks=(masks.encode(mask),), points=points)


def test_items_are_the_classes_that_a_record_has(data: Path) -> None:
    items = list(QGround().open(data, None).items())
    assert [item.id for item in items] == ["0001_a-blur", "0001_a-low-light", "0001_b-blur", "0002_a-noise"]
    assert [item.group for item in items] == ["spaq_koniq/0001.jpg"] * 3 + ["spaq_koniq/0002.jpg"]
    assert [item.labels["class"] for item in items] == ["blur", "low light", "blur", "noise"]
    assert items[1].questions == ("Which region of the image is the most affected by low light?",)
    blur = box(shape("chelsea"), 0, 0, 10, 20) | box(shape("chelsea"), 5, 10, 10, 20)
    assert items[0].target is not None
    assert np.array_equal(masks.decode(items[0].target), blur)
    assert items[3].picture().shape == shape("coffee")
    assert items[0].picture_key == items[1].picture_key != items[3].picture_key


def test_an_oracle_finds_everything(data: Path) -> None:
    def oracle(item: Item) -> Reply:
        assert item.target is not None
        inside = np.argwhere(masks.decode(item.target))[0] + 0.5
        height, width = item.target.size
        point = (float(inside[1] / width), float(inside[0] / height))
        return Reply(masks=(item.target,), points=(point,))

    found = numbers(QGround(), data, oracle)
    assert found.pop("no answer") == 0.0
    unseen = {f"IoU, {kind}" for kind in ("jitter", "overexposure")}
    assert {name for name, value in found.items() if np.isnan(value)} == unseen
    assert {value for name, value in found.items() if name not in unseen} == {1.0}


def test_iou_and_accuracy_by_class_by_hand(data: Path) -> None:
    cat = shape("chelsea")
    said = {
        "0001_a-blur": pointing(box(cat, 0, 0, 10, 20), (0.01, 0.01), (0.9, 0.9)),
        "0001_a-low-light": pointing(box(cat, 20, 0, 20, 96), (0.5, 0.6)),
        "0001_b-blur": Reply(texts=("I can't see any",)),
        "0002_a-noise": Reply(texts=("everywhere",), whole_image=True),
    }
    found = numbers(QGround(), data, lambda item: said[item.id])
    union_a, all_pixels = 10 * 20 + 10 * 20 - 5 * 10, int(np.prod(shape("coffee")[:2]))
    blur = 200 / (union_a + 400)
    dark, noise = (10 * 96) / (30 * 96), 1200 / all_pixels
    assert found["IoU, blur"] == pytest.approx(blur)
    assert found["IoU, low light"] == pytest.approx(dark)
    assert found["IoU, noise"] == pytest.approx(noise)
    assert found["class mIoU"] == pytest.approx((blur + dark + noise) / 3)
    assert found["mAcc"] == pytest.approx((200 / (union_a + 400) + 0.5 + 1.0) / 3)
    assert found["gIoU"] == pytest.approx((200 / union_a + dark + 0.0 + noise) / 4)
    assert found["cIoU"] == pytest.approx((200 + 960 + 0 + 1200) / (union_a + 30 * 96 + 400 + all_pixels))
    assert found["point in mask"] == pytest.approx((0.5 + 1.0 + 0.0 + 0.0) / 4)
    assert found["no answer"] == 0.25


@pytest.mark.parametrize("reply", [Reply(), Reply(texts=("no",)), Reply(error="timeout", whole_image=True)])
def test_a_missing_answer_counts_as_nothing_found(data: Path, reply: Reply) -> None:
    found = numbers(QGround(), data, lambda item: reply)
    assert found.pop("no answer") == 1.0
    assert {value for value in found.values() if not np.isnan(value)} == {0.0}


def test_index_masks_are_read_with_the_values_that_the_user_gives(tmp_path: Path) -> None:
    listed = [{"id": "7", "image": "spaq_koniq/0001.jpg", "ann_list": [{"mask": "index.png"}]}]
    folder = write(tmp_path / "qground", listed)
    index = np.zeros(shape("chelsea")[:2], np.uint8)
    index[:10], index[20:30] = 4, 2
    write_mask(folder / "masks/index.png", index)
    with pytest.raises(InputError, match=r"annotation 0: no class in its fields \(mask\); .*classes.json"):
        QGround().open(folder, None)
    values = {str(n): kind for n, kind in enumerate(CLASSES, start=1)}
    write_json(folder / "classes.json", values)
    items = list(QGround().open(folder, None).items())
    assert [item.labels["class"] for item in items] == ["noise", "blur"]
    assert items[1].target is not None
    assert np.array_equal(masks.decode(items[1].target), index == 4)


@pytest.mark.parametrize(
    "values",
    [{}, [], {"1": "haze"}, {"0": "blur"}, {"256": "blur"}, {"x": "blur"}, {"1": "blur", "2": "Blur"}],
)
def test_values_of_masks_that_make_no_sense_are_refused(data: Path, values: Any) -> None:
    write_json(data / "classes.json", values)
    with pytest.raises(InputError, match=r"classes.json: not values from 1 to 255"):
        QGround().open(data, None)


def test_an_empty_mask_is_left_out_and_a_limit_counts_the_rest(data: Path) -> None:
    write_mask(data / "masks/0001_a_2.png", np.zeros(shape("chelsea")[:2], np.bool_))
    opened = QGround().open(data, 2)
    assert [item.id for item in opened.items()] == ["0001_a-blur", "0001_b-blur"]


def annotation(**fields: Any) -> list[dict[str, Any]]:
    return [{"id": "9", "image": "spaq_koniq/0001.jpg", "ann_list": [records()[1]["ann_list"][0], fields]}]


RLE = masks.encode(box((10, 10), 0, 0, 2, 2)).model_dump()


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (annotation(quality="soft", distortion="blur"), "annotation 1: no mask in its fields (distortion, q"),
        (
            annotation(distortion="blur", mask="a.png", other="b.png"),
            "annotation 1: several masks in its fields",
        ),
        (annotation(distortion="blur", mask="a.png", other=RLE), "annotation 1: several masks in its fields"),
        (annotation(distortion="blur", second="noise", mask="a.png"), "annotation 1: several classes"),
        (
            annotation(distortion="fog", mask="a.png"),
            "annotation 1: no class in its fields (distortion, mask)",
        ),
        (annotation(distortion="blur", mask="../a.png"), "annotation 1: '../a.png' is not a path below"),
        (annotation(distortion="blur", mask="/a.png"), "annotation 1: '/a.png' is not a path below"),
        (annotation(distortion="blur", mask={"size": [4, 4], "counts": "zz"}), "not a run-length encoding"),
        (annotation(distortion="blur", mask={"size": "x", "counts": "zz"}), "not a run-length encoding"),
        (
            annotation(distortion="blur", mask={"size": [10**9, 10**9], "counts": "0"}),
            "not a run-length encoding",
        ),
        (annotation(distortion="blur", mask=RLE), "record 0: masks of [64, 96] and [10, 10] pixels"),
        (annotation(distortion="blur", mask="lost.png"), "1 of 2 files are missing, the first 'lost.png'"),
        ([{"id": "9", "image": "a.jpg", "ann_list": []}], "record 0: 'ann_list' is not a list"),
        ([{"id": "9", "image": "a.jpg", "ann_list": ["blur"]}], "annotation 0: str, not an object"),
        ([{"id": "9", "image": "a.jpg"}], "record 0: 'ann_list' is not a list"),
        ([{"image": "a.jpg", "ann_list": [{}]}], "record 0: 'id' is missing"),
        ([{"id": "9", "image": "../a.jpg", "ann_list": [{}]}], "record 0: 'image'"),
        ([{**records()[2], "image": "lost.jpg"}], "1 of 1 files are missing, the first 'lost.jpg'"),
    ],
)
def test_a_record_that_would_have_to_be_guessed_is_named(tmp_path: Path, listed: Any, said: str) -> None:
    folder = write(tmp_path / "qground", listed)
    with pytest.raises(InputError) as raised:
        QGround().open(folder, None)
    assert said in str(raised.value)
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_mask_of_another_size_than_its_picture_is_named(data: Path) -> None:
    write_picture(data / "images/spaq_koniq/0002.jpg", photograph("coffee", 80))
    items = list(QGround().open(data, None).items())
    items[0].picture()
    with pytest.raises(InputError, match=r"record 2: a mask of \[64, 96\] for .*0002.jpg, which has"):
        items[3].picture()


def png(array: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", array)[1])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"GIF89a", "1 of 4 files are not pictures, the first '0001_b.png'"),
        (b"\xff\xd8\xff", "not a PNG"),
        (png(np.zeros((8, 8), np.uint8))[:40], "not a mask"),
        (png(np.zeros((8, 8), np.uint16)), "16 bits"),
        (png(photograph("coffee", 32)), "one channel"),
        (png(np.arange(64, dtype=np.uint8).reshape(8, 8)), "values 0, 1, 2"),
        (
            png(np.zeros((8, 8), np.uint8)).replace(b"\x00\x00\x00\x08", b"\x00\x0f\x00\x08", 2),
            "pixels of 8 bits",
        ),
    ],
)
def test_a_file_that_is_no_mask_is_named(data: Path, content: bytes, said: str) -> None:
    (data / "masks/0001_b.png").write_bytes(content)
    with pytest.raises(InputError) as raised:
        QGround().open(data, None)
    assert "0001_b.png" in str(raised.value)
    assert said in str(raised.value)


def test_masks_with_a_palette_or_three_equal_channels_are_masks(tmp_path: Path) -> None:
    from PIL import Image

    index = box((12, 16), 2, 3, 4, 5).astype(np.uint8)
    indexed = Image.fromarray(index, mode="P")
    indexed.putpalette([200, 10, 10, 20, 20, 20])
    indexed.save(tmp_path / "palette.png")
    write_mask(tmp_path / "gray.png", np.dstack([index * 255] * 3))
    assert np.array_equal(read_mask(tmp_path / "palette.png"), index)
    assert np.array_equal(read_mask(tmp_path / "gray.png"), index * 255)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_mask_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.png"
    path.write_bytes(png(np.zeros((8, 8), np.uint8))[:33] + tail)
    with suppress(InputError):
        assert read_mask(path).dtype == np.uint8


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("blur", "blur"), ("Low Light", "low light"), ("low_light", "low light"),
        ("over-exposure", "overexposure"), ("lowlight", "low light"), ("a blur", None),
        ("blurry", None), ("", None),
    ],
)  # fmt: skip
def test_a_class_is_named_and_not_spoken_of(words: str, kind: str | None) -> None:
    assert class_of(words) == kind


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["blur", "low light", "0001_b.png", "../a.png", "masks/0001_a_0.png"])
)
_ANY = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["size", "counts", "mask", "quality"]) | st.text(max_size=3), inner)
    ),
    max_leaves=8,
)


@given(st.lists(_ANY, max_size=3))
def test_any_annotation_is_read_or_named_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, annotations: list[Any]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "hostile-q-ground"
    if not folder.exists():
        write(folder, records())
    listed = [{"id": "1", "image": "spaq_koniq/0001.jpg", "ann_list": annotations}]
    write_json(folder / "qground_test.json", listed)
    try:
        opened = QGround().open(folder, None)
    except InputError as error:
        said = str(error)
    else:
        said = ""
        assert opened.count == len(list(opened.items())) > 0
    assert said == "" or said.isprintable()
