"""Reads COCO and LVIS instance annotation files: pictures for ingest, and one picture's masks as candidates.

Format: https://cocodataset.org/#format-data. A segmentation is a list of polygons [x1, y1, x2, y2, ...] in
pixels, whose union is the mask, or a run-length encoding {"size": [h, w], "counts": [..] or "..."}, which
alone can have holes. Masks are drawn by pycocotools at the size the file declares, so areas are COCO's, then
scaled to the decoded picture.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from annotation.regions.interface import Candidate, candidate
from schemas import masks
from schemas.errors import InputError, SampleError
from schemas.hashing import canonical_json
from schemas.masks import BoolMask
from schemas.records import Mask

MAX_PIXELS = 2**28  # a declared size above this is refused
Json = dict[str, Any]


@dataclass(frozen=True)
class CocoPicture:
    """One entry of `images`: the name, the id and the license's name or address, None where the file gives
    none. `place` is the name with its folder ("train2017/a.jpg") where the file has only a `coco_url`.
    """

    file_name: str
    id: int | str
    license: str | None
    place: str | None = None


@dataclass(frozen=True)
class CocoIndex:
    """An annotation file, looked up by picture. `orphans` counts annotations whose picture the file does not
    list.
    """

    path: Path
    pictures: tuple[CocoPicture, ...]
    orphans: int
    _sizes: dict[str, tuple[Any, Any]] = field(repr=False)
    _annotations: dict[str, list[Json]] = field(repr=False)
    _categories: dict[Any, str] = field(repr=False)

    def annotations(self, file_name: str) -> Json:
        """What the file says about one picture, as JSON values in an order of their own: `content_key` takes
        it.

        {"width", "height", "annotations": [{"category", "iscrowd", "segmentation", "score"}]}; ids are left
        out, and the annotations are sorted, so equal content gives equal JSON. Nothing is checked here.
        Raises SampleError("not-in-coco") for a picture the file does not list.
        """
        if file_name not in self._sizes:
            raise SampleError("not-in-coco", f"{self.path} lists no picture {file_name!r}")
        width, height = self._sizes[file_name]
        entries = [
            {
                "category": _category(self._categories, entry.get("category_id")),
                "iscrowd": entry.get("iscrowd", 0),
                "segmentation": entry.get("segmentation"),
                "score": entry.get("score"),
            }
            for entry in self._annotations.get(file_name, [])
        ]
        plain: Json = _finite({"width": width, "height": height, "annotations": entries})
        plain["annotations"].sort(key=canonical_json)
        return plain


def load_coco(path: Path) -> CocoIndex:
    """Read an annotation file, once a process as long as it does not change.

    Raises InputError: unreadable, not JSON, not COCO, an id or a name given twice.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path}: can't read this annotation file: {error.strerror or error}") from error
    return _load(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _load(path: Path, changed: int, size: int) -> CocoIndex:
    """`load_coco` of the file as it was at `changed` (ns) with `size` bytes, which only key the cache."""
    data = _read(path)
    images = _list(path, data, "images")
    categories = _categories(path, _list(path, data, "categories"))
    licenses = {
        entry.get("id"): entry.get("name") or entry.get("url")
        for entry in data.get("licenses") or []
        if isinstance(entry, dict) and _is_id(entry.get("id"))
    }
    pictures: list[CocoPicture] = []
    names: dict[Any, str] = {}
    sizes: dict[str, tuple[Any, Any]] = {}
    for number, entry in enumerate(images):
        name = _file_name(entry)
        ident: Any = entry.get("id") if name is not None else None
        if name is None or not _is_id(ident):
            raise InputError(f"{path}: images[{number}] needs an 'id' and a 'file_name'; fix that entry")
        if ident in names or name in sizes:
            raise InputError(
                f"{path}: images[{number}]: the id {ident!r} or the name {name!r} is given twice"
            )
        names[ident] = name
        sizes[name] = (entry.get("width"), entry.get("height"))
        terms = licenses.get(entry.get("license")) if _is_id(entry.get("license")) else None
        pictures.append(CocoPicture(name, ident, terms if isinstance(terms, str) else None, _place(entry)))
    by_picture: dict[str, list[Json]] = defaultdict(list)
    orphans = 0
    for number, entry in enumerate(_list(path, data, "annotations")):
        if not isinstance(entry, dict) or not _is_id(entry.get("image_id")):
            raise InputError(f"{path}: annotations[{number}] needs an 'image_id'; fix that entry")
        if entry["image_id"] in names:
            by_picture[names[entry["image_id"]]].append(entry)
        else:
            orphans += 1
    return CocoIndex(path, tuple(pictures), orphans, sizes, dict(by_picture), categories)


def candidates_of(annotations: Json, height: int, width: int) -> list[Candidate]:
    """Candidates at (height, width) from `CocoIndex.annotations`: crowds and box-only annotations are marked,
    not dropped.

    Raises SampleError with one of the reasons bad-size (no or absurd declared size), size-mismatch (declared
    and decoded pictures have different proportions), bad-polygon, bad-rle, bad-segmentation,
    unknown-category, bad-crowd, bad-score.
    """
    declared = declared_size(annotations["height"], annotations["width"], (height, width))
    return [_candidate(entry, declared, (height, width)) for entry in annotations["annotations"]]


def _candidate(entry: Json, declared: tuple[int, int], size: tuple[int, int]) -> Candidate:
    if entry["category"] is None:
        raise SampleError("unknown-category", "an annotation has a category the file does not list")
    if entry["iscrowd"] not in (0, 1) or isinstance(entry["iscrowd"], float):
        raise SampleError("bad-crowd", f"iscrowd is {entry['iscrowd']!r}")
    score = entry["score"]
    if score is not None and (not is_number(score) or not 0 <= score <= 1):
        raise SampleError("bad-score", f"the score is {score!r}, not a number in 0..1")
    facts = {"crowd": float(entry["iscrowd"])}
    if entry["segmentation"] is None or entry["segmentation"] == []:
        mask, facts["no_mask"] = np.zeros(size, dtype=bool), 1.0
    else:
        mask = scale_mask(draw(entry["segmentation"], *declared), size)
    return candidate(mask, 1.0 if score is None else float(score), entry["category"], score, facts)


def draw(segmentation: Any, height: int, width: int) -> BoolMask:
    """A COCO segmentation (polygons or either run-length encoding) as a boolean (height, width) mask.

    Raises SampleError (bad-polygon, bad-rle, bad-segmentation); what reaches pycocotools is within its
    bounds.
    """
    if isinstance(segmentation, list):
        return _draw_polygons(segmentation, height, width)
    if isinstance(segmentation, dict):
        return _draw_runs(segmentation, height, width)
    raise SampleError(
        "bad-segmentation", f"a segmentation is a list or an object, not {type(segmentation).__name__}"
    )


def _draw_polygons(polygons: list[Any], height: int, width: int) -> BoolMask:
    for points in polygons:
        if (
            not isinstance(points, list)
            or len(points) < 6
            or len(points) % 2
            or not all(map(is_number, points))
        ):
            raise SampleError("bad-polygon", "a polygon is a flat list of at least three x, y pairs")
        xs, ys = points[0::2], points[1::2]
        if min(xs) < -width or max(xs) > 2 * width or min(ys) < -height or max(ys) > 2 * height:
            raise SampleError("bad-polygon", f"a polygon lies far outside its {width} x {height} picture")
    floats = [[float(value) for value in points] for points in polygons]
    merged = coco_mask.merge(coco_mask.frPyObjects(floats, height, width))
    return np.asarray(coco_mask.decode(merged), dtype=bool)


def _draw_runs(runs: Json, height: int, width: int) -> BoolMask:
    size = runs.get("size")
    counts: Any = runs.get("counts")
    if size != [height, width]:
        raise SampleError("bad-rle", f"the encoding's size is {size!r}, the picture's [{height}, {width}]")
    if isinstance(counts, str):
        try:
            return masks.decode(Mask(size=[height, width], counts=counts))
        except ValueError as error:
            raise SampleError("bad-rle", str(error)) from error
    whole = isinstance(counts, list) and all(isinstance(n, int) and not isinstance(n, bool) for n in counts)
    if not whole or min(counts, default=-1) < 0 or sum(counts) != height * width:
        raise SampleError("bad-rle", f"runs are whole numbers from 0 that add up to {height} x {width}")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def scale_mask(mask: BoolMask, size: tuple[int, int]) -> BoolMask:
    """A mask at `size` (height, width): a pixel belongs to it when at least half of its area does."""
    if mask.shape == size:
        return mask
    smaller = size[0] * size[1] < mask.size
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    scaled = cv2.resize(mask.astype(np.float32), (size[1], size[0]), interpolation=way)
    return np.asarray(scaled.reshape(size) >= 0.5)


def declared_size(height: Any, width: Any, decoded: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) a file gives a picture, checked; the decoded picture's proportions are the same to
    within a pixel and a half.

    Raises SampleError (bad-size, size-mismatch).
    """
    for value in (width, height):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SampleError("bad-size", f"the file gives the picture the size {width!r} x {height!r}")
    if width * height > MAX_PIXELS:
        raise SampleError("bad-size", f"{width} x {height} pixels are too many")
    scale = max(decoded) / max(width, height)
    if abs(decoded[1] - width * scale) > 1.5 or abs(decoded[0] - height * scale) > 1.5:
        raise SampleError(
            "size-mismatch", f"annotated at {width} x {height}, the picture has {decoded[1]} x {decoded[0]}"
        )
    return height, width


def _read(path: Path) -> Json:
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: can't read this annotation file: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: this annotation file is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: a COCO file is an object with images, annotations and categories")
    return data


def _list(path: Path, data: Json, key: str) -> list[Any]:
    value = data.get(key)
    if not isinstance(value, list):
        raise InputError(f"{path}: a COCO file has a list '{key}'; this one has none")
    return value


def _categories(path: Path, entries: Sequence[Any]) -> dict[Any, str]:
    found: dict[Any, str] = {}
    for number, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not _is_id(entry.get("id")) or not category_phrase(name):
            raise InputError(f"{path}: categories[{number}] needs an 'id' and a 'name'; fix that entry")
        if entry["id"] in found:
            raise InputError(f"{path}: categories[{number}]: the id {entry['id']!r} is given twice")
        found[entry["id"]] = category_phrase(name)
    return found


def category_phrase(name: str) -> str:
    """A category's name as words: "baseball_bat" is "baseball bat", "bow_(weapon)" is "bow"."""
    words = re.sub(r"\([^)]*\)", " ", name.replace("_", " "))
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())


def _category(categories: dict[Any, str], ident: Any) -> str | None:
    return categories.get(ident) if _is_id(ident) else None


def _file_name(entry: Any) -> str | None:
    """`file_name`, or the last part of LVIS's `coco_url`."""
    if not isinstance(entry, dict):
        return None
    name = entry.get("file_name")
    if name is None and isinstance(entry.get("coco_url"), str):
        name = entry["coco_url"].rsplit("/", 1)[-1]
    return name if isinstance(name, str) and name else None


def _place(entry: Json) -> str | None:
    """The last two parts of LVIS's `coco_url`: its pictures come from several folders of COCO."""
    parts = entry["coco_url"].split("/")[-2:] if isinstance(entry.get("coco_url"), str) else []
    return "/".join(parts) if len(parts) == 2 and all(parts) else None


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) < 1e9
        and math.isfinite(value)
    )


def _finite(value: Any) -> Any:
    """The same JSON value with NaN and infinities as text, which every check then refuses."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value
