"""The `clip` labeller: a mask gets the phrase of a vocabulary that CLIP or SigLIP finds nearest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from annotation.regions.crops import LAYOUT, as_tensors, cut, scaled_box
from annotation.regions.interface import Candidate, Context, Picture
from annotation.regions.models import Place, family, in_batches, load, load_model, place, transformers
from annotation.regions.vocabulary import read_vocabulary
from annotation.regions.vote import decide
from schemas.config import DeviceConfig, ModelConfig, RegionsConfig
from schemas.errors import InputError

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


def _unit(features: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.nn.functional.normalize(features.float(), dim=-1)
