"""Near duplicates: re-saved and resized photographs are found, different and flat pictures are kept apart."""

from __future__ import annotations

import itertools
import random

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_sample_image

from schemas.config import IngestConfig
from schemas.hashing import rng
from schemas.pictures import decode, fingerprint, near_duplicates, perceptual_hash
from tests.picture_bytes import Rgb, photographs, save

BITS = IngestConfig().near_duplicate_bits


def jpeg(rgb: Rgb, quality: int) -> Rgb:
    return decode(save(rgb, "JPEG", quality=quality), IngestConfig()).rgb


def flat(color: tuple[int, int, int], spread: float, seed: int) -> Rgb:
    """A flat picture with faint soft blotches: its hash is decided by almost nothing."""
    blotches = cv2.resize(
        rng(seed, "flat").normal(0, spread, (6, 8)), (320, 240), interpolation=cv2.INTER_CUBIC
    )
    return np.clip(np.array(color) + blotches[:, :, None], 0, 255).astype(np.uint8)


def test_photographs_are_not_each_others_duplicates() -> None:
    items = [(f"{number:03}", fingerprint(cut)) for number, cut in enumerate(photographs())]
    assert near_duplicates(items, BITS) == {}


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_resaved_and_resized_copies_are_dropped(name: str) -> None:
    rgb = load_sample_image(name)
    copies = {
        "a-original": rgb,
        "b-quality-40": jpeg(rgb, 40),
        "c-half": cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        "d-twice": cv2.resize(rgb, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
        "e-brighter": np.clip(rgb.astype(int) + 5, 0, 255).astype(np.uint8),
        "f-trimmed": rgb[1:-1, 1:-1],
    }
    dropped = near_duplicates([(key, fingerprint(copy)) for key, copy in copies.items()], BITS)
    assert dropped == {key: "a-original" for key in copies if key != "a-original"}


def test_mirrored_turned_and_squeezed_pictures_are_kept() -> None:
    rgb = load_sample_image("china.jpg")
    squeezed = cv2.resize(rgb, (427, 427), interpolation=cv2.INTER_AREA)
    pictures = [rgb, rgb[:, ::-1], np.rot90(rgb), rgb[::-1], squeezed]
    items = [(str(number), fingerprint(np.ascontiguousarray(one))) for number, one in enumerate(pictures)]
    assert near_duplicates(items, BITS) == {}


def test_flat_pictures_whose_hashes_collide_are_kept_apart() -> None:
    one, other = flat((90, 140, 200), 0, 0), flat((200, 90, 60), 0, 0)
    assert perceptual_hash(one) == perceptual_hash(other)
    assert near_duplicates([("a", fingerprint(one)), ("b", fingerprint(other))], 64) == {}
    faint = [(str(seed), fingerprint(flat((120, 130, 140), 4, seed))) for seed in range(12)]
    assert near_duplicates(faint, 64) == {}  # 64 bits: every hash counts as equal, the thumbnails decide
    assert near_duplicates([("a", fingerprint(one)), ("b", fingerprint(one.copy()))], 0) == {"b": "a"}


def made(pattern: int, level: int) -> str:
    return f"{pattern:016x}-8000-{bytes([level] * 432).hex()}"


@given(
    st.lists(st.tuples(st.integers(0, 63), st.integers(0, 6)), max_size=25), st.randoms(), st.integers(0, 3)
)
def test_the_order_of_pictures_never_matters(
    values: list[tuple[int, int]], shuffler: random.Random, bits: int
) -> None:
    items = [(f"{number:02}", made(pattern, level)) for number, (pattern, level) in enumerate(values)]
    dropped = near_duplicates(items, bits)
    shuffled = items[:]
    shuffler.shuffle(shuffled)
    assert near_duplicates(shuffled, bits) == dropped

    def near(a: int, b: int) -> bool:
        return (values[a][0] ^ values[b][0]).bit_count() <= bits and abs(values[a][1] - values[b][1]) <= 1

    kept = [number for number in range(len(values)) if f"{number:02}" not in dropped]
    assert not any(near(a, b) for a, b in itertools.combinations(kept, 2))
    for gone, stays in dropped.items():
        assert int(stays) == min(k for k in kept if near(k, int(gone)))
        assert stays < gone


def test_a_negative_number_of_bits_turns_the_search_off() -> None:
    assert near_duplicates([("a", made(1, 1)), ("b", made(1, 1))], -1) == {}


def test_nonsense_is_an_error() -> None:
    with pytest.raises(ValueError, match="twice"):
        near_duplicates([("a", made(1, 1)), ("a", made(2, 1))], 4)
    for text in ("", "12-8000-00", "zz" * 8 + "-8000-" + "00" * 432, made(1, 1)[:-2]):
        with pytest.raises(ValueError, match="malformed"):
            near_duplicates([("a", text)], 4)


def test_the_hash_is_64_bits_in_hex() -> None:
    code = perceptual_hash(load_sample_image("china.jpg"))
    assert len(code) == 16
    assert int(code, 16).bit_count() in range(24, 41)
