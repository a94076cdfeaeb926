"""The `ssa` labeller on tiny models loaded from disk: votes, caption, CLIP and CLIPSeg together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from annotation.regions import propose
from annotation.regions.interface import Candidate, Context, candidate
from annotation.regions.labellers.ssa import SsaLabeller
from schemas.errors import InputError
from schemas.regions_config import RegionsConfig
from tests.annotation.regions.tiny_labellers import (
    WORDS,
    Counter,
    box_mask,
    paint_clip,
    paint_closed,
    plates,
    save_blip,
    save_clip,
    save_clipseg,
    save_closed,
)

COCO = {0: "road", 1: "person", 2: "tree-merged", 3: "background"}
ADE = {0: "wall", 1: "car, auto", 2: "sea", 3: "grass"}
RED, BLUE, GRAY = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.4, 0.4, 0.4)
TEXTS = {
    "person": (0.8, 0.2, 0.0),
    "redcar": RED,
    "car": (0.9, 0.1, 0.0),
    "tree": (0.0, 0.5, 0.5),
    "bluesea": BLUE,
    "sea": (0.0, 0.1, 0.9),
    "grass": (0.0, 1.0, 0.0),
    "dog": (0.1, 0.1, 0.1),
    "road": GRAY,
    "wall": (0.5, 0.4, 0.4),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A tiny model of each part."""
    root = tmp_path_factory.mktemp("ssa")
    return {
        "votes": [
            str(save_closed(root / "coco", "oneformer", COCO)),
            str(save_closed(root / "ade", "segformer", ADE)),
        ],
        "caption": str(save_blip(root / "blip")),
        "clip": str(save_clip(root / "clip")),
        "clipseg": str(save_clipseg(root / "clipseg")),
    }


def config(folders: dict[str, Any], dtype: str = "float32", **settings: object) -> RegionsConfig:
    return RegionsConfig.model_validate(
        {
            "proposer": "coco",
            "labeller": "ssa",
            "ssa": {**folders, **settings},
            "run_on": {"device": "cpu", "dtype": dtype},
        }
    )


def labeller(
    folders: dict[str, Any], dtype: str = "float32", **settings: object
) -> tuple[SsaLabeller, Context]:
    chosen = config(folders, dtype, **settings)
    return SsaLabeller(chosen), Context(chosen)


def paint(label: SsaLabeller, captions: bool = True) -> dict[str, Counter]:
    """Known answers by color in every part, through the real classes; the counts of forwards of each."""
    counts = {"coco": paint_closed(label._votes[0]._model), "ade": paint_closed(label._votes[1]._model)}
    counts["clip"] = paint_clip(label._ranker, TEXTS, lambda mean: [max(v, 0.05) for v in mean])
    counts["blip"] = _paint_blip(label._captioner._model, captions)
    counts["clipseg"] = _paint_clipseg(label._settler)
    return counts


def _paint_blip(model: Any, captions: bool) -> Counter:
    """ "a dog on the red car" for a crop that is red rather than blue, "a dog on the blue sea" otherwise."""
    counter = Counter()

    def generate(pixel_values: torch.Tensor, **given: Any) -> torch.Tensor:
        counter.calls += 1
        rows = []
        for red, _, blue in pixel_values.float().mean(dim=(2, 3)).tolist():
            text = "a dog on the red car" if red > blue else "a dog on the blue sea"
            words = text.split() if captions else []
            row = [WORDS.index(word) for word in ["[DEC]", *words, "[SEP]"]]
            rows.append(row + [0] * (10 - len(row)))
        return torch.tensor(rows)

    model.generate = generate
    return counter


