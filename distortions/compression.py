"""Compression: JPEG on the picture's own 8x8 grid and JPEG 2000."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image as PillowImage

from distortions.frame import Frame, Image

JPEG_GRID = 16
_JPEG_LIMIT = 65_500


def jpeg(pixels: Image, frame: Frame, quality: float) -> Image:
    """Baseline JPEG, 4:2:0, through libjpeg's `quality` (1 to 100).

    Boxes must start on multiples of `JPEG_GRID`.
    """
    del frame
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        int(np.clip(round(quality), 1, 100)),
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    if max(pixels.shape[:2]) > _JPEG_LIMIT:
        raise ValueError(f"JPEG can't hold a side above {_JPEG_LIMIT} pixels; got {pixels.shape[:2]}")
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    if not ok:
        raise RuntimeError("OpenCV couldn't encode this picture as JPEG")
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), dtype=np.uint8)


def jpeg_padding(frame: Frame, quality: float) -> int:
    """Reach in pixels: a block and the neighbor that chroma is interpolated from."""
    del frame, quality
    return JPEG_GRID


def jpeg_2000(pixels: Image, frame: Frame, target: float, unit: str) -> Image:
    """JPEG 2000 of the box to a `target`: a peak signal-to-noise ratio (`unit` "dB") or a compression ratio.

    The compression ratio (`unit` "ratio") is the picture's 24 bits per pixel over the file's bits.
    """
    del frame
    buffer = io.BytesIO()
    levels = max(1, min(6, int(np.log2(max(1, min(pixels.shape[:2]))))))
    picture = PillowImage.fromarray(pixels)
    picture.save(
        buffer,
        "JPEG2000",
        quality_mode="dB" if unit == "dB" else "rates",
        quality_layers=[target],
        num_resolutions=levels,
        no_jp2=True,
    )
    buffer.seek(0)
    with PillowImage.open(buffer) as decoded:
        return np.array(decoded.convert("RGB"), dtype=np.uint8)


def jpeg_2000_padding(frame: Frame, target: float, unit: str) -> int:
    """Context in pixels around a region's box."""
    del frame, target, unit
    return 32
