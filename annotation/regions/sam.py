"""Region proposals by SAM, SAM-HQ, SAM 2 / 2.1 and EdgeTAM: loading, pre-processing, encoding, prompting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from annotation.regions import models
from annotation.regions.automask import Automask, Predict, View
from annotation.regions.automask.grid import Crop, crops
from annotation.regions.interface import Context, Picture, Proposals
from schemas.config import DeviceConfig, RegionsConfig, SamConfig
from schemas.errors import InputError

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

_WHAT, _SETTING = "SAM model", "regions.sam.model"


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
        self._place = models.place(config.run_on or DeviceConfig())
        package = models.transformers()
        model = self._config.model
        kind = models.load(package.AutoConfig.from_pretrained, model, _WHAT, _SETTING).model_type
        if kind not in CLASSES:
            raise InputError(
                f"{_SETTING}: {model.name!r} is of the kind {kind!r}; known kinds: {', '.join(CLASSES)}"
            )
        loaded = getattr(package, CLASSES[kind])
        processor = models.load(package.AutoImageProcessor.from_pretrained, model, _WHAT, _SETTING)
        self._model = models.load_model(loaded, model, _WHAT, _SETTING, self._place)
        self._two_embeddings = kind == "sam_hq"
        self._input = _input(processor)

    def __call__(self, images: Sequence[Picture], contexts: Sequence[Context]) -> list[Proposals]:
        """As `Proposer`. Crops of all pictures share batches of `images_per_batch` in the image encoder."""
        jobs = [
            _Job(index, self._input.view(crop, (image.shape[0], image.shape[1])))
            for index, image in enumerate(images)
            for crop in crops(
                image.shape[0], image.shape[1], self._config.crop_layers, self._config.crop_overlap
            )
        ]
        results: list[Proposals] = []
        masks = self._masks()

        def encode(part: Sequence[_Job]) -> tuple[Sequence[_Job], Any]:
            return part, self._encode([self._pixels(images[job.index], job.view) for job in part])

        for part, embeddings in models.in_batches(jobs, self._config.images_per_batch, encode):
            for place, job in enumerate(part):
                if job.index > len(results):
                    results.append(masks.proposals())
                    masks = self._masks()
                masks.crop(self._predictor(_one(embeddings, place), job.view), job.view)
        if images:
            results.append(masks.proposals())
        return results

    def _masks(self) -> Automask:
        most = self._config.points_per_batch
        return Automask(self._config, min(most, CPU_POINTS) if self._place.device.type == "cpu" else most)

    def _pixels(self, image: Picture, view: View) -> torch.Tensor:
        """A crop as (3, side, side) float32: resized, normalised, padded, as the model wants it."""
        import torch

        crop, size = view.crop, (view.rows, view.columns)
        part = image[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
        if self._input.padded:  # segment-anything's ResizeLongestSide, by Pillow
            resized = Image.fromarray(part).resize(size[::-1], Image.Resampling.BILINEAR)
            pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float()
        else:  # SAM 2's transforms resize floats
            floats = torch.from_numpy(np.array(part)).permute(2, 0, 1).float()[None]
            pixels = torch.nn.functional.interpolate(floats, size, mode="bilinear", antialias=True)[0]
        mean, std = (torch.from_numpy(value)[:, None, None] for value in (self._input.mean, self._input.std))
        result = torch.zeros(3, self._input.side, self._input.side)
        result[:, : view.rows, : view.columns] = (pixels - mean) / std
        return result

    def _encode(self, pixels: Sequence[torch.Tensor]) -> Any:
        import torch

        with torch.inference_mode():
            batch = torch.stack(list(pixels)).to(self._place.device, self._place.dtype)
            return self._model.get_image_embeddings(batch)

    def _predictor(self, embedding: Any, view: View) -> Predict:
        """Prompts points over one crop's embedding."""
        import torch

        if self._two_embeddings:
            given = {"image_embeddings": embedding[0], "intermediate_embeddings": embedding[1]}
        else:
            given = {"image_embeddings": embedding}
        scale = np.array([view.columns / view.crop.width, view.rows / view.crop.height])

        def predict(points: NDArray[np.float64]) -> tuple[torch.Tensor, torch.Tensor]:
            with torch.inference_mode():
                placed = torch.from_numpy((points * scale).astype(np.float32))[None, :, None]
                output = self._model(
                    input_points=placed.to(self._place.device),
                    input_labels=torch.ones(placed.shape[:3], dtype=torch.int, device=self._place.device),
                    multimask_output=True,
                    **given,
                )
                return output.pred_masks[0].float(), output.iou_scores[0].float()

        return predict


def _input(processor: Any) -> Input:
    """What the model's own image processor says. Raises InputError when it says too little."""
    size = {name: value for name, value in dict(processor.size).items() if value}
    padded = "longest_edge" in size
    side = size.get("longest_edge") or size.get("height")
    other = side if padded else size.get("width")
    if side is None or other != side or (padded and dict(processor.pad_size)["height"] != side):
        raise InputError(f"{_SETTING}: its processor asks for the size {size}; a square input was expected")
    mean, std = (
        np.array(value, np.float32) / np.float32(processor.rescale_factor)
        for value in (processor.image_mean, processor.image_std)
    )
    return Input(int(side), padded, mean, std)


def _one(embeddings: Any, index: int) -> Any:
    """One picture's share of a batch of embeddings: a tensor, or a list or tuple of them."""
    if isinstance(embeddings, (list, tuple)):
        return [_one(part, index) for part in embeddings]
    return embeddings[index : index + 1]
