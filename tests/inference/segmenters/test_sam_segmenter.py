"""SAM segmenters on tiny models: parity with the originals, one encoder pass, mapping, hostile pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from segment_anything import SamPredictor

from inference.segmenters import make_segmenter
from inference.segmenters.sam import SamSegmenter, enlarged
from inference.segmenters.select import LARGEST, SMALLEST, to_pixels
from schemas.errors import InputError
from schemas.regions_config import SamConfig
from tests.annotation.regions import tiny_models
from tests.annotation.regions.tiny_models import FAMILIES
from tests.conftest import photograph
from tests.inference.segmenters.near_ties import assert_chosen, assert_cut_at_zero, assert_same_answer
from tests.inference.segmenters.pictures import HOSTILE, ONE, SETS, unit


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each family's tiny model."""
    return {name: save(tmp_path_factory.mktemp(name)) for name, save in FAMILIES.items()}


@pytest.fixture(params=sorted(FAMILIES))
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    """Each family's tiny model in turn."""
    return folders[request.param]


def make(folder: Path) -> SamSegmenter:
    segmenter = make_segmenter(str(folder), device="cpu")
    assert isinstance(segmenter, SamSegmenter)
    return segmenter


def count_encodings(segmenter: SamSegmenter) -> list[int]:
    """A list that grows by the number of pictures in each forward of the image encoder."""
    seen: list[int] = []
    segmenter.sam.model.vision_encoder.register_forward_pre_hook(
        lambda module, given, named: seen.append(len(given[0] if given else named["pixel_values"])),
        with_kwargs=True,
    )
    return seen


def sets_of(size: tuple[int, int]) -> list[NDArray[np.int64]]:
    """Pixels to ask for: single ones all over the picture, pairs and triples."""
    rng = np.random.default_rng(5)
    limit = [size[1], size[0]]
    return [rng.integers(0, limit, (count, 2)) for count in (1, 1, 2, 1, 3, 1, 2, 1, 1, 1)]


@pytest.mark.parametrize(("name", "side"), [("coffee", 400), ("rocket", 333), ("chelsea", 199)])
def test_parity_with_segment_anything(folders: dict[str, Path], name: str, side: int) -> None:
    image = photograph(name, side)
    size = (image.shape[0], image.shape[1])
    assert size[0] != size[1]
    predictor = SamPredictor(tiny_models.original_sam(folders["sam"]))
    predictor.set_image(image)
    asked = sets_of(size)
    found = make(folders["sam"]).encode(image).segment([unit(pixels, size) for pixels in asked])
    kinds = set()
    for pixels, item in zip(asked, found, strict=True):
        logits, scores, _ = predictor.predict(
            pixels.astype(np.float64),
            np.ones(len(pixels)),
            multimask_output=len(pixels) == 1,
            return_logits=True,
        )
        assert len(logits) == (3 if len(pixels) == 1 else 1)
        assert_chosen(item, logits, scores, pixels)
        kinds.add((len(pixels) > 1, bool(0.01 < item.mask.mean() < 0.99)))
    assert {(False, True), (True, True)} <= kinds  # masks worth comparing are among them


def test_every_candidate_and_score_is_segment_anythings(folders: dict[str, Path]) -> None:
    """Without the rule in between: raw scores, all three masks."""
    image = photograph("china", 300)
    predictor = SamPredictor(tiny_models.original_sam(folders["sam"]))
    predictor.set_image(image)
    segmenter = make(folders["sam"])
    encoded: Any = segmenter.encode(image)
    for pixels in ([[10, 20]], [[299, 0]], [[150, 100], [30, 40]]):
        points = np.array(pixels, np.float64)
        for multimask in (True, False):
            whole, scores, low = predictor.predict(
                points, np.ones(len(points)), multimask_output=multimask, return_logits=True
            )
            logits, ours = segmenter.sam.prompt(
                encoded._embedding, encoded._view, points[None], multimask=multimask
            )
            np.testing.assert_allclose(ours[0].numpy(), scores, atol=1e-4)
            np.testing.assert_allclose(logits[0].numpy(), low, atol=2e-2, rtol=1e-4)
            for plane, expected in zip(logits[0], whole, strict=True):
                assert_cut_at_zero(enlarged(plane, encoded._view), expected)


