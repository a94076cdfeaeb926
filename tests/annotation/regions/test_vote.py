"""The `vote` labeller on tiny models of every family, loaded from disk as a hub name would be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from annotation.regions import propose
from annotation.regions.closed_vocabulary import MAP_SIDE, decide
from annotation.regions.crops import coverage
from annotation.regions.interface import Context, candidate
from annotation.regions.labellers.vote import VoteLabeller
from schemas.errors import InputError, SampleError
from schemas.regions_config import RegionsConfig
from tests.annotation.regions.tiny_labellers import (
    CLOSED,
    box_mask,
    paint_closed,
    plates,
    save_clip,
    save_closed,
)

Saved = Callable[[str], Path]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A folder with a tiny model of the kind, made once."""
    root = tmp_path_factory.mktemp("closed")

    def folder(kind: str) -> Path:
        path = root / kind
        return path if path.is_dir() else save_closed(path, kind)

    return folder


def config(folder: Path, dtype: str = "float32", **settings: object) -> RegionsConfig:
    values = {"proposer": "coco", "labeller": "vote", "vote": {"model": str(folder), **settings}}
    return RegionsConfig.model_validate({**values, "run_on": {"device": "cpu", "dtype": dtype}})


def labeller(folder: Path, dtype: str = "float32", **settings: object) -> tuple[VoteLabeller, Context]:
    chosen = config(folder, dtype, **settings)
    return VoteLabeller(chosen), Context(chosen)


@pytest.mark.parametrize("kind", CLOSED)
@pytest.mark.parametrize("upright", [False, True])
def test_each_mask_gets_the_class_painted_under_it(saved: Saved, kind: str, upright: bool) -> None:
    label, context = labeller(saved(kind), min_margin=0.25)
    forwards = paint_closed(label._model._model)
    image, masks = plates(160, 96) if upright else plates()
    before = image.copy()
    named = label(image, masks, context)
    assert np.array_equal(image, before)
    assert [item.label for item in named] == ["person", "tree", None, "wall", None]
    assert forwards.calls == 1
    for item in (named[0], named[1], named[3]):
        assert item.label_score is not None
        assert item.label_score > 0.7
    assert named[2].label_score is not None  # the green plate is background: sure, but no name
    assert named[2].label_score > 0.7
    assert [item.mask for item in named] == [item.mask for item in masks]


@pytest.mark.parametrize("kind", CLOSED)
def test_red_and_blue_pictures_have_the_right_names(saved: Saved, kind: str) -> None:
    label, context = labeller(saved(kind))
    paint_closed(label._model._model)
    whole = box_mask((64, 80), 0, 0, 64, 80)
    names = []
    for color in ((220, 10, 10), (10, 10, 220)):
        image = np.full((64, 80, 3), color, dtype=np.uint8)
        names.append(label(image, [whole], context)[0].label)
    assert names == ["person", "tree"]


@pytest.mark.parametrize("kind", CLOSED)
def test_a_weak_score_is_no_name(saved: Saved, kind: str) -> None:
    image, masks = plates()
    for share, expected in ((0.3, None), (0.45, "person")):
        label, context = labeller(saved(kind), min_score=0.35, min_margin=0.1)
        paint_closed(label._model._model, share)
        item = label(image, masks[:1], context)[0]
        assert item.label == expected, share
        assert item.label_score == pytest.approx(share, abs=0.1)


@pytest.mark.parametrize("kind", CLOSED)
def test_half_precision_gives_the_same_names(saved: Saved, kind: str) -> None:
    image, masks = plates()
    label, context = labeller(saved(kind), dtype="bfloat16", min_margin=0.25)
    paint_closed(label._model._model)
    assert [item.label for item in label(image, masks, context)] == ["person", "tree", None, "wall", None]


@pytest.mark.parametrize("kind", CLOSED)
def test_a_mask_has_the_same_name_alone_and_among_others(
    saved: Saved, kind: str, astronaut: NDArray[np.uint8]
) -> None:
    label, context = labeller(saved(kind), min_score=0.0, min_margin=0.0)
    masks = [box_mask(astronaut.shape, 40 * k, 30 * k, 100 + 10 * k, 150) for k in range(6)]
    together = label(astronaut, masks, context)
    assert [label(astronaut, [item], context)[0] for item in masks] == together


