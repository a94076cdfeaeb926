"""The worked example of docs/adding-a-distortion.md, run as written."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from distortions.fit_levels import BANDS, CALIBRATED_ON, mean_strength, photographs
from distortions.frame import Frame, Image
from distortions.operations import OPERATIONS, Operation
from distortions.registry import LEVELS, Entry, build_registry

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-distortion.md"


def blocks(language: str) -> list[str]:
    """The page's code blocks of a language, in order."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Entry:
    """The example's entry, with its operation registered."""
    code, registration = blocks("python")
    made, levels, _ = (yaml.safe_load(block) for block in blocks("yaml"))
    names = {"np": np, "cv2": cv2, "Image": Image, "Frame": Frame}
    exec(code, names)
    assert registration.split('"')[1] == made[0]["operation"]
    monkeypatch.setitem(OPERATIONS, made[0]["operation"], Operation(names["vignette"]))
    return build_registry({"entries": made}, levels).entries[made[0]["name"]]


def test_its_levels_fall_into_the_bands(entry: Entry) -> None:
    pictures = photographs(256, CALIBRATED_ON)
    for level, (low, high) in zip(LEVELS, BANDS, strict=True):
        assert low <= mean_strength(entry, entry.parameters(level, 256), pictures) < high


def test_a_box_gets_what_the_whole_picture_gets(entry: Entry) -> None:
    (picture,) = photographs(128, ("coffee",))
    height, width = picture.shape[:2]
    parameters = entry.parameters(4, 128)
    whole = entry.function.run(picture, Frame.whole(picture, 0), **parameters)
    box = Frame(31, 40, 97, 151, height, width, 0)
    part = entry.function.run(np.ascontiguousarray(picture[31:97, 40:151]), box, **parameters)
    assert np.array_equal(part, whole[31:97, 40:151])
    assert not np.array_equal(part, picture[31:97, 40:151])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 64)])
def test_any_size_passes(entry: Entry, size: tuple[int, int]) -> None:
    flat = np.full((*size, 3), 200, np.uint8)
    out = entry.function.run(flat, Frame.whole(flat, 0), **entry.parameters(5, min(size)))
    assert out.shape == flat.shape
    assert out.dtype == np.uint8


def test_its_words_name_a_known_group() -> None:
    (name, group), *_ = yaml.safe_load(blocks("yaml")[2]).items()
    lexicon = yaml.safe_load((PAGE.parents[1] / "annotation/qa/lexicon.yaml").read_text(encoding="utf-8"))
    entry = yaml.safe_load(blocks("yaml")[0])[0]
    assert name == entry["name"]
    assert lexicon["groups"][group]["category"] == entry["category"]
