"""Decoding: the hostile corpus pixel by pixel, limits before pixels, shrinking, orientation, memory."""

from __future__ import annotations

import io
import subprocess
import sys
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile
from sklearn.datasets import load_sample_image

from schemas.config import IngestConfig
from schemas.errors import SampleError
from schemas.pictures import decode
from schemas.pictures.decoding import final_size
from tests.hostile import bad_files, good_files
from tests.picture_bytes import Rgb, exif_block, photographs, png_of_size, save

LIMITS = IngestConfig()
GOOD, BAD = good_files(), bad_files()


def difference(a: Rgb, b: Rgb) -> float:
    return float(np.abs(a.astype(int) - b).mean())


@pytest.mark.parametrize("name", GOOD)
def test_odd_but_good_files_give_their_pixels(name: str) -> None:
    content, expected = GOOD[name]
    picture = decode(content, LIMITS)
    assert expected.rgb is not None
    assert picture.rgb.shape == expected.rgb.shape
    assert picture.rgb.dtype == np.uint8
    assert picture.rgb.flags.c_contiguous
    assert difference(picture.rgb, expected.rgb) <= expected.tolerance
    assert picture.notes == expected.notes
    assert (picture.height, picture.width) == picture.rgb.shape[:2]


def test_the_tolerance_would_notice_a_wrong_picture() -> None:
    for name, (_, expected) in GOOD.items():
        assert expected.rgb is not None
        assert difference(expected.rgb[:, ::-1], expected.rgb) > 2 * expected.tolerance + 1, name


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_with_their_reason(name: str) -> None:
    content, reason = BAD[name]
    with pytest.raises(SampleError) as caught:
        decode(content, LIMITS)
    assert caught.value.reason == reason
    assert caught.value.detail
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize(("kind", "name"), [(k.lower(), k) for k in ("JPEG", "PNG", "WEBP", "BMP", "TIFF")])
def test_the_format_is_named_by_content(kind: str, name: str) -> None:
    assert decode(save(photographs()[0], name), LIMITS).format == kind


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_no_pixel_is_decoded_above_a_limit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = save(photographs()[0], kind)

    def refuse(_: ImageFile) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(ImageFile, "load", refuse)
    for limits, reason in (
        (IngestConfig(max_pixels=160 * 120 - 1), "too-many-pixels"),
        (IngestConfig(max_bytes=len(content) - 1), "too-many-bytes"),
        (IngestConfig(min_side=121), "too-small"),
    ):
        with pytest.raises(SampleError) as caught:
            decode(content, limits)
        assert caught.value.reason == reason


def test_limits_are_inclusive() -> None:
    content = save(photographs()[0], "PNG")
    picture = decode(content, IngestConfig(max_pixels=160 * 120, max_bytes=len(content), min_side=120))
    assert picture.rgb.shape == (120, 160, 3)


def test_the_pixel_limit_is_the_configured_one() -> None:
    content = save(np.zeros((9_500, 10_000), np.uint8), "PNG", compress_level=1)
    assert decode(content, LIMITS).rgb.shape == (
        973,
        1024,
        3,
    )  # Pillow's own limit is lower
    with pytest.raises(SampleError, match="too-many-pixels"):
        decode(png_of_size(14_000, 14_000), LIMITS)
    with pytest.raises(SampleError, match="truncated"):
        decode(png_of_size(14_000, 14_000), IngestConfig(max_pixels=196_000_000))


def test_shrinking_is_the_mean_of_areas() -> None:
    rgb = load_sample_image("china.jpg")[:400, :640]
    picture = decode(save(rgb, "PNG"), IngestConfig(max_side=160))
    means = rgb.reshape(100, 4, 160, 4, 3).mean(axis=(1, 3))
    assert picture.rgb.shape == (100, 160, 3)
    assert np.abs(picture.rgb - means).max() <= 0.51
    assert (picture.width, picture.height) == (640, 400)


