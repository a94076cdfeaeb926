"""What the commands of inference open: pictures, models, and regions, named in the words of training."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from logging import ERROR, getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from schemas import masks
from schemas.config import IngestConfig, RegionsConfig
from schemas.errors import InputError, SampleError
from schemas.masks import BoolMask

if TYPE_CHECKING:
    from inference.answers import Encoded, Result, Segmenter, Strategy
    from inference.models import Dtype
    from inference.spider import Spider

RgbImage = NDArray[np.uint8]
Kind = Literal["whole", "region", "short", "long"]

LIMITS = IngestConfig(max_side=16384, min_side=16)
"""A picture is taken at its own size, so that points and masks are in its pixels."""
_QUESTIONS: Mapping[Kind, tuple[str, int]] = {
    "whole": ("global_ask_full", 0),
    "region": ("local_ask", 2),
    "short": ("short_ask", 0),
    "long": ("long_ask", 0),
}
"""Which question of the training rows each command asks: the entry of `phrases` in the wording file, and the
option's number there.
"""
_BOX_FITS = 0.5
_NUMBERS = re.compile(r"\s*-?\d+(\.\d+)?(\s*,\s*-?\d+(\.\d+)?)*\s*")


def open_spider(
    model: str,
    *,
    revision: str | None,
    server: str | None,
    segmenter: Segmenter,
    strategy: Strategy,
    max_tokens: int,
    device: str,
    dtype: Dtype,
    calibration: Path | None = None,
) -> Spider:
    """The model that the command line names, in front of a segmenter. Raises InputError."""
    from inference.calibration import load
    from inference.points import ONE
    from inference.reading import PROMPT, Sampling
    from inference.sources import named
    from inference.spider import Spider

    sampling = Sampling(max_new_tokens=max_tokens)
    temperatures = ONE
    if calibration is not None:
        way: Literal["paper", "grid"] = "paper" if strategy == "paper" else "grid"
        temperatures = load(calibration, named(model, revision), PROMPT, way).temperatures
    if server is None:
        return Spider(
            model,
            segmenter,
            strategy,
            temperatures=temperatures,
            sampling=sampling,
            revision=revision,
            dtype=dtype,
            device=device,
        )
    from inference.server import ServerSource

    return Spider(ServerSource(server, model, sampling), segmenter, strategy, temperatures=temperatures)


def check_server(
    server: str | None,
    *,
    revision: str | None,
    device: str,
    dtype: str,
    segmenter: str,
    with_calibration: bool,
) -> None:
    """Raises InputError for options of a model that is loaded here, where one behind a server is asked: the
    revision names a calibration's model, the device is a SAM's, and nothing else would use them.
    """
    if server is None:
        return
    idle = {
        "--dtype": dtype != "auto",
        "--device": device != "auto" and segmenter == "graph",
        "--revision": revision is not None and not with_calibration,
    }
    for option, given in idle.items():
        if given:
            raise InputError(f"{option}: with --server nothing uses it, the model runs there; leave it out")


def open_segmenter(name: str, device: str) -> Segmenter:
    """The segmenter that the command line names. Raises InputError."""
    quiet_models()
    from inference.segmenters import make_segmenter

    return make_segmenter(name, device)


def quiet_models() -> None:
    """From here on transformers shows no progress bars and gives no advice: errors are one line."""
    if find_spec("transformers") is not None:
        from transformers.utils import logging as told

        getLogger("huggingface_hub").setLevel(ERROR)
        logging: Any = told
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def open_picture(path: Path) -> RgbImage:
    """The picture in a file as (H, W, 3) uint8 RGB, upright, at its own size. Raises InputError."""
    from schemas.pictures import decode

    try:
        size = path.stat().st_size
        if size > LIMITS.max_bytes:
            raise InputError(f"{path}: has {size} bytes; the limit is {LIMITS.max_bytes}")
        return decode(path.read_bytes(), LIMITS).rgb
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}; give a picture") from error
    except SampleError as error:
        raise InputError(f"{path}: {error.reason}: {error.detail}; give another picture") from error


def open_mask(path: Path, shape: tuple[int, ...]) -> BoolMask:
    """The region that a picture file marks by all that isn't black, of the shape (H, W, ...) of the picture
    it belongs to. Raises InputError.
    """
    mask: BoolMask = np.asarray(open_picture(path).any(axis=2))
    if mask.shape != shape[:2]:
        raise InputError(
            f"{path}: is {mask.shape[1]} x {mask.shape[0]} pixels, the picture {shape[1]} x {shape[0]}; "
            "give a mask of its size"
        )
    if not mask.any():
        raise InputError(f"{path}: is black all over; mark the region in white")
    return mask


def numbers(text: str, count: int, form: str) -> list[float]:
    """`count` numbers with commas between. Raises InputError that names the `form` wanted."""
    if not _NUMBERS.fullmatch(text) or text.count(",") != count - 1:
        raise InputError(f"{text!r} is not {form}, in pixels")
    return [float(part) for part in text.split(",")]


def is_place(text: str) -> bool:
    """Whether a text is numbers with commas, as points and boxes are, and no file."""
    return _NUMBERS.fullmatch(text) is not None and "," in text


def region_at(encoded: Encoded, point: str) -> BoolMask:
    """What the segmenter sees at "x,y" in pixels. Raises InputError for a point outside the picture."""
    x, y = numbers(point, 2, "a point x,y")
    height, width = encoded.size
    if not (0 <= x < width and 0 <= y < height):
        raise InputError(f"the point {point} is outside the picture of {width} x {height} pixels")
    found = encoded.segment([np.array([[(x + 0.5) / width, (y + 0.5) / height]])])[0].mask
    if not found.any():
        raise InputError(f"the segmenter sees no region at {point}; give a box or a mask")
    return found


def region_in(encoded: Encoded, box: str) -> BoolMask:
    """The region of the segmenter that fills the box "x,y,w,h" in pixels best, or else the box itself.

    Raises InputError for a box that isn't inside the picture.
    """
    x, y, width, height = numbers(box, 4, "a box x,y,w,h")
    rows, columns = encoded.size
    left, top = round(x), round(y)
    right, bottom = round(x + width), round(y + height)
    if not (0 <= left < right <= columns and 0 <= top < bottom <= rows):
        raise InputError(f"the box {box} is not inside the picture of {columns} x {rows} pixels")
    inside = np.zeros(encoded.size, bool)
    inside[top:bottom, left:right] = True
    centre = np.array([[(left + right) / 2 / columns, (top + bottom) / 2 / rows]])
    offered = [region.mask for region in encoded.regions()] + [encoded.segment([centre])[0].mask]
    fits = [_overlap(mask, inside) for mask in offered]
    best = int(np.argmax(fits))
    return offered[best] if fits[best] >= _BOX_FITS else inside


def region_told(segmenter: Segmenter, picture: RgbImage, told: str) -> BoolMask:
    """The region of "x,y,w,h", of "x,y", or of a picture file that masks it. Raises InputError."""
    if not is_place(told):
        return open_mask(Path(told), picture.shape)
    encoded = segmenter.encode(picture)
    return region_at(encoded, told) if told.count(",") == 1 else region_in(encoded, told)


def _overlap(first: BoolMask, second: BoolMask) -> float:
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 0.0


def look_of(picture: RgbImage, mask: BoolMask) -> str:
    """What the training rows of the embedded proposer call a region: its colour, texture and form."""
    from annotation.regions.interface import Context, candidate
    from annotation.regions.labellers.appearance import label

    named = label(picture, [candidate(mask)], Context(RegionsConfig()))[0]
    return named.label or "area"


def worded_for(kind: Kind, picture: RgbImage, asked: BoolMask | None, name: str | None) -> str:
    """The question of a command; the region goes by `name`, or by its look where none is given."""
    if asked is None:
        return worded(kind)
    return worded(kind, name or look_of(picture, asked), masks.position(asked))


def worded(kind: Kind, name: str = "", position: str = "") -> str:
    """A question as the training rows put it, the region by its name and place: "the smooth dark blue area in
    the top left".
    """
    from annotation.qa.composer import names_place, place_key
    from annotation.qa.nouns import spoken_label
    from annotation.qa.wording import load_wording

    wording = load_wording()
    key, number = _QUESTIONS[kind]
    question = wording.phrases[key][number]
    if kind == "whole":
        return question.format(pic=wording.pictures[0])
    spoken = spoken_label(name)
    place_of = "labelled" if names_place(spoken, position) else place_key(position)
    place = wording.places[place_of][0].format(pos=position)
    return question.format(np=f"the {spoken} {place}".rstrip())


def serve_page(opened: Callable[[], Spider], port: int) -> None:
    """The page of the command `demo`, until it is stopped; the model is opened when all else is there.

    Raises InputError.
    """
    from inference.page import build_page, need_gradio, serve

    need_gradio()
    spider = opened()

    def ask(path: str, question: str) -> tuple[RgbImage, Result]:
        picture = open_picture(Path(path))
        return picture, spider.ask(picture, question)

    serve(build_page(ask, spider.about), port)
