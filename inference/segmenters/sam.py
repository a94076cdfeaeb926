"""The SAM segmenters: SAM, SAM-HQ, SAM 2 / 2.1 and EdgeTAM through transformers, a picture encoded once.

Masks are enlarged as the originals' predictors do (facebookresearch/segment-anything and sam2,
`postprocess_masks`): SAM's logits to the model's padded input, cut to the picture's part, then to its size;
SAM 2's straight to that size; bilinear without aligned corners. The mask is where a logit is above 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from annotation.regions import region_models
from annotation.regions.automask.geometry import View
from annotation.regions.automask.grid import Crop
from annotation.regions.prompted import CPU_POINTS, PromptedModel, automask, one, predictor
from inference.grounded_answer import Encoded, Picture, Region, Segmented
from inference.segmenters.builder_regions import named
from inference.segmenters.recent import Recent
from inference.segmenters.select import choose, to_pixels
from inference.segmenters.tree_parts import parts_of
from inference.settled_points import Parts
from schemas.regions_config import ModelConfig, SamConfig

if TYPE_CHECKING:
    import torch

SETS_PER_BATCH = 64
"""Sets of points in one forward of the decoder on a GPU; out of memory halves it."""
AUTOMATIC = SamConfig()
"""How `regions` looks for masks: 32 points a side on the whole picture."""


class SamSegmenter:
    """A model of the SAM family, loaded once; keeps the embeddings of the last few pictures."""

    def __init__(self, model: ModelConfig, where: region_models.Place, setting: str) -> None:
        """Raises InputError, which begins with `setting`, for a model that is missing or of another kind."""
        self.name = model.name
        self.sam = PromptedModel(model, where, setting)
        self._recent = Recent(lambda image: _SamEncoded(self.sam, image))

    def encode(self, image: Picture) -> Encoded:
        """One pass of the image encoder over a (H, W, 3) uint8 RGB picture, none for a picture just seen.

        Raises ValueError for anything else.
        """
        return self._recent(image)


class _SamEncoded:
    """A picture and its embedding."""

    def __init__(self, sam: PromptedModel, image: Picture) -> None:
        height, width = image.shape[:2]
        self._sam = sam
        self._image = image.copy()
        self._view = sam.input.view(Crop(0, 0, width, height, 0), (height, width))
        self._embedding = one(sam.encode([sam.pixels(image, self._view)]), 0)
        self._parts: Parts | None = None
        self._regions: list[Region] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the picture."""
        return self._view.picture

    def segment(self, points: Sequence[NDArray[np.float64]]) -> list[Segmented]:
        """As `Encoded`. One point chooses among three masks, several points give one: see `choose`.

        Sets with equally many points share forwards of the decoder; no set's mask depends on the others.
        """
        pixels = [to_pixels(each, self.size) for each in points]
        answers: dict[int, Segmented] = {}
        batch = CPU_POINTS if self._sam.where.device.type == "cpu" else SETS_PER_BATCH
        for count in sorted({len(each) for each in pixels}):
            alike = [index for index, each in enumerate(pixels) if len(each) == count]

            def run(part: Sequence[int], count: int = count) -> tuple[Sequence[int], Any]:
                stacked = np.stack([pixels[index] for index in part]).astype(np.float64)
                return part, self._sam.prompt(self._embedding, self._view, stacked, multimask=count == 1)

            for part, (logits, scores) in region_models.in_batches(alike, batch, run):
                for row, index in enumerate(part):
                    masks = np.stack([enlarged(plane, self._view) for plane in logits[row]])
                    answers[index] = choose(masks, scores[row].cpu().numpy(), pixels[index])
        return [answers[index] for index in range(len(pixels))]

    def parts(self) -> Parts:
        """As `Encoded`: those of the merge tree, since automatic masks would cost a thousand prompts."""
        if self._parts is None:
            self._parts = parts_of(self._image)
        return self._parts

    def regions(self) -> list[Region]:
        """As `Encoded`: automatic masks over the same embedding, with SAM's own score each."""
        if self._regions is None:
            masks = automask(self._sam, AUTOMATIC)
            masks.crop(predictor(self._sam, self._embedding, self._view), self._view)
            self._regions = named(self._image, masks.proposals().candidates)
        return self._regions


def enlarged(logits: torch.Tensor, view: View) -> NDArray[np.bool_]:
    """One (h, w) plane of logits as a boolean (H, W) mask of the picture."""
    from torch.nn.functional import interpolate

    plane = logits[None, None].float()
    if view.twice:
        plane = interpolate(plane, (view.side, view.side), mode="bilinear", align_corners=False)
        plane = plane[..., : view.rows, : view.columns]
    plane = interpolate(plane, view.picture, mode="bilinear", align_corners=False)
    return np.asarray((plane[0, 0] > 0).cpu().numpy(), np.bool_)