def _paint_clipseg(settler: Any) -> Counter:
    """The logit of a text at a pixel is the product of the text's vector and the pixel's color."""
    counter = Counter()
    model = settler._model

    def get_image_features(pixel_values: torch.Tensor, **given: Any) -> Any:
        counter.calls += 1
        return transformers.modeling_outputs.BaseModelOutputWithPooling(hidden_states=(pixel_values,) * 3)

    def get_conditional_embeddings(batch_size: int, input_ids: torch.Tensor, **given: Any) -> torch.Tensor:
        texts = settler._tokenizer.batch_decode(input_ids, skip_special_tokens=True)
        assert len(texts) == batch_size
        written = ["".join(text.split()) for text in texts]
        return torch.tensor([next(v for word, v in TEXTS.items() if word in text) for text in written])

    def decoder(layers: Sequence[torch.Tensor], features: torch.Tensor) -> Any:
        assert len(layers) == len(model.extract_layers)
        logits = (layers[0] * features[:, :, None, None]).sum(dim=1)
        return transformers.models.clipseg.modeling_clipseg.CLIPSegDecoderOutput(logits=logits)

    model.clip.get_image_features = get_image_features
    model.get_conditional_embeddings = get_conditional_embeddings
    model.decoder.forward = decoder
    return counter


def test_the_label_is_what_all_parts_agree_on(folders: dict[str, Any]) -> None:
    label, context = labeller(folders)
    counts = paint(label)
    image, masks = plates()
    named = label(image, masks, context)
    assert [item.label for item in named[:2]] == ["red car", "blue sea"]
    assert named[0].proposals == ("red car", "car", "person")
    assert set(named[1].proposals) == {"blue sea", "sea", "tree"}
    assert named[2].proposals[0] == "grass"
    assert named[2].label == "grass"
    for item in named[:3]:
        assert item.label_score is not None
        assert item.label_score > 0.9
    assert {part: counter.calls for part, counter in counts.items()} == {
        "coco": 1,
        "ade": 1,
        "clip": 1,
        "blip": 1,
        "clipseg": 1,
    }


def test_red_and_blue_pictures_have_the_right_names(folders: dict[str, Any]) -> None:
    label, context = labeller(folders)
    paint(label)
    names = []
    for color in ((220, 10, 10), (10, 10, 220)):
        image = np.full((64, 80, 3), color, dtype=np.uint8)
        names.append(label(image, [box_mask(image.shape, 8, 8, 40, 40)], context)[0].label)
    assert names == ["red car", "blue sea"]


def test_a_mask_half_of_one_and_half_of_the_other_is_no_name(folders: dict[str, Any]) -> None:
    """The mask covers red and blue by halves: neither text leads by the margin."""
    label, context = labeller(folders, min_margin=0.3)
    paint(label)
    image, masks = plates()
    item = label(image, [masks[4]], context)[0]
    assert item.label is None
    assert item.label_score == pytest.approx(0.5, abs=0.15)
    assert len(item.proposals) == 3
    sure, context = labeller(folders, min_score=0.99)
    paint(sure)
    assert sure(image, [masks[4]], context)[0].label is None


def test_one_vote_and_no_caption_need_no_clipseg(folders: dict[str, Any]) -> None:
    label, context = labeller({**folders, "votes": folders["votes"][:1]})
    forwards = paint_closed(label._votes[0]._model)
    clip = paint_clip(label._ranker, TEXTS, lambda mean: mean)
    _paint_blip(label._captioner._model, captions=False)
    clipseg = _paint_clipseg(label._settler)
    image, masks = plates()
    named = label(image, masks[:3], context)
    assert [item.label for item in named] == ["person", "tree", None]  # green is background: nothing proposed
    assert [item.label_score for item in named] == [1.0, 1.0, None]
    assert [item.proposals for item in named] == [("person",), ("tree",), ()]
    assert (forwards.calls, clip.calls, clipseg.calls) == (1, 1, 0)
    assert [item.label for item in label(image, masks[2:3], context)] == [None]


def test_the_number_of_proposals_is_a_setting(folders: dict[str, Any]) -> None:
    label, context = labeller(folders, top=1)
    counts = paint(label)
    image, masks = plates()
    named = label(image, masks[:2], context)
    assert [item.proposals for item in named] == [("red car",), ("blue sea",)]
    assert counts["clipseg"].calls == 0


