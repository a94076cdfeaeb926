"""Picture files made byte by byte: what no encoder writes by itself, around cuts of photographs."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from skimage import data
from sklearn.datasets import load_sample_image

Rgb = NDArray[np.uint8]
WIDTH, HEIGHT = 160, 120


def photographs() -> list[Rgb]:
    """160 x 120 cuts of real photographs, no two alike: each odd file gets a picture of its own."""
    sources = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0]]
    sources += [load_sample_image("china.jpg"), load_sample_image("flower.jpg")]
    cuts = []
    for source in sources:
        for top in range(0, source.shape[0] - HEIGHT + 1, HEIGHT):
            for left in range(0, source.shape[1] - WIDTH + 1, WIDTH):
                cut = np.ascontiguousarray(source[top : top + HEIGHT, left : left + WIDTH])
                if cut.std() > 25:
                    cuts.append(cut)
    return cuts


def save(image: Image.Image | Rgb, kind: str, **options: object) -> bytes:
    """A picture as a file's bytes, by Pillow."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def with_chunk(png: bytes, name: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    return png[:33] + png_chunk(name, content) + png[33:]


def png_of_size(width: int, height: int, color: int = 2, depth: int = 8) -> bytes:
    """A PNG whose header claims a size and whose pixel data is eight bytes long."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(b""))
        + png_chunk(b"IEND", b"")
    )


def jpeg_resized(jpeg: bytes, width: int, height: int, precision: int = 8) -> bytes:
    """A JPEG whose frame header claims another size or precision."""
    start = max(jpeg.find(b"\xff\xc0"), jpeg.find(b"\xff\xc2"))
    return jpeg[: start + 4] + struct.pack(">BHH", precision, height, width) + jpeg[start + 9 :]


def tiff_directory(entries: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    """A little-endian TIFF of one directory at byte 8: (tag, type 3 short | 4 long, count, value) entries."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\x00" + struct.pack("<IH", 8, len(entries)) + packed + struct.pack("<I", following)


def raw_tiff(
    pixels: NDArray[np.generic], photometric: int, sample_format: int = 1, following: int = 0, **more: int
) -> bytes:
    """An uncompressed little-endian TIFF of (H, W) or (H, W, C) pixels; `more`: entries such as t254=1."""
    height, width = pixels.shape[:2]
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    bits, content = pixels.dtype.itemsize * 8, pixels.tobytes()
    extra = [(int(name[1:]), 4, 1, value) for name, value in more.items()]
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (277, 3, 1, samples),
    ]
    entries += [(278, 4, 1, height), (279, 4, 1, len(content)), *extra]
    place = 8 + 2 + 12 * (len(entries) + 3) + 4
    shorts = struct.pack("<HHH", bits, bits, bits) + struct.pack("<HHH", *[sample_format] * 3)
    if samples == 1:
        entries += [(258, 3, 1, bits), (339, 3, 1, sample_format)]
    else:
        entries += [(258, 3, 3, place), (339, 3, 3, place + 6)]
    entries.append((273, 4, 1, place + 12))
    return tiff_directory(entries, following) + shorts + content


def raw_tiff_claiming(width: int, height: int) -> bytes:
    tiff = raw_tiff(np.zeros((4, 4, 3), np.uint8), 2)
    for tag, value in ((256, width), (257, height)):
        entry = tiff.index(struct.pack("<HHI", tag, 4, 1))
        tiff = tiff[: entry + 8] + struct.pack("<I", value) + tiff[entry + 12 :]
    return tiff


