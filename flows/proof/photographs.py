"""The proof's photographs: which side of the split each is on, and the square crops that are built from."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from flows.sources.bundled import installed_file
from schemas.hashing import content_key, rng
from schemas.store import write_atomically

Side = Literal["train", "test"]


@dataclass(frozen=True)
class Photograph:
    """A file of an installed package, by its path inside it, and its side of the split."""

    package: str
    file: str
    side: Side

    @property
    def name(self) -> str:
        return Path(self.file).stem

    def path(self) -> Path:
        """Where the file lies; its package is located, not imported. Raises InputError when it's missing."""
        return installed_file(self.package, self.file, "proof's")


PHOTOGRAPHS: tuple[Photograph, ...] = (
    Photograph("skimage", "data/brick.png", "train"),
    Photograph("skimage", "data/camera.png", "train"),
    Photograph("skimage", "data/grass.png", "train"),
    Photograph("skimage", "data/gravel.png", "train"),
    Photograph("skimage", "data/hubble_deep_field.jpg", "train"),
    Photograph("skimage", "data/ihc.png", "train"),
    Photograph("imagecorruptions", "frost/frost1.png", "train"),
    Photograph("skimage", "data/chelsea.png", "train"),
    Photograph("skimage", "data/coffee.png", "train"),
    Photograph("sklearn", "datasets/images/china.jpg", "train"),
    Photograph("sklearn", "datasets/images/flower.jpg", "train"),
    Photograph("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "train"),
    Photograph("skimage", "data/astronaut.png", "test"),
    Photograph("skimage", "data/coins.png", "test"),
    Photograph("skimage", "data/motorcycle_left.png", "test"),
    Photograph("skimage", "data/retina.jpg", "test"),
    Photograph("skimage", "data/rocket.jpg", "test"),
)
"""Different scenes, so that no test photograph shares anything with a training one. Settings were chosen with
chelsea, china, coffee, flower and grace_hopper held back; those of the test side were never scored before.
"""
_LEAST = 1.25
"""The smallest crop's side, in sides of the picture it is scaled to."""


def cut(folder: Path, side: Side, count: int, pixels: int, seed: int) -> Path:
    """Write `count` crops of each photograph of a side as `folder/<side>/<photograph>/<number>.png`.

    Squares of a place and side drawn at random, sides from 1.25 `pixels` to the photograph's own, evenly on
    a logarithmic scale, scaled to `pixels`. A folder already cut like this stays. Returns its path.
    """
    of_side = [photograph for photograph in PHOTOGRAPHS if photograph.side == side]
    root, key = folder / side, content_key(side, [p.file for p in of_side], count, pixels, seed)
    mark = folder / f"{side}.key"
    if root.is_dir() and mark.is_file() and mark.read_text(encoding="utf-8") == key:
        return root
    mark.unlink(missing_ok=True)
    if root.exists():
        shutil.rmtree(root)
    for photograph in of_side:
        own = root / photograph.name
        own.mkdir(parents=True)
        with Image.open(photograph.path()) as opened:
            image = opened.convert("RGB")
        random = rng(seed, "proof", "crops", photograph.name)
        for number in range(count):
            crop(image, pixels, random).save(own / f"{number:04d}.png")
    write_atomically(mark, key.encode(), folder)
    return root


def crop(image: Image.Image, pixels: int, random: np.random.Generator) -> Image.Image:
    """One square of the photograph, scaled to `pixels` a side."""
    shortest = min(image.size)
    side = int(np.exp(random.uniform(np.log(min(_LEAST * pixels, shortest)), np.log(shortest))))
    x, y = (int(random.integers(0, length - side + 1)) for length in image.size)
    return image.crop((x, y, x + side, y + side)).resize((pixels, pixels), Image.Resampling.LANCZOS)


def photograph_of(uri: str) -> str:
    """The photograph that a row's source picture was cut from."""
    return uri.split("/", 1)[0]