def test_the_size_of_a_batch_makes_no_difference(
    folders: dict[str, Any], astronaut: NDArray[np.uint8]
) -> None:
    """Random weights, nothing painted: seven masks at once, by threes, one by one, and in another order."""
    masks = [box_mask(astronaut.shape, 40 * k, 30 * k, 100 + 10 * k, 150) for k in range(7)]
    results = []
    for size in (16, 3, 1):
        label, context = labeller(folders, masks_per_batch=size, min_score=0.0, min_margin=0.0)
        _say(label._captioner._model)
        results.append(label(astronaut, masks, context))
    results.append(label(astronaut, masks[::-1], context)[::-1])
    assert all(len(item.proposals) > 1 for item in results[0])
    for named in results[1:]:
        assert [item.label for item in named] == [item.label for item in results[0]]
        assert [item.proposals for item in named] == [item.proposals for item in results[0]]
        scores = [item.label_score for item in named]
        assert scores == pytest.approx([item.label_score for item in results[0]], abs=1e-3)


def _say(model: Any) -> None:
    """Random weights rarely say a word twice; this takes the special tokens out of what they may say."""
    real: Callable[..., torch.Tensor] = model.generate

    def generate(**given: Any) -> torch.Tensor:
        return real(**given, suppress_tokens=[0, 1, 2, 4, 5], begin_suppress_tokens=[3])

    model.generate = generate


def test_the_parts_see_boxes_grown_as_in_the_original(folders: dict[str, Any]) -> None:
    """CLIP the mask's box x 1.2, the caption and CLIPSeg x 1.6, all cut out of the picture itself."""
    label, context = labeller(folders)
    paint(label)
    image = np.random.default_rng(3).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    seen: dict[str, NDArray[np.uint8]] = {}
    for part, method in (("_captioner", "_captions"), ("_ranker", "_pictures"), ("_settler", "logits")):
        _record(getattr(label, part), method, seen, part)
    label(image, [box_mask(image.shape, 80, 100, 50, 100)], context)
    assert np.array_equal(seen["_ranker"], image[75:135, 90:210])
    assert np.array_equal(seen["_captioner"], image[65:145, 70:230])
    assert np.array_equal(seen["_settler"], image[65:145, 70:230])


def _record(part: Any, method: str, seen: dict[str, NDArray[np.uint8]], name: str) -> None:
    real = getattr(part, method)

    def recorded(pictures: Sequence[NDArray[np.uint8]], *rest: Any) -> Any:
        (seen[name],) = pictures
        return real(pictures, *rest)

    setattr(part, method, recorded)


def test_captions_do_not_depend_on_the_batch(folders: dict[str, Any], astronaut: NDArray[np.uint8]) -> None:
    label, _ = labeller(folders)
    _say(label._captioner._model)
    crops = [astronaut[40 * k : 40 * k + 150, 30 * k : 30 * k + 200] for k in range(5)]
    together = label._captioner.captions(crops)
    assert len(set(together)) > 2
    assert [label._captioner.captions([crop])[0] for crop in crops] == together


def test_clipseg_gives_its_own_logits_with_one_encoding_a_crop(
    folders: dict[str, Any], astronaut: NDArray[np.uint8]
) -> None:
    """What the model's own forward gives for the picture repeated once a text."""
    label, _ = labeller(folders)
    settler = label._settler
    texts = ["red car", "dog", "sea", "person", "grass"]
    crops, counts = [astronaut[:200, :300], astronaut[100:400, 50:250]], [3, 2]
    found = settler.logits(crops, settler._features(texts), counts)
    tokens = settler._tokenizer(texts, padding=True, return_tensors="pt")
    pixels = settler._images(
        images=[torch.tensor(crop).permute(2, 0, 1) for crop in crops], return_tensors="pt"
    )["pixel_values"].repeat_interleave(torch.tensor(counts), dim=0)
    expected = settler._model(
        pixel_values=pixels, input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
    ).logits
    assert [part.shape[0] for part in found] == counts
    torch.testing.assert_close(torch.cat(found), expected, atol=1e-5, rtol=1e-4)


def test_out_of_memory_halves_the_batch_and_goes_on(folders: dict[str, Any]) -> None:
    label, context = labeller(folders)
    paint(label)
    image, masks = plates()
    whole = label(image, masks, context)
    sizes: list[int] = []
    for part, method in ((label._captioner, "_captions"), (label._ranker, "_pictures")):
        _make_scarce(part, method, sizes)
    real = label._settler.logits

    def scarce(pictures: Sequence[Any], *rest: Any) -> Any:
        sizes.append(len(pictures))
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("no memory")
        return real(pictures, *rest)

    label._settler.logits = scarce  # type: ignore[method-assign]
    assert label(image, masks, context) == whole
    assert sizes == [5, 2, 2, 1] * 3


