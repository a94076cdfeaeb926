"""Masks of distortion classes as annotations give them: a PNG file or a run-length encoding, a class."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from inference.evaluation.benchmark_files import MAX_TEXT, Record, read_bytes, safe_name
from schemas import masks
from schemas.errors import InputError
from schemas.masks import BoolMask
from schemas.records import Mask

CLASSES = ("jitter", "noise", "overexposure", "blur", "low light")
"""The five classes of QGround-100K (arXiv 2407.17035)."""
MAX_PIXELS = 100_000_000
Source = str | Mask
"""A mask file's path below the data's folder, or a mask."""
_PNG = b"\x89PNG\r\n\x1a\n"
_SPELLINGS = {kind.replace(" ", ""): kind for kind in CLASSES}


@dataclass(frozen=True)
class Drawn:
    """A class drawn into a mask. `value`: the pixels of this value; None: all pixels that aren't 0."""

    kind: str
    source: Source
    value: int | None = None


def class_of(words: str) -> str | None:
    """The class that a text names and nothing else: "low light", "Low-Light", "over-exposure"."""
    plain = "".join(character for character in words.casefold() if character not in " -_")
    return _SPELLINGS.get(plain)


def read_classes(path: Path) -> dict[int, str]:
    """`{"1": "jitter", ...}`: what the values of index masks stand for. Raises InputError."""
    try:
        told = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not valid JSON; give what each mask value stands for, as 1: jitter"
        ) from error
    found: dict[int, str] = {}
    for value, words in told.items() if isinstance(told, dict) else ():
        kind = class_of(words) if isinstance(words, str) else None
        if not value.isdigit() or not 1 <= int(value) <= 255 or kind is None or kind in found.values():
            break
        found[int(value)] = kind
    if not isinstance(told, dict) or not found or len(found) != len(told):
        raise InputError(f"{path}: not values from 1 to 255, each with one of {', '.join(CLASSES)}")
    return found


def drawn(annotation: Record, values: Mapping[int, str]) -> list[Drawn]:
    """What an annotation draws, found by form, because the names of its fields aren't documented.

    One field has to give a mask (a path that ends in .png, or {"size", "counts"}) and one to name a class.
    An annotation without a class is an index mask: `values` say what its pixels stand for. Several masks,
    several classes, or neither, is an InputError that lists the fields: nothing is guessed.
    """
    sources = [source for value in annotation.values.values() for source in _sources(annotation, value)]
    kinds = {kind for value in annotation.values.values() for kind in _kinds(value)}
    fields = annotation.fields()
    if len(sources) != 1 or len(kinds) > 1:
        what = "no mask" if not sources else "several masks" if len(sources) > 1 else "several classes"
        raise annotation.wrong(
            f"{what} in its fields ({fields}); one PNG path or RLE and one class are known"
        )
    if kinds:
        return [Drawn(kinds.pop(), sources[0])]
    if not values or not isinstance(sources[0], str):
        raise annotation.wrong(
            f"no class in its fields ({fields}); where a mask's values are the classes, put classes.json "
            'beside it, as {"1": "jitter"}'
        )
    return [Drawn(kind, sources[0], value) for value, kind in values.items()]


def _sources(annotation: Record, value: Any) -> list[Source]:
    if isinstance(value, str) and len(value) <= MAX_TEXT and value.strip().lower().endswith(".png"):
        name = value.strip().removeprefix("./")
        if not safe_name(name):
            raise annotation.wrong(f"{name[:80]!a} is not a path below the data's folder")
        return [name.removeprefix("masks/")]
    if isinstance(value, dict) and "counts" in value:
        try:
            mask = Mask.model_validate({"size": value.get("size"), "counts": value["counts"]})
            masks.area(mask)
        except (ValidationError, ValueError) as error:
            what = "size and counts" if isinstance(error, ValidationError) else str(error)
            raise annotation.wrong(f"not a run-length encoding of a mask: {what}") from error
        return [mask]
    return []


def _kinds(value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    return [kind for text in texts if isinstance(text, str) and (kind := class_of(text)) is not None]


def union(parts: Sequence[Drawn], files: Mapping[str, Path], where: str) -> Mask:
    """All parts as one mask. Raises InputError for files that are no masks, and for different sizes."""
    whole: BoolMask | None = None
    for part in parts:
        if isinstance(part.source, Mask):
            found = masks.decode(part.source)
        else:
            found = _chosen(files[part.source], part.value)
        if whole is not None and whole.shape != found.shape:
            raise InputError(f"{where}: masks of {list(whole.shape)} and {list(found.shape)} pixels")
        whole = found if whole is None else whole | found
    if whole is None:
        raise ValueError("no parts")
    return masks.encode(whole)


def _chosen(path: Path, value: int | None) -> BoolMask:
    """The pixels of a mask file that have `value`, or, for a mask of two values, those that aren't 0."""
    pixels = read_mask(path)
    if value is not None:
        return np.asarray(pixels == value)
    seen = np.unique(pixels)
    if len(seen[seen > 0]) > 1:
        shown = ", ".join(str(number) for number in seen[:8])
        raise InputError(
            f"{path}: values {shown}: neither a mask of 0 and one other value nor one with classes.json"
        )
    return np.asarray(pixels > 0)


def read_mask(path: Path) -> NDArray[np.uint8]:
    """(H, W) uint8 of a PNG of 8 bits with one channel, a palette's indices, or three equal channels.

    Raises InputError.
    """
    data = read_bytes(path)
    if not data.startswith(_PNG) or len(data) < 33 or data[12:16] != b"IHDR":
        raise InputError(f"{path}: not a PNG file; give the masks as published")
    width, height, depth, color_type = struct.unpack_from(">IIBB", data, 16)
    if not 0 < width * height <= MAX_PIXELS or depth > 8:
        raise InputError(f"{path}: {width} x {height} pixels of {depth} bits; masks have 8 bits")
    pixels = _palette_indices(data) if color_type == 3 else _gray(data)
    if pixels is None or pixels.shape != (height, width):
        raise InputError(f"{path}: not a mask: it can't be decoded to one channel")
    return pixels


def _palette_indices(data: bytes) -> NDArray[np.uint8] | None:
    import io

    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            return np.asarray(image, dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError):
        return None


def _gray(data: bytes) -> NDArray[np.uint8] | None:
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if found is None or found.dtype != np.uint8:
        return None
    if found.ndim == 3 and all((found[..., 0] == found[..., channel]).all() for channel in (1, 2)):
        return np.ascontiguousarray(found[..., 0])
    return np.asarray(found) if found.ndim == 2 else None