@pytest.mark.parametrize("family", ["sam2", "edgetam"])
def test_parity_with_transformers_own_path(folders: dict[str, Path], family: str) -> None:
    image = photograph("coffee", 300)
    size = (image.shape[0], image.shape[1])
    processor = transformers.Sam2Processor(transformers.AutoImageProcessor.from_pretrained(folders[family]))
    segmenter = make(folders[family])
    asked = [pixels for pixels in sets_of(size) if len(pixels) == 1]
    found = segmenter.encode(image).segment([unit(pixels, size) for pixels in asked])
    inputs = processor(
        images=image,
        input_points=[[pixels.tolist() for pixels in asked]],
        input_labels=[[[1] for _ in asked]],
        return_tensors="pt",
    )
    with torch.inference_mode():
        encoded: Any = segmenter.encode(image)
        view = encoded._view
        inputs["pixel_values"] = segmenter.sam.pixels(image, view)[None]
        output = segmenter.sam.model(**inputs, multimask_output=True)
    whole = processor.post_process_masks(output.pred_masks, inputs["original_sizes"], binarize=False)[0]
    for pixels, item, planes, scores in zip(asked, found, whole, output.iou_scores[0], strict=True):
        assert_chosen(item, planes.numpy(), scores.numpy(), pixels)


