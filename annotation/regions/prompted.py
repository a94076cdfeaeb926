"""SAM, SAM-HQ, SAM 2 / 2.1 and EdgeTAM behind one face: loading, pre-processing, encoding, point prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from annotation.regions import region_models
from annotation.regions.automask import Automask, Predict, View
from annotation.regions.automask.grid import Crop
from annotation.regions.interface import Picture
from schemas.errors import InputError
from schemas.regions_config import ModelConfig, SamConfig

if TYPE_CHECKING:
    import torch

CLASSES = {
    "sam": "SamModel",
    "sam_hq": "SamHQModel",
    "sam2": "Sam2Model",
    "sam2_video": "Sam2Model",
    "edgetam": "EdgeTamModel",
    "edgetam_video": "EdgeTamModel",
}
"""The class for each `model_type` of a config.json; SAM 2 and EdgeTAM on the hub call themselves video."""

CPU_POINTS = 16
"""Points at a time on a CPU: more make its caches overflow (64 take 1.9 times as long as 16)."""
_WHAT = "SAM model"


@dataclass(frozen=True)
class Input:
    """The model's square input of `side` pixels: a picture stretched to it, or `padded` below and right.

    `mean` and `std` are (3,) and belong to values of 0..255.
    """

    side: int
    padded: bool
    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def view(self, crop: Crop, picture: tuple[int, int]) -> View:
        """Where `crop` comes to lie: the longest side is `side` and the other rounded, or both are `side`."""
        if not self.padded:
            return View(crop, picture, self.side, self.side, self.side, twice=False)
        scale = self.side / max(crop.height, crop.width)
        rows, columns = (max(1, int(length * scale + 0.5)) for length in (crop.height, crop.width))
        return View(crop, picture, self.side, rows, columns, twice=True)


class PromptedModel:
    """A loaded model of the SAM family; it draws no randomness and keeps nothing of the pictures it sees."""

    def __init__(self, model: ModelConfig, where: region_models.Place, setting: str) -> None:
        """Raises InputError, which begins with `setting`, for a model that is missing or of another kind."""
        package = region_models.transformers()
        kind = region_models.load(package.AutoConfig.from_pretrained, model, _WHAT, setting).model_type
        if kind not in CLASSES:
            raise InputError(
                f"{setting}: {model.name!r} is of the kind {kind!r}; known kinds: {', '.join(CLASSES)}"
            )
        processor = region_models.load(package.AutoImageProcessor.from_pretrained, model, _WHAT, setting)
        self.input = _input(processor, setting)
        self.where = where
        self.model = region_models.load_model(getattr(package, CLASSES[kind]), model, _WHAT, setting, where)
        self._two_embeddings = kind == "sam_hq"

    def pixels(self, image: Picture, view: View) -> torch.Tensor:
        """A crop as (3, side, side) float32: resized, normalized, padded, as the model wants it."""
        import torch

        crop, size = view.crop, (view.rows, view.columns)
        part = image[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
        if self.input.padded:  # segment-anything's ResizeLongestSide, by Pillow
            resized = Image.fromarray(part).resize(size[::-1], Image.Resampling.BILINEAR)
            pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float()
        else:  # SAM 2's transforms resize floats
            floats = torch.from_numpy(np.array(part)).permute(2, 0, 1).float()[None]
            pixels = torch.nn.functional.interpolate(floats, size, mode="bilinear", antialias=True)[0]
        mean, std = (torch.from_numpy(value)[:, None, None] for value in (self.input.mean, self.input.std))
        result = torch.zeros(3, self.input.side, self.input.side)
        result[:, : view.rows, : view.columns] = (pixels - mean) / std
        return result

    def encode(self, pixels: Sequence[torch.Tensor]) -> Any:
        """The embeddings of some inputs in one forward; `one` takes a picture's share out of them."""
        import torch

        with torch.inference_mode():
            batch = torch.stack(list(pixels)).to(self.where.device, self.where.dtype)
            return self.model.get_image_embeddings(batch)

    def prompt(
        self, embedding: Any, view: View, points: NDArray[np.floating], *, multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Foreground points over one crop's embedding, all sets in one forward of the decoder.

        `points` (P, n, 2) are P sets of n points, x, y in pixels of the crop, where a pixel's number means
        its center, as in segment-anything. Gives float32 logits (P, M, h, w) and predicted IoUs (P, M);
        M is 3 with `multimask` and 1 without.
        """
        import torch

        if self._two_embeddings:
            given = {"image_embeddings": embedding[0], "intermediate_embeddings": embedding[1]}
        else:
            given = {"image_embeddings": embedding}
        scale = np.array([view.columns / view.crop.width, view.rows / view.crop.height])
        with torch.inference_mode():
            placed = torch.from_numpy((points * scale).astype(np.float32))[None]
            output = self.model(
                input_points=placed.to(self.where.device),
                input_labels=torch.ones(placed.shape[:3], dtype=torch.int, device=self.where.device),
                multimask_output=multimask,
                **given,
            )
            return output.pred_masks[0].float(), output.iou_scores[0].float()


def one(embeddings: Any, index: int) -> Any:
    """One picture's share of a batch of embeddings: a tensor, or a list or tuple of them."""
    if isinstance(embeddings, (list, tuple)):
        return [one(part, index) for part in embeddings]
    return embeddings[index : index + 1]


def automask(sam: PromptedModel, config: SamConfig) -> Automask:
    """The gathering of one picture's masks, with batches of points that suit the model's device."""
    most = config.points_per_batch
    return Automask(config, min(most, CPU_POINTS) if sam.where.device.type == "cpu" else most)


def predictor(sam: PromptedModel, embedding: Any, view: View) -> Predict:
    """Prompts points over one crop's embedding, each on its own, for three masks a point."""

    def predict(points: NDArray[np.float64]) -> tuple[torch.Tensor, torch.Tensor]:
        return sam.prompt(embedding, view, points[:, None], multimask=True)

    return predict


def _input(processor: Any, setting: str) -> Input:
    """What the model's own image processor says. Raises InputError when it says too little."""
    size = {name: value for name, value in dict(processor.size).items() if value}
    padded = "longest_edge" in size
    side = size.get("longest_edge") or size.get("height")
    other = side if padded else size.get("width")
    if side is None or other != side or (padded and dict(processor.pad_size)["height"] != side):
        raise InputError(f"{setting}: its processor asks for the size {size}; a square input was expected")
    mean, std = (
        np.array(value, np.float32) / np.float32(processor.rescale_factor)
        for value in (processor.image_mean, processor.image_std)
    )
    return Input(int(side), padded, mean, std)