def test_the_short_side_counts_after_shrinking() -> None:
    rgb = np.tile(load_sample_image("china.jpg")[:100], (1, 4, 1))
    content = save(rgb, "PNG")
    assert decode(content, IngestConfig(max_side=2560, min_side=100)).rgb.shape == (100, 2560, 3)
    with pytest.raises(SampleError, match="too-small"):
        decode(content, IngestConfig(max_side=1024, min_side=64))


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(16, 4096))
def test_final_size_keeps_the_shape_and_never_enlarges(width: int, height: int, side: int) -> None:
    new = final_size(width, height, side)
    assert 1 <= new[0] <= width
    assert 1 <= new[1] <= height
    assert max(new) == min(side, max(width, height))
    assert abs(new[0] * height - new[1] * width) <= max(width, height)


def test_a_jpeg_and_its_pixels_as_png_shrink_to_the_same_picture() -> None:
    rgb = cv2.resize(load_sample_image("flower.jpg"), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    jpeg = save(rgb, "JPEG", quality=95)
    png = save(np.asarray(Image.open(io.BytesIO(jpeg))), "PNG", compress_level=1)
    assert np.array_equal(decode(jpeg, LIMITS).rgb, decode(png, LIMITS).rgb)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(kind: str, orientation: int) -> None:
    rgb = photographs()[orientation]
    if kind == "TIFF":
        content = save(rgb, kind, tiffinfo={0x0112: orientation})
    else:
        options = {"lossless": True} if kind == "WEBP" else {"subsampling": 0, "quality": 95}
        content = save(rgb, kind, exif=exif_block(orientation), **options)
    image = Image.fromarray(rgb)
    image.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image))
    picture = decode(content, LIMITS)
    assert picture.rgb.shape == upright.shape
    assert difference(picture.rgb, upright) <= (3 if kind == "JPEG" else 0)
    assert (picture.height, picture.width) == upright.shape[:2]


@pytest.mark.parametrize("depth", [0, 1, 255, 256, 257, 32767, 65534, 65535])
def test_sixteen_bits_become_eight_over_the_whole_range(depth: int) -> None:
    picture = decode(save(Image.fromarray(np.full((80, 80), depth, np.uint16)), "PNG"), LIMITS)
    assert np.unique(picture.rgb).tolist() == [depth // 256]


@pytest.mark.parametrize("name", ["text-bomb.png", "icc-bomb.png"])
def test_packed_chunks_are_not_expanded(name: str) -> None:
    content, _ = GOOD[name]
    tracemalloc.start()
    decode(content, LIMITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000  # each chunk holds 60 MB


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("WEBP", "RGBA")]
)
def test_a_twelve_megapixel_picture_takes_little_memory(kind: str, mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(photographs()[0]).convert(mode).resize((4000, 3000), Image.Resampling.NEAREST)
    image.save(tmp_path / "large", kind, compress_level=1, method=0)
    program = """
import sys
from pathlib import Path
from schemas.config import IngestConfig
from schemas.pictures import decode
assert decode(Path(sys.argv[1]).read_bytes(), IngestConfig()).rgb.shape == (768, 1024, 3)
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "large")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 350


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow],
)
@given(st.sampled_from(sorted(GOOD)), st.data())
def test_damage_is_refused_or_decoded_but_never_crashes(name: str, draw: st.DataObject) -> None:
    content = bytearray(GOOD[name][0])
    for _ in range(draw.draw(st.integers(1, 4))):
        place = draw.draw(
            st.one_of(st.integers(0, min(400, len(content)) - 1), st.integers(0, len(content) - 1))
        )
        piece = draw.draw(st.binary(max_size=6))
        content[place : place + draw.draw(st.integers(0, 6))] = piece
    if draw.draw(st.booleans()):
        del content[draw.draw(st.integers(0, len(content))) :]
    try:
        picture = decode(bytes(content), IngestConfig(max_pixels=4_000_000))
    except SampleError:
        return
    assert picture.rgb.dtype == np.uint8
    assert picture.rgb.ndim == 3


@given(st.binary(max_size=200))
def test_noise_is_not_a_picture(content: bytes) -> None:
    with pytest.raises(SampleError):
        decode(content, LIMITS)
