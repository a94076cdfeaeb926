"""Distortions, pure functions on pictures: catalog, injection through masks, strength, order effect."""

from distortions.frame import BoolMask, Image
from distortions.injection import Op, apply, inject
from distortions.perceptual import order_effect, order_effect_of, order_effects_of, strength, strengths
from distortions.registry import Entry, UnknownDistortion, catalog, catalog_digest, resolve

__all__ = [
    "BoolMask",
    "Entry",
    "Image",
    "Op",
    "UnknownDistortion",
    "apply",
    "catalog",
    "catalog_digest",
    "inject",
    "order_effect",
    "order_effect_of",
    "order_effects_of",
    "resolve",
    "strength",
    "strengths",
]
