"""Pictures: untrusted files to upright 8-bit RGB, lossless PNG, pixel hashes and near duplicates."""

from __future__ import annotations

from schemas.pictures.decoding import Picture, decode
from schemas.pictures.lossless import encode, load_png, pixel_hash
from schemas.pictures.similar import NearPictures, fingerprint, near_duplicates, perceptual_hash

__all__ = [
    "NearPictures",
    "Picture",
    "decode",
    "encode",
    "fingerprint",
    "load_png",
    "near_duplicates",
    "perceptual_hash",
    "pixel_hash",
]
