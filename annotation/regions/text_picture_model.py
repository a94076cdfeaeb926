"""CLIP, SigLIP and SigLIP 2: how well texts fit pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from annotation.regions.crops import LAYOUT, as_tensors
from annotation.regions.interface import Picture
from annotation.regions.region_models import Place, family, in_batches, load, load_model, transformers
from schemas.regions_config import ModelConfig

if TYPE_CHECKING:
    import torch

FAMILIES = {"clip": "CLIPModel", "siglip": "SiglipModel", "siglip2": "Siglip2Model"}
"""The class of transformers for each type of model that compares pictures with texts."""
TEXTS_PER_BATCH = 256


class TextPictureModel:
    """CLIP, SigLIP or SigLIP 2: features of texts and of pictures in one space, unit length, float32."""

    def __init__(self, model: ModelConfig, setting: str, where: Place) -> None:
        what = "text-and-picture model"
        self._family = family(model, FAMILIES, what, setting)
        package = transformers()
        self._where = where
        self._model = load_model(getattr(package, FAMILIES[self._family]), model, what, setting, where)
        self._images = load(package.AutoImageProcessor.from_pretrained, model, f"{what}'s processor", setting)
        self._tokenizer = load(package.AutoTokenizer.from_pretrained, model, f"{what}'s tokenizer", setting)
        self._tokens = self._model.config.text_config.max_position_embeddings

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Features of texts, (T, D); texts too long for the model are cut."""
        import torch

        return torch.cat(list(in_batches(texts, TEXTS_PER_BATCH, self._texts)))

    def pictures(self, pictures: Sequence[Picture], batch: int) -> torch.Tensor:
        """Features of (H, W, 3) uint8 RGB pictures of any sizes, (N, D), `batch` of them in one forward."""
        import torch

        return torch.cat(list(in_batches(pictures, batch, self._pictures)))

    def likeness(self, pictures: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """Logits of each picture for each text, (N, T): cosines at the model's own scale.

        SigLIP's constant bias is left out: it moves all texts alike, so neither their order nor a softmax
        over them knows it.
        """
        logits: torch.Tensor = self._model.logit_scale.float().exp() * pictures @ texts.T
        return logits

    def _texts(self, texts: Sequence[str]) -> torch.Tensor:
        # SigLIP was trained on lower case, with texts padded to one length and the padding attended to.
        padding: Any = True if self._family == "clip" else "max_length"
        tokens = self._tokenizer(
            [text.lower() for text in texts],
            padding=padding,
            truncation=True,
            max_length=self._tokens,
            return_tensors="pt",
        )
        given = {"input_ids": tokens["input_ids"].to(self._where.device)}
        if self._family == "clip":
            given["attention_mask"] = tokens["attention_mask"].to(self._where.device)
        return _unit(self._model.get_text_features(**given).pooler_output)

    def _pictures(self, pictures: Sequence[Picture]) -> torch.Tensor:
        inputs = self._images(images=as_tensors(pictures), **LAYOUT)
        inputs = inputs.to(self._where.device, dtype=self._where.dtype)
        return _unit(self._model.get_image_features(**inputs).pooler_output)


def _unit(features: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.nn.functional.normalize(features.float(), dim=-1)
