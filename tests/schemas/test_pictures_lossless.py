"""The stored PNG: any decoder reads the same pixels, damage is noticed; the hash separates shapes too."""

from __future__ import annotations

import hashlib
import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_image

from schemas.errors import SampleError
from schemas.hashing import rng
from schemas.pictures import encode, load_png, pixel_hash
from tests.picture_bytes import Rgb, photographs, png_chunk, png_of_size, save


def noise(height: int, width: int, seed: int = 0) -> Rgb:
    return rng(seed, "noise").integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000))
def test_any_picture_comes_back(height: int, width: int, seed: int) -> None:
    rgb = noise(height, width, seed)
    assert np.array_equal(load_png(encode(rgb)), rgb)


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_other_decoders_read_the_same_pixels(name: str) -> None:
    rgb = load_sample_image(name)
    content = encode(rgb)
    image = Image.open(io.BytesIO(content))
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), rgb)
    assert np.array_equal(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1], rgb)
    assert load_png(content).flags.c_contiguous
    assert len(content) < 0.85 * rgb.size


def test_equal_pixels_give_equal_bytes_in_any_memory_layout() -> None:
    rgb = photographs()[0]
    before = rgb.copy()
    assert encode(rgb) == encode(rgb.copy()) == encode(np.asfortranarray(rgb)) == encode(rgb[::-1][::-1])
    assert pixel_hash(rgb) == pixel_hash(np.asfortranarray(rgb))
    assert np.array_equal(rgb, before)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_only_rgb_is_encoded_and_hashed(wrong: Rgb) -> None:
    with pytest.raises(ValueError, match="expected"):
        encode(wrong)
    with pytest.raises(ValueError, match="expected"):
        pixel_hash(wrong)


def test_a_flipped_bit_anywhere_is_noticed() -> None:
    content = encode(noise(6, 5))
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(SampleError):
            load_png(bytes(damaged))


def test_a_missing_tail_is_noticed() -> None:
    content = encode(noise(6, 5))
    for length in range(len(content)):
        with pytest.raises(SampleError):
            load_png(content[:length])


def test_foreign_and_huge_files_are_refused() -> None:
    rgb = photographs()[0]
    short = (
        bytearray(encode(rgb))[:33]
        + png_chunk(b"IDAT", b"x\x9c\x03\x00\x00\x00\x00\x01")
        + png_chunk(b"IEND", b"")
    )
    for content, reason in (
        (save(rgb, "JPEG"), "not-a-picture"),
        (save(rgb[:, :, 0], "PNG"), "unsupported-encoding"),
        (save(np.dstack([rgb, rgb[:, :, 0]]), "PNG"), "unsupported-encoding"),
        (png_of_size(100_000, 100_000), "too-many-pixels"),
        (bytes(short), "broken-data"),
    ):
        with pytest.raises(SampleError) as caught:
            load_png(content)
        assert caught.value.reason == reason


def test_the_hash_is_sha256_over_shape_and_bytes() -> None:
    rgb = noise(2, 3)
    assert pixel_hash(rgb) == hashlib.sha256(b"2x3x3:" + rgb.tobytes()).hexdigest()
    assert pixel_hash(rgb) != pixel_hash(rgb.reshape(3, 2, 3))
    changed = rgb.copy()
    changed[1, 2, 2] ^= 1
    assert pixel_hash(changed) != pixel_hash(rgb)
