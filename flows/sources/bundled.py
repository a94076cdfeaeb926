"""The real photographs that scikit-image and scikit-learn install, with their licenses."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from flows.sources.listing import Candidate, Listing
from schemas.errors import InputError

_CC0 = "CC0-1.0"
_PUBLIC = "public domain"


@dataclass(frozen=True, slots=True)
class BundledPhotograph:
    """A file of an installed package, by its path inside the package, and the terms stated for it there."""

    package: str
    file: str
    license: str


# Left out on purpose: the right half of the stereo pair (a near duplicate), the clock (blurred already),
# drawings, scans of text, microscopy, the moon and brick, gravel and star fields: no scene whose parts can
# be named, or no terms.
BUNDLED: tuple[BundledPhotograph, ...] = (
    BundledPhotograph("skimage", "data/astronaut.png", f"{_PUBLIC} (NASA)"),
    BundledPhotograph("skimage", "data/camera.png", f"{_CC0} (Lav Varshney)"),
    BundledPhotograph("skimage", "data/chelsea.png", f"{_CC0} (Stefan van der Walt)"),
    BundledPhotograph("skimage", "data/coffee.png", f"{_CC0} (Rachel Michetti, Pikolo Espresso Bar)"),
    BundledPhotograph("skimage", "data/coins.png", "no known copyright restrictions (Brooklyn Museum)"),
    BundledPhotograph("skimage", "data/grass.png", f"{_CC0} (linolafett)"),
    BundledPhotograph(
        "skimage", "data/motorcycle_left.png", "Middlebury 2014 stereo data (Scharstein et al., GCPR 2014)"
    ),
    BundledPhotograph("skimage", "data/retina.jpg", f"{_CC0} (Mikael Häggström)"),
    BundledPhotograph("skimage", "data/rocket.jpg", f"{_PUBLIC} (SpaceX)"),
    BundledPhotograph("sklearn", "datasets/images/china.jpg", "CC-BY-2.0 (danielbuechele)"),
    BundledPhotograph("sklearn", "datasets/images/flower.jpg", "CC-BY-2.0 (vultilion)"),
)


def installed_file(package: str, file: str, whose: str) -> Path:
    """A file by its path inside a package, which is located, not imported.

    Raises InputError for "the `whose` photographs" when package or file is missing.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise InputError(f"the {whose} photographs need the package {package}; install it")
    path = Path(spec.origin).parent / file
    if not path.is_file():
        raise InputError(f"{path}: this {whose} photograph is missing; reinstall {package}")
    return path


def list_bundled() -> Listing:
    """All of BUNDLED; the packages are located, not imported. Raises InputError when one isn't installed."""
    listing = Listing()
    for photograph in BUNDLED:
        path = installed_file(photograph.package, photograph.file, "bundled")
        uri = f"{photograph.package}/{photograph.file}"
        listing.candidates.append(Candidate(os.path.realpath(path), uri, photograph.license))
    return listing