def test_the_support_is_the_mean_of_the_map_under_the_mask(
    saved: Saved, astronaut: NDArray[np.uint8]
) -> None:
    label, _ = labeller(saved("segformer"))
    model = label._model
    rng = np.random.default_rng(5)
    masks = [candidate(rng.random(astronaut.shape[:2]) < share) for share in (0.01, 0.3, 0.9)]
    masks += [box_mask(astronaut.shape, 3, 5, 2, 3), box_mask(astronaut.shape, 0, 0, 512, 512)]
    scores = model._scores(astronaut).numpy()
    assert max(scores.shape[1:]) <= MAP_SIDE
    np.testing.assert_allclose(scores.sum(axis=0), 1, atol=1e-5)
    support = model.support(astronaut, masks)
    for item, row in zip(masks, support, strict=True):
        weights = coverage(item.pixels(), (scores.shape[1], scores.shape[2]))
        expected = (scores * weights).sum(axis=(1, 2)) / weights.sum()
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_classes_with_one_name_add_up(tmp_path: Path) -> None:
    classes = {0: "wall-other-merged", 1: "water-other", 2: "water, sea", 3: "tree-merged"}
    label, context = labeller(save_closed(tmp_path / "m", "segformer", classes), min_score=0.6)
    paint_closed(label._model._model)
    image, masks = plates()
    assert label._model.names == ("wall", "water", "tree")
    assert [item.label for item in label(image, masks, context)] == [
        "water",
        "water",
        "tree",
        "wall",
        "water",
    ]


@pytest.mark.parametrize("kind", CLOSED)
def test_absurd_pictures_have_a_stated_result(saved: Saved, kind: str) -> None:
    label, context = labeller(saved(kind))
    forwards = paint_closed(label._model._model)
    strip = np.full((1, 4000, 3), (220, 10, 10), dtype=np.uint8)
    black = np.zeros((64, 64, 3), dtype=np.uint8)
    assert label(strip, [], context) == []
    assert forwards.calls == 0
    assert label(strip, [box_mask(strip.shape, 0, 100, 1, 900)], context)[0].label == "person"
    upright = np.ascontiguousarray(strip.transpose(1, 0, 2))
    assert label(upright, [box_mask(upright.shape, 100, 0, 900, 1)], context)[0].label == "person"
    dot = np.full((1, 1, 3), (220, 10, 10), dtype=np.uint8)
    assert label(dot, [box_mask(dot.shape, 0, 0, 1, 1)], context)[0].label == "person"
    assert label(black, [box_mask(black.shape, 0, 0, 64, 64)], context)[0].label == "wall"
    empty = candidate(np.zeros((64, 64), dtype=bool))
    pixel = box_mask(black.shape, 9, 9, 1, 1)
    none, one = label(black, [empty, pixel], context)
    assert (none.label, none.label_score) == (None, None)
    assert one.label == "wall"


def test_500_masks_take_one_forward(saved: Saved, astronaut: NDArray[np.uint8]) -> None:
    label, context = labeller(saved("segformer"))
    forwards = paint_closed(label._model._model)
    masks = [box_mask(astronaut.shape, k % 400, (7 * k) % 400, 60, 80) for k in range(500)]
    assert len(label(astronaut, masks, context)) == 500
    assert forwards.calls == 1


def test_a_build_setting_finds_the_labeller(saved: Saved) -> None:
    image, masks = plates()
    result = propose(image, config(saved("segformer"), min_score=0.0, min_margin=0.0), masks[:3])
    assert len(result.regions) == 3


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.5, 0.4, 0.1], ("a", 0.5)),
        ([0.5, 0.41, 0.09], (None, 0.5)),
        ([0.34, 0.0, 0.0], (None, 0.34)),
        ([0.35, 0.0, 0.0], ("a", 0.35)),
        ([0.1, 0.1, 0.8], (None, 0.8)),  # the third is no class
        ([0.0, 1.2, 0.0], ("b", 1.0)),
    ],
)
def test_a_name_needs_a_score_and_a_margin(scores: list[float], expected: tuple[str | None, float]) -> None:
    assert decide(("a", "b", None), np.array(scores, dtype=np.float32), 0.35, 0.1) == expected


def test_one_class_alone_has_no_second() -> None:
    assert decide(("a",), np.array([0.4], dtype=np.float32), 0.35, 0.1) == ("a", 0.4)


def test_scores_that_are_no_numbers_send_the_picture_to_quarantine() -> None:
    with pytest.raises(SampleError, match="no-number"):
        decide(("a", "b"), np.array([0.4, np.nan], dtype=np.float32), 0.35, 0.1)


def test_a_missing_model_says_which_where_and_how(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"regions\.vote\.model: the closed-vocabulary model .*absent"):
        labeller(tmp_path / "absent")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"regions\.vote\.model: the closed-vocabulary model '/.*empty"):
        labeller(empty)


def test_a_missing_processor_is_said(saved: Saved, tmp_path: Path) -> None:
    folder = save_closed(tmp_path / "m", "segformer")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match="image processor of the closed-vocabulary model '/"):
        labeller(folder)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="type 'clip'; a closed-vocabulary model is one of eomt"):
        labeller(save_clip(tmp_path / "clip"))


def test_a_model_without_class_names_is_refused(tmp_path: Path) -> None:
    folder = save_closed(tmp_path / "m", "segformer", {0: "LABEL_0", 1: "LABEL_1"})
    with pytest.raises(InputError, match="names no classes; fill in its id2label"):
        labeller(folder)
