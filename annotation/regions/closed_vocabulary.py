"""Closed-vocabulary models: one semantic map a picture, and the support each class has under a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from annotation.regions.crops import LAYOUT, as_tensors, bounded, coverage
from annotation.regions.interface import Candidate, Picture
from annotation.regions.phrases import class_phrase
from annotation.regions.region_models import Place, family, load, load_model, transformers
from schemas.errors import InputError, SampleError
from schemas.regions_config import ModelConfig

if TYPE_CHECKING:
    import torch

MAP_SIDE = 256
"""Cells of the map's longer side that masks are compared on; a larger map is averaged down to it."""
FAMILIES = {
    "oneformer": "OneFormerForUniversalSegmentation",
    "mask2former": "Mask2FormerForUniversalSegmentation",
    "eomt": "EomtForUniversalSegmentation",
    "eomt_dinov3": "EomtDinov3ForUniversalSegmentation",
    "segformer": "SegformerForSemanticSegmentation",
}
"""The class of transformers for each type of model that votes."""


class ClosedModel:
    """A closed-vocabulary model that gives every cell of a picture a score for every class.

    `names` are its classes as noun phrases, equal ones once; a class that means "no class" is None.
    """

    def __init__(self, model: ModelConfig, setting: str, where: Place) -> None:
        what = "closed-vocabulary model"
        self._family = family(model, FAMILIES, what, setting)
        package = transformers()
        self._model = load_model(getattr(package, FAMILIES[self._family]), model, what, setting, where)
        self._processor = _processor(self._family, model, setting, self._model.config)
        self._where = where
        phrases = _phrases(self._model.config.id2label, setting, model.name)
        self.names: tuple[str | None, ...] = tuple(dict.fromkeys(phrases))
        self._groups = [self.names.index(phrase) for phrase in phrases]

    def support(self, image: Picture, candidates: Sequence[Candidate]) -> NDArray[np.float32]:
        """The mean score, 0..1, of each of `names` under each mask, (N, names); one forward of the model.

        All masks meet the map in one matrix product, at the map's resolution, where a mask is the share of
        each cell it covers. Without masks there is no forward; an empty mask has no support.
        """
        import torch

        if not candidates:
            return np.zeros((0, len(self.names)), dtype=np.float32)
        scores = self._scores(image)
        classes, height, width = scores.shape
        cells = np.stack([coverage(item.pixels(), (height, width)).reshape(-1) for item in candidates])
        masks = torch.from_numpy(cells).to(scores.device)
        shares = masks @ scores.reshape(classes, -1).T
        shares = shares / masks.sum(dim=1, keepdim=True).clamp(min=1e-6)
        named = torch.zeros((len(candidates), len(self.names)), device=shares.device)
        named.index_add_(1, torch.tensor(self._groups, device=shares.device), shares)
        return np.asarray(named.cpu().numpy(), dtype=np.float32)

    def _scores(self, image: Picture) -> torch.Tensor:
        """Class scores of a picture's cells, (C, h, w) float32 with sums of at most 1 in each cell."""
        import torch

        pixels = as_tensors([bounded(image)])
        asked: dict[str, Any] = {**LAYOUT}
        if self._family == "oneformer":
            asked["task_inputs"] = ["semantic"]
        inputs = self._processor(images=pixels, **asked)
        inputs = inputs.to(self._where.device, dtype=self._where.dtype)
        scores = self._read(inputs, self._model(**inputs), pixels)
        shrink = max(scores.shape[-2:]) / MAP_SIDE
        if shrink > 1:
            height, width = (max(1, round(side / shrink)) for side in scores.shape[-2:])
            scores = torch.nn.functional.adaptive_avg_pool2d(scores, (height, width))
        return scores

    def _read(self, inputs: Any, outputs: Any, pixels: list[torch.Tensor]) -> torch.Tensor:
        """The map out of a model's outputs, at its own resolution, without the processor's padding."""
        read = self._processor.post_process_semantic_segmentation
        scores: torch.Tensor
        if self._family == "segformer":
            scores = read(outputs, return_segmentation_scores=True)[0].segmentation_scores
            return scores.float().softmax(dim=0)
        _as_float(outputs)
        if self._family.startswith("eomt"):
            plain = self._processor(images=pixels, do_pad=False, do_split_image=False, **LAYOUT)
            height, width = plain.pixel_values.shape[-2:]
            size = (height, width) if inputs.get("patch_offsets") else tuple(inputs.pixel_values.shape[-2:])
            padded = read(outputs, target_sizes=[size], return_segmentation_scores=True)[0]
            scores = padded.segmentation_scores[:, :height, :width]
        else:
            scores = read(outputs, return_segmentation_scores=True)[0].segmentation_scores
        # Queries that claim the same cell add up: where they exceed 1, they share it.
        return scores / scores.sum(dim=0, keepdim=True).clamp(min=1)


def decide(
    names: Sequence[str | None], scores: NDArray[np.float32], min_score: float, min_margin: float
) -> tuple[str | None, float]:
    """The best name and its score; no name below `min_score`, or less than `min_margin` before the second.

    Scores are compared as they are reported, to four digits, so that the last bits of a sum, which depend on
    the size of a batch, decide nothing. Equal scores go to the earlier name. Raises SampleError for scores
    that are no numbers, as a model in half precision can give.
    """
    if not np.isfinite(scores).all():
        raise SampleError("no-number", "a model's scores are no numbers; set regions.run_on.dtype to float32")
    rounded = np.round(np.clip(scores.astype(np.float64), 0, 1), 4)
    best = int(rounded.argmax())
    score = float(rounded[best])
    second = float(np.delete(rounded, best).max(initial=0.0))
    sure = score >= min_score and round(score - second, 4) >= min_margin
    return (names[best] if sure else None), score


def _processor(kind: str, model: ModelConfig, setting: str, config: Any) -> Any:
    """The picture's way into the model.

    OneFormer's wants a file of class names from another repository, for training alone; it does without.
    """
    package = transformers()
    what = "image processor of the closed-vocabulary model"
    options = {"class_info_file": None} if kind == "oneformer" else {}
    images = load(package.AutoImageProcessor.from_pretrained, model, what, setting, **options)
    if kind != "oneformer":
        return images
    tokenizer = load(package.AutoTokenizer.from_pretrained, model, "tokenizer of OneFormer", setting)
    return package.OneFormerProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        max_seq_length=config.task_seq_len,
        task_seq_length=config.task_seq_len,
    )


def _phrases(names: dict[int, str], setting: str, model: str) -> list[str | None]:
    if all(name == f"LABEL_{index}" for index, name in names.items()):
        raise InputError(f"{setting}: the configuration of {model!r} names no classes; fill in its id2label")
    return [class_phrase(names[index]) for index in range(len(names))]


def _as_float(outputs: Any) -> None:
    """Half-precision outputs to float32 in place: sums over queries lose too much otherwise."""
    outputs.class_queries_logits = outputs.class_queries_logits.float()
    outputs.masks_queries_logits = outputs.masks_queries_logits.float()
