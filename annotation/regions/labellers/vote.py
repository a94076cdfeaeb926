"""The `vote` labeller: one semantic map a picture; a mask gets the class with the most support under it."""

from __future__ import annotations

from collections.abc import Sequence

from annotation.regions.closed_vocabulary import ClosedModel, decide
from annotation.regions.interface import Candidate, Context, Labeller, Picture
from annotation.regions.region_models import place
from schemas.regions_config import DeviceConfig, RegionsConfig, VoteConfig


def make(config: RegionsConfig) -> Labeller:
    """The labeller, its model loaded. Raises InputError for a model that is missing or unreadable."""
    return VoteLabeller(config)


class VoteLabeller:
    """Names masks by one closed-vocabulary model; one object serves a worker process."""

    def __init__(self, config: RegionsConfig) -> None:
        self._config = config.vote or VoteConfig()
        where = place(config.run_on or DeviceConfig())
        self._model = ClosedModel(self._config.model, "regions.vote.model", where)

    def __call__(self, image: Picture, candidates: Sequence[Candidate], context: Context) -> list[Candidate]:
        """Each candidate with its best class, the mean of that class's score under the mask, and None for the
        class when the score is below `min_score` or leads the second by less than `min_margin`.
        """
        full = [index for index, item in enumerate(candidates) if item.area]
        result = [item.named(None, None) for item in candidates]
        support = self._model.support(image, [candidates[index] for index in full])
        least = (self._config.min_score, self._config.min_margin)
        for index, row in zip(full, support, strict=True):
            result[index] = candidates[index].named(*decide(self._model.names, row, *least))
        return result
