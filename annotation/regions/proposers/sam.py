"""Region proposals by SAM, SAM-HQ, SAM 2 / 2.1 and EdgeTAM: automatic masks of batches of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from annotation.regions import region_models
from annotation.regions.automask import View
from annotation.regions.automask.grid import crops
from annotation.regions.interface import Context, Picture, Proposals, Proposer
from annotation.regions.prompted import PromptedModel, automask, one, predictor
from schemas.regions_config import DeviceConfig, RegionsConfig, SamConfig


def make(config: RegionsConfig) -> Proposer:
    """The proposer, its model loaded. Raises InputError for a model that is missing or unreadable."""
    return SamProposer(config)


@dataclass(frozen=True)
class _Job:
    """A crop to encode, of the picture at `index`."""

    index: int
    view: View


class SamProposer:
    """Masks by automatic generation; the model is loaded once, here, and each crop is encoded once."""

    def __init__(self, config: RegionsConfig) -> None:
        """Raises InputError when the model is missing, unreadable or of another kind."""
        self._config = config.sam or SamConfig()
        where = region_models.place(config.run_on or DeviceConfig())
        self.sam = PromptedModel(self._config.model, where, "regions.sam.model")

    def __call__(self, images: Sequence[Picture], contexts: Sequence[Context]) -> list[Proposals]:
        """As `Proposer`. Crops of all pictures share batches of `images_per_batch` in the image encoder."""
        jobs = [
            _Job(index, self.sam.input.view(crop, (image.shape[0], image.shape[1])))
            for index, image in enumerate(images)
            for crop in crops(
                image.shape[0], image.shape[1], self._config.crop_layers, self._config.crop_overlap
            )
        ]
        results: list[Proposals] = []
        masks = automask(self.sam, self._config)

        def encode(part: Sequence[_Job]) -> tuple[Sequence[_Job], Any]:
            return part, self.sam.encode([self.sam.pixels(images[job.index], job.view) for job in part])

        for part, embeddings in region_models.in_batches(jobs, self._config.images_per_batch, encode):
            for place, job in enumerate(part):
                if job.index > len(results):
                    results.append(masks.proposals())
                    masks = automask(self.sam, self._config)
                masks.crop(predictor(self.sam, one(embeddings, place), job.view), job.view)
        if images:
            results.append(masks.proposals())
        return results
