"""A folder of hostile and merely odd picture files, each with what must become of it."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.picture_bytes import (
    HEIGHT,
    WIDTH,
    Rgb,
    add_comments,
    alpha_file,
    animated,
    color_key_png,
    exif_block,
    gray_alpha_png,
    icc_bomb,
    jpeg_resized,
    lab_tiff,
    palette_png,
    photographs,
    png_chunk,
    png_of_size,
    raw_tiff,
    raw_tiff_claiming,
    rgb16_png,
    save,
    swapped_profile,
    text_bomb,
    tiff_directory,
    top_down_bmp,
    ycck_jpeg,
)


@dataclass(frozen=True)
class Expected:
    """What must become of one file.

    outcome: "good", "duplicate" (of another file), "ignored", or the reason it is quarantined with. For good
    ones: `rgb` the picture it holds, `tolerance` the largest mean difference in gray levels, `notes` those of
    Picture.
    """

    outcome: str
    rgb: Rgb | None = None
    tolerance: float = 0.0
    notes: tuple[str, ...] = ()


def good_files() -> dict[str, tuple[bytes, Expected]]:
    """Files that must decode, with the picture they hold."""
    cuts = iter(photographs())
    files: dict[str, tuple[bytes, Expected]] = {}

    def put(name: str, make: Callable[[Rgb], tuple[bytes, Rgb]], tolerance: float = 0.0, *notes: str) -> None:
        content, rgb = make(next(cuts))
        files[name] = content, Expected("good", rgb, tolerance, notes)

    def plain(kind: str, **options: object) -> Callable[[Rgb], tuple[bytes, Rgb]]:
        return lambda rgb: (save(rgb, kind, **options), rgb)

    def turned(
        kind: str, orientation: int, turn: Callable[[Rgb], Rgb], **options: object
    ) -> Callable[[Rgb], tuple[bytes, Rgb]]:
        return lambda rgb: (save(rgb, kind, exif=exif_block(orientation), **options), turn(rgb))

    def gray(rgb: Rgb) -> NDArray[np.uint8]:
        return np.ascontiguousarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)

    def three(values: NDArray[np.uint8]) -> Rgb:
        return np.repeat(values[:, :, None], 3, axis=2)

    def wide(rgb: Rgb) -> NDArray[np.uint16]:
        return gray(rgb).astype(np.uint16) * 256 + 0x5B

    lossless: dict[str, object] = {"lossless": True}
    put("plain.jpg", plain("JPEG", quality=95), 4)
    put("progressive.jpg", plain("JPEG", quality=95, progressive=True), 4)
    put("UPPER.JPG", plain("JPEG", quality=95), 4)
    put("plain.png", plain("PNG"))
    put("plain.webp", plain("WEBP", **lossless))
    put("plain.bmp", plain("BMP"))
    put("plain.tiff", plain("TIFF", compression="tiff_lzw"))
    put("lossy.webp", plain("WEBP", quality=95), 4)
    put("jpeg-in-tiff.tif", plain("TIFF", compression="jpeg", quality=95), 4)
    put("png-named.jpg", plain("PNG"))
    put("double.tar.jpeg", plain("JPEG", quality=95), 4)
    put("line\nbreak.png", plain("PNG"))
    put("été 写真.png", plain("PNG"))
    put(os.fsdecode(b"bad-utf8-\xff\xfe.png"), plain("PNG"))
    put("folder.jpg/inside.png", plain("PNG"))
    put("deep/er/still.png", plain("PNG"))
    put("grey.png", lambda rgb: (save(gray(rgb), "PNG"), three(gray(rgb))))
    put("grey.jpg", lambda rgb: (save(gray(rgb), "JPEG", quality=95), three(gray(rgb))), 4)
    put("grey16.png", lambda rgb: (save(Image.fromarray(wide(rgb)), "PNG"), three(gray(rgb))))
    put("grey16.tiff", lambda rgb: (save(Image.fromarray(wide(rgb)), "TIFF"), three(gray(rgb))))
    put("grey16-white-is-zero.tiff", lambda rgb: (raw_tiff(65535 - wide(rgb), 0), three(gray(rgb))))
    put("rgb16.png", lambda rgb: (rgb16_png(rgb), rgb))
    put("rgb16.tiff", lambda rgb: (raw_tiff(rgb.astype(np.uint16) * 256 + 9, 2), rgb))
    put("cmyk.jpg", lambda rgb: (save(Image.fromarray(rgb).convert("CMYK"), "JPEG", quality=97), rgb), 3)
    put("cmyk.tiff", lambda rgb: (save(Image.fromarray(rgb).convert("CMYK"), "TIFF"), rgb), 1)
    put("ycck.jpg", lambda rgb: (ycck_jpeg(rgb), rgb), 4)
    put("lab.tiff", lab_tiff, 2)
    put(
        "one-bit.png",
        lambda rgb: (
            save(Image.fromarray(gray(rgb) > 127), "PNG"),
            three((gray(rgb) > 127).astype(np.uint8) * 255),
        ),
    )
    put("palette.png", palette_png)
    put("palette-transparent.png", lambda rgb: palette_png(rgb, transparent=True), 0.5, "alpha-on-white")
    put("alpha.png", alpha_file("PNG"), 0.5, "alpha-on-white")
    put("alpha.webp", alpha_file("WEBP", lossless=True, exact=True), 0.5, "alpha-on-white")
    put("opaque-alpha.png", lambda rgb: (save(Image.fromarray(rgb).convert("RGBA"), "PNG"), rgb))
    put("grey-alpha.png", gray_alpha_png, 0.5, "alpha-on-white")
    put("colour-key.png", color_key_png, 0.0, "alpha-on-white")
    put("exif-2.jpg", turned("JPEG", 2, lambda a: a[:, ::-1], quality=95), 4)
    put("exif-3.png", turned("PNG", 3, lambda a: a[::-1, ::-1]))
    put("exif-5.webp", turned("WEBP", 5, lambda a: a.transpose(1, 0, 2), **lossless))
    put("exif-6.jpg", turned("JPEG", 6, lambda a: np.rot90(a, -1), quality=95), 4)
    put("exif-8.tiff", lambda rgb: (save(rgb, "TIFF", tiffinfo={0x0112: 8}), np.rot90(rgb)))
    put("exif-nonsense.jpg", turned("JPEG", 77, lambda a: a, quality=95), 4)
    put(
        "exif-broken.jpg",
        lambda rgb: (save(rgb, "JPEG", quality=95, exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff"), rgb),
        3,
    )
    put(
        "icc-swapped.png",
        lambda rgb: (save(rgb, "PNG", icc_profile=swapped_profile()), rgb[:, :, (1, 0, 2)]),
        2,
        "icc-applied",
    )
    put("icc-broken.jpg", plain("JPEG", quality=95, icc_profile=b"no profile" * 30), 3, "icc-ignored")
    put(
        "icc-unfitting.png",
        lambda rgb: (save(gray(rgb), "PNG", icc_profile=swapped_profile()), three(gray(rgb))),
        0,
        "icc-ignored",
    )
    put("icc-bomb.png", icc_bomb, 0.0, "icc-ignored")
    put("text-bomb.png", text_bomb)
    put("comments.jpg", lambda rgb: (add_comments(save(rgb, "JPEG", quality=95)), rgb), 4)
    put("garbage-behind.jpg", lambda rgb: (save(rgb, "JPEG", quality=95) + b"\xff\xda\x00" * 5000, rgb), 4)
    put("animated.png", animated("PNG"), 0.0, "first-frame")
    put("animated.webp", animated("WEBP", lossless=True), 0.0, "first-frame")
    put("pages.tiff", animated("TIFF"), 0.0, "first-page")
    put("directory-loop.tiff", lambda rgb: (raw_tiff(rgb, 2, following=8), rgb), 0.0, "first-page")
    put("top-down.bmp", top_down_bmp)
    return files


def bad_files() -> dict[str, tuple[bytes, str]]:
    """Files that must be refused, with the reason. One photograph serves all: none of them is decoded."""
    rgb = photographs()[-1]
    jpeg, progressive = save(rgb, "JPEG", quality=90), save(rgb, "JPEG", quality=90, progressive=True)
    png, webp, bmp = save(rgb, "PNG"), save(rgb, "WEBP"), save(rgb, "BMP")
    tiff, lzw = save(rgb, "TIFF"), save(rgb, "TIFF", compression="tiff_lzw")
    scan = progressive.rindex(b"\xff\xda")
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0x10
    data_start = png.index(b"IDAT") + 4
    return {
        "empty.jpg": (b"", "empty-file"),
        "text.jpg": (b"these are words, not a photograph\n" * 20, "not-a-picture"),
        "text-bm.bmp": (b"BMW is a car, and this is a text about it, not a bitmap.\n", "not-a-picture"),
        "page.png": (b"<!DOCTYPE html><html><body>404 not found</body></html>", "not-a-picture"),
        "document.jpg": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n", "not-a-picture"),
        "zeros.jpg": (bytes(5000), "not-a-picture"),
        "one-byte.png": (b"\x89", "not-a-picture"),
        "animation.gif": (save(rgb, "GIF"), "unsupported-format"),
        "gif-named.png": (save(rgb[::2], "GIF"), "unsupported-format"),
        "phone.heic": (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64), "unsupported-format"),
        "film.jp2": (save(rgb, "JPEG2000"), "unsupported-format"),
        "drawing.svg": (
            b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
            "unsupported-format",
        ),
        "raw-preview.dng": (raw_tiff(rgb, 2, t254=1), "unsupported-format"),
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "truncated-progressive.jpg": (progressive[: len(progressive) // 2], "truncated"),
        "tail-zeroed.jpg": (jpeg[: len(jpeg) // 2] + bytes(len(jpeg) // 2), "truncated"),
        "truncated.png": (png[: len(png) // 2], "truncated"),
        "no-end.png": (png[:-12], "truncated"),
        "half-header.png": (png[:20], "truncated"),
        "truncated.webp": (webp[: len(webp) // 2], "truncated"),
        "truncated.bmp": (bmp[: len(bmp) // 2], "truncated"),
        "truncated.tiff": (tiff[: len(tiff) // 2], "truncated"),
        "directory-lost.tiff": (lzw[: len(lzw) // 2], "truncated"),
        "half-header.jpg": (jpeg[:30], "truncated"),
        "checksum.png": (bytes(flipped), "broken-data"),
        "garbage-pixels.png": (
            png[:33] + png_chunk(b"IDAT", b"x\x9c" + bytes(range(256)) * 4) + png_chunk(b"IEND", b""),
            "broken-data",
        ),
        "no-pixels.png": (png[:33] + png_chunk(b"IEND", b""), "broken-data"),
        "short-pixels.png": (
            png[:33] + png_chunk(b"IDAT", png[data_start : data_start + 2000]) + png_chunk(b"IEND", b""),
            "truncated",
        ),
        "zero-width.png": (png_of_size(0, 100), "broken-header"),
        "odd-depth.png": (png_of_size(100, 100, depth=3), "broken-header"),
        "negative-width.bmp": (bmp[:18] + struct.pack("<i", -WIDTH) + bmp[22:], "broken-header"),
        "no-size.tiff": (tiff_directory([(262, 3, 1, 2)]) + bytes(50), "broken-header"),
        "webp-of-nothing.webp": (b"RIFF" + struct.pack("<I", 40) + b"WEBPJUNK" + bytes(40), "broken-header"),
        "bomb.png": (png_of_size(60_000, 60_000), "too-many-pixels"),
        "bomb.jpg": (jpeg_resized(jpeg, 65_500, 65_500), "too-many-pixels"),
        "bomb.webp": (
            b"RIFF"
            + struct.pack("<I", 30)
            + b"WEBPVP8X"
            + struct.pack("<I", 10)
            + bytes(4)
            + (16_382).to_bytes(3, "little") * 2
            + bytes(8),
            "too-many-pixels",
        ),
        "bomb.bmp": (bmp[:18] + struct.pack("<ii", 50_000, 50_000) + bmp[26:], "too-many-pixels"),
        "bomb.tiff": (raw_tiff_claiming(70_000, 70_000), "too-many-pixels"),
        "tile-bomb.tiff": (raw_tiff(rgb, 2, t322=1 << 20, t323=1 << 20), "too-many-pixels"),
        "scan-bomb.jpg": (
            progressive[:scan] + progressive[scan:-2] * 200 + b"\xff\xd9",
            "decompression-bomb",
        ),
        "1x1.png": (save(rgb[:1, :1], "PNG"), "too-small"),
        "1x5000.png": (save(np.zeros((5000, 1, 3), np.uint8), "PNG"), "too-small"),
        "5000x20.jpg": (save(np.zeros((20, 5000, 3), np.uint8), "JPEG"), "too-small"),
        "float.tiff": (
            save(Image.fromarray(rgb[:, :, 0].astype(np.float32)), "TIFF"),
            "unsupported-encoding",
        ),
        "signed.tiff": (raw_tiff(rgb[:, :, 0].astype(np.int16), 1, sample_format=2), "unsupported-encoding"),
        "double.tiff": (
            raw_tiff(rgb[:, :, 0].astype(np.float64), 1, sample_format=3),
            "unsupported-encoding",
        ),
        "twelve-bit.jpg": (jpeg_resized(jpeg, WIDTH, HEIGHT, precision=12), "unsupported-encoding"),
    }


def write_hostile(folder: Path) -> dict[str, Expected]:
    """Fill `folder` (created) and say what must become of each entry, by its name relative to `folder`.

    "outside.png" is written beside `folder`, as the target of a link. Permissions don't stop a superuser: for
    one, "unreadable.jpg" is good and "locked/" hides nothing, and their expectations say so.
    """
    expected: dict[str, Expected] = {}
    for name, (content, outcome) in good_files().items():
        _write(folder, name, content)
        expected[name] = outcome
    for name, (content, reason) in bad_files().items():
        _write(folder, name, content)
        expected[name] = Expected(reason)
    expected.update(_write_special(folder))
    return expected


def _write(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _write_special(folder: Path) -> dict[str, Expected]:
    """Links, pipes, permissions and files beside the pictures."""
    cuts = photographs()
    for name in ("notes.txt", ".DS_Store", "._plain.jpg", "photo.jpg.txt", "index.json"):
        _write(folder, name, b"not a picture, and not named like one")
    _write(folder, "copy-of-plain.png", (folder / "plain.png").read_bytes())
    _write(folder.parent, "outside.png", save(cuts[-2], "PNG"))
    for link, target in {
        "dangling.jpg": "gone.jpg",
        "loop-a.jpg": "loop-b.jpg",
        "loop-b.jpg": "loop-a.jpg",
        "deep/up": "..",
        "outside-link.png": "../outside.png",
        "outside-folder": "/usr",
        "to-deep": "deep",
        "linked.bmp": "plain.bmp",
    }.items():
        (folder / link).symlink_to(target)
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        previous = Path.cwd()
        os.chdir(folder)  # a socket's path may be no longer than about 100 bytes
        try:
            listener.bind("socket.jpg")
        finally:
            os.chdir(previous)
    _write(folder, "unreadable.jpg", save(cuts[-3], "JPEG", quality=95))
    _write(folder, "locked/hidden.png", save(cuts[-4], "PNG"))
    (folder / "unreadable.jpg").chmod(0)
    (folder / "locked").chmod(0)
    free = os.access(folder / "unreadable.jpg", os.R_OK)
    locked = (
        {"locked/hidden.png": Expected("good", cuts[-4])}
        if free
        else {"locked/": Expected("unreadable-folder")}
    )
    ignored = ("notes.txt", ".DS_Store", "._plain.jpg", "photo.jpg.txt", "index.json", "to-deep")
    return {
        **{name: Expected("ignored") for name in ignored},
        "copy-of-plain.png": Expected("good", good_files()["plain.png"][1].rgb),
        "plain.png": Expected("duplicate"),
        "linked.bmp": Expected("good", good_files()["plain.bmp"][1].rgb),
        "plain.bmp": Expected("duplicate"),
        "dangling.jpg": Expected("dangling-link"),
        "loop-a.jpg": Expected("link-loop"),
        "loop-b.jpg": Expected("link-loop"),
        "deep/up": Expected("link-loop"),
        "outside-link.png": Expected("link-outside"),
        "outside-folder": Expected("link-outside"),
        "pipe.jpg": Expected("not-a-file"),
        "socket.jpg": Expected("not-a-file"),
        "unreadable.jpg": Expected("good", cuts[-3], 4) if free else Expected("unreadable"),
        **locked,
    }