def swapped_profile() -> bytes:
    """An RGB profile whose red and green primaries have changed places: sRGB means swapped channels."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    count = struct.unpack_from(">I", profile, 128)[0]
    table = bytearray(profile[: 132 + 12 * count])
    red, green = table.index(b"rXYZ", 132), table.index(b"gXYZ", 132)
    table[red + 4 : red + 12], table[green + 4 : green + 12] = (
        table[green + 4 : green + 12],
        table[red + 4 : red + 12],
    )
    return bytes(table) + profile[len(table) :]


def ycck_jpeg(rgb: Rgb) -> bytes:
    """A four-component JPEG as Photoshop writes it: inverted CMYK stored as YCCK, Adobe transform 2."""
    cmyk = np.asarray(Image.fromarray(rgb).convert("CMYK"))
    ycc = np.asarray(Image.fromarray(np.ascontiguousarray(cmyk[:, :, :3])).convert("YCbCr"))
    stored = np.dstack([ycc, 255 - cmyk[:, :, 3]])
    jpeg = save(
        Image.frombytes("CMYK", (rgb.shape[1], rgb.shape[0]), (255 - stored).tobytes()), "JPEG", quality=97
    )
    adobe = jpeg.index(b"Adobe")
    return jpeg[: adobe + 11] + b"\x02" + jpeg[adobe + 12 :]


def rgb16_png(rgb: Rgb) -> bytes:
    wide = rgb[:, :, ::-1].astype(np.uint16) * 256 + 0x37
    return bytes(cv2.imencode(".png", wide)[1])


def on_white(rgb: Rgb, alpha: NDArray[np.uint8]) -> Rgb:
    share = alpha[:, :, None] / 255
    return np.asarray(np.round(rgb * share + 255 * (1 - share)), np.uint8)


def exif_block(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def gradient_alpha() -> NDArray[np.uint8]:
    return np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))


def palette_png(rgb: Rgb, transparent: bool = False) -> tuple[bytes, Rgb]:
    image = Image.fromarray(rgb).quantize(64)
    flat = np.asarray(image.convert("RGB"))
    if not transparent:
        return save(image, "PNG"), flat
    shares = bytes(range(0, 256, 4))
    alpha = np.frombuffer(shares, np.uint8)[np.asarray(image)]
    return save(image, "PNG", transparency=shares), on_white(flat, alpha)


def alpha_file(kind: str, **options: object) -> Callable[[Rgb], tuple[bytes, Rgb]]:
    def make(rgb: Rgb) -> tuple[bytes, Rgb]:
        alpha = gradient_alpha()
        return save(np.dstack([rgb, alpha]), kind, **options), on_white(rgb, alpha)

    return make


def gray_alpha_png(rgb: Rgb) -> tuple[bytes, Rgb]:
    gray, alpha = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), gradient_alpha()
    image = Image.merge("LA", [Image.fromarray(gray), Image.fromarray(alpha)])
    return save(image, "PNG"), on_white(np.repeat(gray[:, :, None], 3, axis=2), alpha)


def color_key_png(rgb: Rgb) -> tuple[bytes, Rgb]:
    key = rgb[HEIGHT // 2, WIDTH // 2]
    white = rgb.copy()
    white[(rgb == key).all(axis=2)] = 255
    return save(rgb, "PNG", transparency=tuple(int(v) for v in key)), white


def lab_tiff(rgb: Rgb) -> tuple[bytes, Rgb]:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(Image.fromarray(rgb), to_lab)
    assert lab is not None
    return save(lab, "TIFF"), rgb


def icc_bomb(rgb: Rgb) -> tuple[bytes, Rgb]:
    return with_chunk(save(rgb, "PNG"), b"iCCP", b"bomb\x00\x00" + zlib.compress(bytes(60_000_000), 9)), rgb


def text_bomb(rgb: Rgb) -> tuple[bytes, Rgb]:
    packed = zlib.compress(bytes(60_000_000), 9)
    png = with_chunk(save(rgb, "PNG"), b"zTXt", b"bomb\x00\x00" + packed)
    return with_chunk(png, b"iTXt", b"bomb\x00\x01\x00\x00\x00" + packed), rgb


def add_comments(jpeg: bytes) -> bytes:
    return jpeg[:2] + (b"\xff\xfe\xff\xff" + b"\xff\xd8\xff\xda" * 16383 + b"x") * 8 + jpeg[2:]


def animated(kind: str, **options: object) -> Callable[[Rgb], tuple[bytes, Rgb]]:
    def make(rgb: Rgb) -> tuple[bytes, Rgb]:
        later = [Image.fromarray(255 - rgb), Image.fromarray(rgb[::-1])]
        return save(rgb, kind, save_all=True, append_images=later, **options), rgb

    return make


def top_down_bmp(rgb: Rgb) -> tuple[bytes, Rgb]:
    bmp = save(rgb[::-1], "BMP")
    return bmp[:22] + struct.pack("<i", -HEIGHT) + bmp[26:], rgb
