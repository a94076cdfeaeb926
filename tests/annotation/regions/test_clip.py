"""The `clip` labeller: vocabularies, and names out of them by tiny models loaded from disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from annotation.regions.interface import Context, candidate
from annotation.regions.labellers.clip import ClipLabeller
from annotation.regions.names import PLACE_WORDS
from annotation.regions.noun_phrases import parse_vocabulary, read_vocabulary
from schemas.errors import InputError
from schemas.regions_config import RegionsConfig
from tests.annotation.regions.tiny_labellers import (
    Counter,
    box_mask,
    paint_clip,
    plates,
    save_clip,
    save_closed,
)

KINDS = ("clip", "siglip", "siglip2")
TEXTS = {"car": (3.0, 0.0, 0.0), "sea": (0.0, 0.0, 2.0), "lawn": (0.0, 5.0, 0.0)}
Saved = Callable[[str], Path]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A folder with a tiny model of the kind, made once."""
    root = tmp_path_factory.mktemp("clip")

    def folder(kind: str) -> Path:
        path = root / kind
        return path if path.is_dir() else save_clip(path, kind)

    return folder


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("words") / "words.txt"
    path.write_text("# things\na car\nsea  # and lakes\n\nLawn\n", encoding="utf-8")
    return path


def labeller(folder: Path, words: Path, **settings: object) -> tuple[ClipLabeller, Context]:
    config = RegionsConfig.model_validate(
        {
            "proposer": "graph",
            "labeller": "clip",
            "clip": {"model": str(folder), "vocabulary": str(words), **settings},
            "run_on": {"device": "cpu"},
        }
    )
    return ClipLabeller(config), Context(config)


def painted(label: ClipLabeller, flat: bool = False) -> Counter:
    """Known features: a text's by its word, a picture's by its mean color."""
    counter = paint_clip(label._model, TEXTS, lambda color: (1, 1, 1) if flat else [v + 1 for v in color])
    label._features = label._model.texts([label._config.template.format(name) for name in label._names])
    return counter


@pytest.mark.parametrize("kind", KINDS)
def test_each_crop_gets_the_nearest_phrase_in_one_forward(saved: Saved, words: Path, kind: str) -> None:
    label, context = labeller(saved(kind), words, crop_scale=1.0)
    forwards = painted(label)
    image, masks = plates()
    named = label(image, masks, context)
    assert [item.label for item in named[:3]] == ["car", "sea", "lawn"]
    assert all(item.label_score is not None and item.label_score > 0.9 for item in named[:3])
    assert forwards.calls == 1


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_nearest_is_no_name(saved: Saved, words: Path, kind: str) -> None:
    label, context = labeller(saved(kind), words)
    painted(label, flat=True)
    image, masks = plates()
    named = label(image, masks, context)
    assert [item.label for item in named] == [None] * len(masks)
    assert all(item.label_score == pytest.approx(1 / 3, abs=1e-3) for item in named)


