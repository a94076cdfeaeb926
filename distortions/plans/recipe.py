"""Recipes: the JSON that rebuilds a planned picture from its source picture, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from distortions import Image, Op, catalog_digest, inject
from distortions.plans.canvas import Canvas
from distortions.plans.layout import Layout
from distortions.plans.paste import paste, tight_box
from schemas.errors import InputError
from schemas.masks import decode, encode
from schemas.records import Mask

VERSION = 1


def write_recipe(canvas: Canvas, sample_id: str, layout: Layout) -> dict[str, Any]:
    """The recipe of a laid-out sample: JSON values only.

    `layers` are injected one by one, each on the source picture: `region_id` (None for the whole picture),
    `mask` (COCO run-length encoding), `ops` in order of application, `seed`, `feather` in pixels.
    """
    if layout.whole:
        everywhere = encode(np.ones(canvas.image.shape[:2], dtype=bool))
        chosen = next(iter(layout.layers.values()))
        layers = [_layer(None, everywhere, chosen, canvas.whole_seed(), 0)]
    else:
        layers = [
            _layer(
                canvas.regions[index].region_id,
                canvas.regions[index].mask,
                chosen,
                canvas.region_seed(index),
                canvas.config.feather,
            )
            for index, chosen in layout.layers.items()
        ]
    return {
        "version": VERSION,
        "sample_id": sample_id,
        "source": canvas.source.id,
        "size": list(canvas.image.shape[:2]),
        "catalog": catalog_digest(_names(layers)),
        "layers": layers,
    }


def rebuild(image: Image, recipe: Mapping[str, Any]) -> Image:
    """Rebuild a planned picture from its source picture ((H, W, 3) uint8 RGB).

    Raises InputError when the recipe is for another version, catalog or picture size.
    """
    if recipe["version"] != VERSION:
        raise InputError(
            f"recipe {recipe['sample_id']}: version {recipe['version']}; this program reads {VERSION}"
        )
    if recipe["catalog"] != catalog_digest(_names(recipe["layers"])):
        raise InputError(
            f"recipe {recipe['sample_id']}: made with another distortion catalog; use that version"
        )
    if list(image.shape[:2]) != list(recipe["size"]):
        raise InputError(
            f"recipe {recipe['sample_id']}: made for a picture of {recipe['size']} pixels (height, width), "
            f"this one has {list(image.shape[:2])}; give the same source picture"
        )
    picture = image.copy()
    for layer in recipe["layers"]:
        mask = decode(Mask.model_validate(layer["mask"]))
        chain = [Op(op["name"], op["level"]) for op in layer["ops"]]
        injected = inject(image, mask, chain, seed=layer["seed"], feather=layer["feather"])
        box = tight_box(mask, layer["feather"])
        paste(picture, image, injected[box], mask, box, layer["feather"])
    return picture


def _layer(
    region_id: str | None, mask: Mask, chain: tuple[Op, ...], seed: int, feather: int
) -> dict[str, Any]:
    return {
        "region_id": region_id,
        "mask": mask.model_dump(),
        "ops": [{"name": op.name, "level": op.level} for op in chain],
        "seed": seed,
        "feather": feather,
    }


def _names(layers: Iterable[Mapping[str, Any]]) -> list[str]:
    return [op["name"] for layer in layers for op in layer["ops"]]
