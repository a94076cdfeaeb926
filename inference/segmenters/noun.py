"""Text to mask without a point: the region whose name, or whose look to CLIP, fits a noun phrase best."""

from __future__ import annotations

import math
import re
from collections import Counter

from annotation.regions import models
from annotation.regions.crops import cut, scaled_box
from annotation.regions.text_picture_model import TextPictureModel
from inference.answers import Encoded, Picture, Segmented
from schemas import masks
from schemas.regions_config import ModelConfig

SILENT = frozenset({"a", "an", "and", "at", "in", "of", "on", "the", "this", "that", "with"})
SPELLED = {"gray": "grey", "centre": "center", "middle": "center"}
CROP_SCALE, CROPS_PER_BATCH, TEMPLATE = 1.2, 32, "a photo of a {}"  # as schemas.regions_config.ClipConfig


def by_noun(encoded: Encoded, noun: str) -> Segmented | None:
    """The region whose label shares most with `noun`; None when no label has a word in common with it.

    The score is the weight of common words over that of all words of both, where a word counts less the more
    of the picture's labels have it: 1 for the same phrase. Ties go to the first region. `candidate` is the
    region's number in `encoded.regions()`.
    """
    regions = encoded.regions()
    labels = [words(region.label or "") for region in regions]
    frequency = Counter(word for label in labels for word in label)
    wanted = words(noun)

    def weight(some: frozenset[str]) -> float:
        return math.fsum(math.log(1 + len(labels) / frequency.get(word, 1)) for word in some)

    scores = [weight(wanted & label) / weight(wanted | label) if wanted & label else 0.0 for label in labels]
    best = max(range(len(scores)), key=scores.__getitem__, default=None)
    if best is None or scores[best] == 0:
        return None
    return Segmented(regions[best].mask, min(1.0, scores[best]), best)


def words(phrase: str) -> frozenset[str]:
    """The words of a phrase that say something: lower case, singular, one spelling."""
    found = (SPELLED.get(word, word) for word in re.findall(r"[^\W\d_]+", phrase.casefold()))
    return frozenset(_singular(word) for word in found if word not in SILENT)


class ClipNouns:
    """The same by CLIP, SigLIP or SigLIP 2: the crop of a region that is most like the phrase."""

    def __init__(self, model: ModelConfig, where: models.Place, setting: str) -> None:
        """Raises InputError, which begins with `setting`, for a model missing or of another kind."""
        self._model = TextPictureModel(model, setting, where)

    def __call__(self, encoded: Encoded, image: Picture, noun: str) -> Segmented | None:
        """The best region of `image`, which `encoded` is of; None when the picture has no region.

        The score is the region's share of a softmax over the picture's regions.
        """
        regions = encoded.regions()
        if not regions:
            return None
        boxes = [scaled_box(_box(region.mask), CROP_SCALE, encoded.size) for region in regions]
        pictures = self._model.pictures([cut(image, box) for box in boxes], CROPS_PER_BATCH)
        texts = self._model.texts([TEMPLATE.format(noun)])
        shares = self._model.likeness(pictures, texts)[:, 0].softmax(dim=0).cpu().numpy()
        best = int(shares.argmax())
        return Segmented(regions[best].mask, float(shares[best]), best)


def _box(mask: masks.BoolMask) -> tuple[int, int, int, int]:
    x, y, width, height = masks.bounding_box(mask)
    return x, y, width, height


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