def _make_scarce(part: Any, method: str, sizes: list[int]) -> None:
    real = getattr(part, method)

    def scarce(pictures: Sequence[Any]) -> Any:
        sizes.append(len(pictures))
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("no memory")
        return real(pictures)

    setattr(part, method, scarce)


def test_absurd_pictures_have_a_stated_result(folders: dict[str, Any]) -> None:
    label, context = labeller(folders)
    counts = paint(label)
    strip = np.full((1, 4000, 3), (220, 10, 10), dtype=np.uint8)
    empty = candidate(np.zeros((1, 4000), dtype=bool))
    assert label(strip, [], context) == []
    nothing = label(strip, [empty], context)[0]
    assert (nothing.label, nothing.label_score, nothing.proposals) == (None, None, ())
    assert all(counter.calls == 0 for counter in counts.values())
    named = label(strip, [box_mask(strip.shape, 0, 100, 1, 900), empty], context)
    assert [item.label for item in named] == ["red car", None]
    for side in (1, 2, 3):
        dot = np.full((side, side, 3), (220, 10, 10), dtype=np.uint8)
        assert label(dot, [box_mask(dot.shape, 0, 0, 1, 1)], context)[0].label == "red car"
    black = np.zeros((64, 64, 3), dtype=np.uint8)
    assert len(label(black, [box_mask(black.shape, 0, 0, 64, 64)], context)) == 1


def test_half_precision_runs_through(folders: dict[str, Any], astronaut: NDArray[np.uint8]) -> None:
    label, context = labeller(folders, "bfloat16", min_score=0.0, min_margin=0.0)
    named = label(astronaut, [box_mask(astronaut.shape, 40 * k, 30 * k, 100, 150) for k in range(3)], context)
    assert all(item.label in item.proposals for item in named)
    assert all(item.label_score is not None and 0 < item.label_score <= 1 for item in named)


def test_many_masks_go_in_batches(folders: dict[str, Any]) -> None:
    label, context = labeller(folders, masks_per_batch=25)
    counts = paint(label)
    image, _ = plates()
    masks = [box_mask(image.shape, k % 60, (7 * k) % 90, 20, 30) for k in range(100)]
    assert len(label(image, masks, context)) == 100
    assert {part: counter.calls for part, counter in counts.items()} == {
        "coco": 1,
        "ade": 1,
        "clip": 4,
        "blip": 4,
        "clipseg": 4,
    }


def test_regions_carry_the_labels(folders: dict[str, Any]) -> None:
    image, masks = plates()
    chosen = config(folders, min_score=0.0, min_margin=0.0)
    first = propose(image, chosen, masks[:3])
    assert len(first.regions) == 3
    assert all(region.label_score is not None for region in first.regions)
    assert first == propose(image, chosen, masks[:3])


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("caption", r"regions\.ssa\.caption: .* type 'clip'; a captioning model is one of blip"),
        ("clipseg", r"regions\.ssa\.clipseg: .* type 'clip'; a text-to-mask model is one of clipseg"),
        ("votes", r"regions\.ssa\.votes\.0: .* type 'clip'; a closed-vocabulary model is one of"),
    ],
)
def test_a_model_of_another_kind_is_refused(folders: dict[str, Any], part: str, message: str) -> None:
    wrong = [folders["clip"]] if part == "votes" else folders["clip"]
    with pytest.raises(InputError, match=message):
        labeller({**folders, part: wrong})


@pytest.mark.parametrize("part", ["caption", "clip", "clipseg", "votes"])
def test_a_missing_model_says_which(folders: dict[str, Any], tmp_path: Path, part: str) -> None:
    absent = str(tmp_path / "absent")
    with pytest.raises(InputError, match=rf"regions\.ssa\.{part}.*absent"):
        labeller({**folders, part: [absent] if part == "votes" else absent})


def test_renaming_drops_the_proposals() -> None:
    item: Candidate = box_mask((8, 8), 0, 0, 4, 4).named("dog", 0.5, proposals=("dog", "cat"))
    assert item.proposals == ("dog", "cat")
    assert item.named("cat", 0.4).proposals == ()