@pytest.mark.parametrize("kind", KINDS)
def test_a_blue_picture_is_not_called_by_a_red_name(saved: Saved, words: Path, kind: str) -> None:
    label, context = labeller(saved(kind), words)
    painted(label)
    whole = box_mask((40, 50), 0, 0, 40, 50)
    names = []
    for color in ((220, 10, 10), (10, 10, 220)):
        names.append(label(np.full((40, 50, 3), color, dtype=np.uint8), [whole], context)[0].label)
    assert names == ["car", "sea"]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_models_own_softmax(
    saved: Saved, words: Path, kind: str, astronaut: NDArray[np.uint8]
) -> None:
    label, context = labeller(saved(kind), words, min_score=0.0, min_margin=0.0, crop_scale=1.0)
    model = label._model._model
    item = label(astronaut, [box_mask(astronaut.shape, 0, 0, 512, 512)], context)[0]
    padding: Any = True if kind == "clip" else "max_length"
    texts = label._model._tokenizer(
        ["a photo of a car", "a photo of a sea", "a photo of a lawn"],
        padding=padding,
        truncation=True,
        max_length=64,
        return_tensors="pt",
    )
    given = dict(texts) if kind == "clip" else {"input_ids": texts["input_ids"]}
    pictures = label._model._images(images=torch.tensor(astronaut).permute(2, 0, 1), return_tensors="pt")
    shares = model(**given, **pictures).logits_per_image.softmax(dim=1)[0]
    assert item.label == ("car", "sea", "lawn")[int(shares.argmax())]
    assert item.label_score == pytest.approx(float(shares.max()), abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_of_a_batch_makes_no_difference(
    saved: Saved, words: Path, kind: str, astronaut: NDArray[np.uint8]
) -> None:
    masks = [box_mask(astronaut.shape, 40 * k, 30 * k, 100 + 10 * k, 150) for k in range(7)]
    results = []
    for size in (1, 3, 128):
        settings = {"min_score": 0.0, "min_margin": 0.0, "crops_per_batch": size}
        label, context = labeller(saved(kind), words, **settings)
        results.append(label(astronaut, masks, context))
    for named in results[1:]:
        assert [item.label for item in named] == [item.label for item in results[0]]
        scores = [item.label_score for item in named]
        assert scores == pytest.approx([item.label_score for item in results[0]], abs=1e-4)


def test_out_of_memory_halves_the_batch_and_goes_on(saved: Saved, words: Path) -> None:
    label, context = labeller(saved("clip"), words, crop_scale=1.0)
    painted(label)
    image, masks = plates()
    whole = label(image, masks, context)
    real, sizes = label._model._pictures, []

    def scarce(pictures: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        sizes.append(len(pictures))
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("no memory")
        return real(pictures)

    label._model._pictures = scarce  # type: ignore[method-assign]
    assert label(image, masks, context) == whole
    assert sizes == [5, 2, 2, 1]


def test_the_vocabulary_is_encoded_once(saved: Saved, words: Path) -> None:
    label, context = labeller(saved("clip"), words)
    painted(label)
    label._model._model.get_text_features = None
    image, masks = plates()
    assert label(image, masks, context) == label(image, masks, context)


def test_a_wider_crop_sees_what_is_around(saved: Saved, words: Path) -> None:
    image, masks = plates()
    seen: list[list[float]] = []

    def color(mean: Sequence[float]) -> Sequence[float]:
        seen.append(list(mean))
        return mean

    for scale in (1.0, 1.2, 4.0):
        label, context = labeller(saved("clip"), words, crop_scale=scale)
        painted(label)
        paint_clip(label._model, TEXTS, color)
        label(image, masks[:1], context)
    reds = [red for red, _, _ in seen]
    assert reds[0] > reds[1] + 0.1 > reds[2] + 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_absurd_pictures_have_a_stated_result(saved: Saved, words: Path, kind: str) -> None:
    label, context = labeller(saved(kind), words)
    forwards = painted(label)
    strip = np.full((1, 4000, 3), (220, 10, 10), dtype=np.uint8)
    assert label(strip, [], context) == []
    empty = candidate(np.zeros((1, 4000), dtype=bool))
    named = label(strip, [empty], context)
    assert (named[0].label, named[0].label_score) == (None, None)
    assert forwards.calls == 0
    named = label(strip, [box_mask(strip.shape, 0, 100, 1, 900), empty], context)
    assert [item.label for item in named] == ["car", None]
    for side in (1, 2, 3):
        dot = np.full((side, side, 3), (220, 10, 10), dtype=np.uint8)
        assert label(dot, [box_mask(dot.shape, 0, 0, 1, 1)], context)[0].label == "car"


def test_500_masks(saved: Saved, words: Path, astronaut: NDArray[np.uint8]) -> None:
    label, context = labeller(saved("clip"), words)
    forwards = painted(label)
    masks = [box_mask(astronaut.shape, k % 400, (7 * k) % 400, 60, 80) for k in range(500)]
    assert len(label(astronaut, masks, context)) == 500
    assert forwards.calls == 4


def test_a_vocabulary_of_one_phrase(saved: Saved, tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text("car", encoding="utf-8")
    label, context = labeller(saved("clip"), path)
    image, masks = plates()
    assert label(image, masks, context)[0].label == "car"


def test_errors_of_models(saved: Saved, words: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"regions\.clip\.model: the text-and-picture model"):
        labeller(tmp_path / "absent", words)
    folder = save_closed(tmp_path / "closed", "segformer")
    with pytest.raises(InputError, match="type 'segformer'; a text-and-picture model is one of clip, siglip"):
        labeller(folder, words)
    folder = save_clip(tmp_path / "clip")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match="text-and-picture model's processor"):
        labeller(folder, words)


@pytest.mark.parametrize("template", ["a photo", "{} and {}", "a {name}", "{", "{}}", "{0}"])
def test_a_template_has_one_gap(words: Path, template: str) -> None:
    with pytest.raises(ValidationError, match=r"must hold \{\} once"):
        RegionsConfig.model_validate(
            {"labeller": "clip", "clip": {"vocabulary": str(words), "template": template}}
        )


def test_a_vocabulary_keeps_the_files_order(words: Path) -> None:
    assert read_vocabulary(words) == ("car", "sea", "lawn")


def test_a_vocabulary_may_begin_with_a_byte_order_mark_and_end_lines_with_carriage_returns(
    tmp_path: Path,
) -> None:
    path = tmp_path / "windows.txt"
    path.write_bytes(b"\xef\xbb\xbfdog\r\n\r\nCaf\xc3\xa9 table\r\n")
    assert read_vocabulary(path) == ("dog", "café table")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no phrase in this vocabulary"),
        ("# only\n  \n#this\n", "no phrase in this vocabulary"),
        ("dog\ncat\n\nThe  DOG\n", r"words.txt:4: 'The DOG' is given twice, first on line 1; keep one"),
        ("dog\nleft shoe\n", r"words.txt:2: 'left shoe' says where a thing is.*take 'left' out"),
        ("dog\n42\n", r"words.txt:2: '42' is not a noun phrase"),
        ("dog\nc\x07at\n", r"words.txt:2: 'c\\x07at' is not a noun phrase"),
        ("dog\nthe\n", r"words.txt:2: 'the' is an article alone"),
        ("dog\n" + "x" * 81, r"words.txt:2: more than 80 characters"),
    ],
)
def test_a_broken_vocabulary_says_file_line_and_what_to_do(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "words.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        read_vocabulary(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_files_that_are_no_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.txt: can't read this vocabulary"):
        read_vocabulary(tmp_path / "absent.txt")
    with pytest.raises(InputError, match="can't read this vocabulary"):
        read_vocabulary(tmp_path)
    path = tmp_path / "latin.txt"
    path.write_bytes(b"dog\ncaf\xe9\n")
    with pytest.raises(InputError, match=r"latin.txt:2: not UTF-8"):
        read_vocabulary(path)
    path.write_bytes(b"x\n" * 2_000_001)
    with pytest.raises(InputError, match="a vocabulary is far smaller"):
        read_vocabulary(path)


@given(st.text(max_size=200))
def test_any_text_gives_phrases_or_an_error_with_its_line(text: str) -> None:
    try:
        phrases = parse_vocabulary(text, "words.txt")
    except InputError as error:
        assert str(error).startswith("words.txt:")  # noqa: PT017
        return
    assert phrases
    assert len(set(phrases)) == len(phrases)
    for phrase in phrases:
        assert phrase == " ".join(phrase.split()) == phrase.lower()
        assert not set(phrase.split()) & PLACE_WORDS
        assert not phrase.startswith(("a ", "an ", "the "))
