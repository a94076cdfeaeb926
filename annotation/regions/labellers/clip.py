"""The `clip` labeller: a mask gets the phrase of a vocabulary that CLIP or SigLIP finds nearest."""

from __future__ import annotations

from collections.abc import Sequence

from annotation.regions.closed_vocabulary import decide
from annotation.regions.crops import cut, scaled_box
from annotation.regions.interface import Candidate, Context, Labeller, Picture
from annotation.regions.noun_phrases import read_vocabulary
from annotation.regions.region_models import place
from annotation.regions.text_picture_model import TextPictureModel
from schemas.errors import InputError
from schemas.regions_config import DeviceConfig, RegionsConfig


def make(config: RegionsConfig) -> Labeller:
    """The labeller, its model loaded. Raises InputError for a model or vocabulary that can't be read."""
    return ClipLabeller(config)


class ClipLabeller:
    """Names masks out of a vocabulary; the vocabulary's features are computed once, here."""

    def __init__(self, config: RegionsConfig) -> None:
        if config.clip is None:
            raise InputError("regions: the labeller 'clip' needs clip.vocabulary")
        self._config = config.clip
        self._names = read_vocabulary(self._config.vocabulary)
        self._model = TextPictureModel(
            self._config.model, "regions.clip.model", place(config.run_on or DeviceConfig())
        )
        self._features = self._model.texts([self._config.template.format(name) for name in self._names])

    def __call__(self, image: Picture, candidates: Sequence[Candidate], context: Context) -> list[Candidate]:
        """Each candidate with the best phrase and its share of a softmax over the whole vocabulary, and None
        for the phrase below `min_score` or `min_margin`.

        The softmax asks which of the phrases fits best, not whether one fits: a vocabulary should hold what
        the pictures show, or else the wrong phrase that is least wrong can win.
        """
        full = [index for index, item in enumerate(candidates) if item.area]
        result = [item.named(None, None) for item in candidates]
        if not full:
            return result
        crops = [
            cut(image, scaled_box(candidates[index].bbox, self._config.crop_scale, image.shape[:2]))
            for index in full
        ]
        features = self._model.pictures(crops, self._config.crops_per_batch)
        shares = self._model.likeness(features, self._features).softmax(dim=1).cpu().numpy()
        least = (self._config.min_score, self._config.min_margin)
        for index, row in zip(full, shares, strict=True):
            result[index] = candidates[index].named(*decide(self._names, row, *least))
        return result