def test_the_encoder_runs_once_for_any_number_of_questions(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.segmenters.sam.AUTOMATIC", SamConfig(points_per_side=6))
    segmenter = make(folder)
    seen = count_encodings(segmenter)
    image = photograph("coffee", 200)
    encoded = segmenter.encode(image)
    for _ in range(3):
        encoded.segment(SETS)
    assert encoded.regions() is encoded.regions()
    for _ in range(3):
        segmenter.encode(image.copy()).segment([ONE])
    assert seen == [1]
    others = [photograph(name, 200) for name in ("chelsea", "rocket", "china", "flower")]
    for other in others:
        segmenter.encode(other)
    assert seen == [1] * 5
    segmenter.encode(others[0])
    assert seen == [1] * 5
    segmenter.encode(image)  # pushed out by the four others
    assert seen == [1] * 6


def test_sets_share_forwards_and_do_not_touch_each_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = make(folder)
    image = photograph("chelsea", 240)
    size = (image.shape[0], image.shape[1])
    asked = [unit(pixels, size) for pixels in sets_of(size)]
    encoded = segmenter.encode(image)
    shapes: list[tuple[int, ...]] = []
    prompt = segmenter.sam.prompt

    def watched(embedding: Any, view: Any, points: NDArray[np.float64], *, multimask: bool) -> Any:
        shapes.append((*points.shape[:2], multimask))
        return prompt(embedding, view, points, multimask=multimask)

    monkeypatch.setattr(segmenter.sam, "prompt", watched)
    together = encoded.segment(asked)
    assert shapes == [(7, 1, True), (2, 2, False), (1, 3, False)]
    assert len(together) == len(asked)
    for points, item in zip(asked, together, strict=True):
        (alone,) = encoded.segment([points])
        assert_same_answer(item, alone)
    assert encoded.segment([]) == []


def test_out_of_memory_halves_the_batch(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = make(folders["sam"])
    encoded = segmenter.encode(photograph("coffee", 200))
    asked = list(np.random.default_rng(1).random((9, 1, 2)))
    expected = encoded.segment(asked)
    prompt = segmenter.sam.prompt

    def short_of_memory(embedding: Any, view: Any, points: NDArray[np.float64], *, multimask: bool) -> Any:
        if len(points) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return prompt(embedding, view, points, multimask=multimask)

    monkeypatch.setattr(segmenter.sam, "prompt", short_of_memory)
    for item, other in zip(encoded.segment(asked), expected, strict=True):
        assert_same_answer(item, other)


@pytest.mark.parametrize("size", [(200, 311), (311, 200), (128, 128)])
def test_a_pixel_lands_on_itself_in_the_models_input(
    folder: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The point a decoder is given lies on the bright pixel of the input that the encoder saw."""
    segmenter = make(folder)
    model = segmenter.sam.model
    given: list[NDArray[np.float32]] = []
    forward = model.forward

    def watched(**named: Any) -> Any:
        given.append(named["input_points"].numpy()[0, 0, 0])
        return forward(**named)

    monkeypatch.setattr(model, "forward", watched)
    for x, y in ((0, 0), (size[1] - 1, size[0] - 1), (size[1] // 3, size[0] // 4)):
        image = np.zeros((*size, 3), np.uint8)
        image[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] = 255
        encoded: Any = segmenter.encode(image)
        (found,) = encoded.segment([unit(np.array([[x, y]]), size)])
        assert found.mask.shape == size
        column, row = (int(value) for value in given[-1])
        pixels = segmenter.sam.pixels(image, encoded._view)[0]
        assert pixels[row, column] > pixels.min() + 0.9 * (pixels.max() - pixels.min())
        rows, columns = encoded._view.rows, encoded._view.columns
        np.testing.assert_allclose(given[-1], [x * columns / size[1], y * rows / size[0]], rtol=1e-6)


def test_what_the_rule_promises_holds_and_nothing_is_random(folder: Path) -> None:
    image = photograph("astronaut", 256)
    size = (image.shape[0], image.shape[1])
    asked = list(np.random.default_rng(2).random((12, 1, 2)))
    found = make(folder).encode(image).segment(asked)
    assert any(item.fallback is None for item in found)
    for points, item in zip(asked, found, strict=True):
        (pixel,) = to_pixels(points, size)
        if item.fallback is None:
            assert item.mask[pixel[1], pixel[0]]
            assert SMALLEST <= item.mask.mean() <= LARGEST
    for item, other in zip(found, make(folder).encode(image).segment(asked), strict=True):
        np.testing.assert_array_equal(item.mask, other.mask)
        assert (item.score, item.candidate, item.fallback) == (other.score, other.candidate, other.fallback)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures(folders: dict[str, Path], name: str) -> None:
    image = HOSTILE[name]
    for family in ("sam", "sam2"):
        encoded = make(folders[family]).encode(image)
        for item in encoded.segment(SETS):
            assert item.mask.shape == image.shape[:2]
            assert 0 <= item.score <= 1
        if name in ("one pixel", "one row"):
            for region in encoded.regions():
                assert region.mask.shape == image.shape[:2]


def test_regions_are_disjoint_named_and_scored(folders: dict[str, Path]) -> None:
    encoded = make(folders["sam"]).encode(photograph("coffee", 300))
    regions = encoded.regions()
    assert len(regions) >= 2
    assert np.sum([region.mask for region in regions], axis=0).max() == 1
    assert len({region.label for region in regions}) == len(regions)
    assert all(region.label and 0.8 < region.score <= 1 for region in regions)


@pytest.mark.parametrize("wrong", [np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5), np.uint8)])
def test_what_is_no_picture_is_refused(folders: dict[str, Path], wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="uint8"):
        make(folders["sam"]).encode(wrong)


def test_names_and_mistakes(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_segmenter("graph").name == "graph"
    assert make_segmenter(f"sam:{folders['sam2']}").name == str(folders["sam2"])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"^--segmenter: the SAM model 'no/such-model' .*: no such folder"):
        make_segmenter("no/such-model")
    with pytest.raises(InputError, match=r"^--segmenter: the SAM model '/.*' can't be loaded"):
        make_segmenter(str(tmp_path))
    transformers.CLIPConfig().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="is of the kind 'clip'; known kinds: sam, sam_hq, sam2"):
        make_segmenter(str(tmp_path))
    with pytest.raises(InputError, match=r"^--segmenter is empty"):
        make_segmenter("sam:")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=r"^--device is 'cuda', but torch sees no GPU"):
            make_segmenter(str(folders["sam"]), device="cuda")


def test_threads_are_left_alone(folders: dict[str, Path]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        make(folders["sam"]).encode(HOSTILE["noise"])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_half_precision_model_runs(folder: Path) -> None:
    segmenter = make_segmenter(str(folder), device="cpu", dtype="bfloat16")
    for item in segmenter.encode(photograph("coffee", 120)).segment(SETS):
        assert item.mask.shape == (80, 120)
        assert 0 <= item.score <= 1
