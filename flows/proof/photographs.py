"""The proof's photographs: the side of the split that each is on, and the square crops that builds use."""

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
class ProofPhotograph:
    """A file of an installed package, by its path inside it, and its side of the split."""

    package: str
    file: str
    side: Side

    @property
    def name(self) -> str:
        return Path(self.file).stem

    def path(self) -> Path:
        """The file's path; locates its package without importing it. Raises InputError when it's missing."""
        return installed_file(self.package, self.file, "proof's")


PHOTOGRAPHS: tuple[ProofPhotograph, ...] = (
    ProofPhotograph("skimage", "data/brick.png", "train"),
    ProofPhotograph("skimage", "data/camera.png", "train"),
    ProofPhotograph("skimage", "data/grass.png", "train"),
    ProofPhotograph("skimage", "data/gravel.png", "train"),
    ProofPhotograph("skimage", "data/hubble_deep_field.jpg", "train"),
    ProofPhotograph("skimage", "data/ihc.png", "train"),
    ProofPhotograph("imagecorruptions", "frost/frost1.png", "train"),
    ProofPhotograph("skimage", "data/chelsea.png", "train"),
    ProofPhotograph("skimage", "data/coffee.png", "train"),
    ProofPhotograph("sklearn", "datasets/images/china.jpg", "train"),
    ProofPhotograph("sklearn", "datasets/images/flower.jpg", "train"),
    ProofPhotograph("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "train"),
    ProofPhotograph("skimage", "data/astronaut.png", "test"),
    ProofPhotograph("skimage", "data/coins.png", "test"),
    ProofPhotograph("skimage", "data/motorcycle_left.png", "test"),
    ProofPhotograph("skimage", "data/retina.jpg", "test"),
    ProofPhotograph("skimage", "data/rocket.jpg", "test"),
)
"""Different scenes, so that no test photograph shares anything with a training one. Settings were chosen with
chelsea, china, coffee, flower and grace_hopper held out; those of the test side had never been scored before.
"""
_LEAST = 1.25
"""Minimum side of a crop, relative to the side it is scaled to."""


def cut_crops(folder: Path, side: Side, count: int, pixels: int, seed: int) -> Path:
    """Write `count` crops of each photograph of a side as `folder/<side>/<photograph>/<number>.png`.

    Squares with random position and side, the side drawn log-uniformly from 1.25 `pixels` to the photograph's
    shorter side, scaled to `pixels`. A folder already cut this way is kept. Returns its path.
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
            draw_crop(image, pixels, random).save(own / f"{number:04d}.png")
    write_atomically(mark, key.encode(), folder)
    return root


def draw_crop(image: Image.Image, pixels: int, random: np.random.Generator) -> Image.Image:
    """Draw a random square of the photograph, scaled to `pixels` a side."""
    shortest = min(image.size)
    side = int(np.exp(random.uniform(np.log(min(_LEAST * pixels, shortest)), np.log(shortest))))
    x, y = (int(random.integers(0, length - side + 1)) for length in image.size)
    return image.crop((x, y, x + side, y + side)).resize((pixels, pixels), Image.Resampling.LANCZOS)


def photograph_name(uri: str) -> str:
    """The name of the photograph that a row's source picture was cut from."""
    return uri.split("/", 1)[0]
