"""The `ssa` labeller: the engine of Semantic-Segment-Anything, for many masks at a time.

Source: https://github.com/fudan-zvg/Semantic-Segment-Anything (the annotation engine). For each mask the
classes that closed-vocabulary models vote for and the noun phrases of a caption are ranked by CLIP; CLIPSeg
settles which of the best is under the mask. Pictures are RGB throughout, the caption and CLIPSeg see the
same crop, and CLIPSeg encodes a crop once for all its texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from annotation.regions.closed_vocabulary import ClosedModel, decide
from annotation.regions.crops import LAYOUT, Box, as_tensors, coverage, cut, scaled_box
from annotation.regions.interface import Candidate, Context, Labeller, Picture
from annotation.regions.phrases import noun_phrases
from annotation.regions.region_models import Place, family, in_batches, load, load_model, place, transformers
from annotation.regions.text_picture_model import TextPictureModel
from schemas.regions_config import DeviceConfig, ModelConfig, RegionsConfig, SsaConfig

if TYPE_CHECKING:
    import torch

RANKED_SCALE = 1.2
"""CLIP ranks on the mask's box grown by this factor."""
CONTEXT_SCALE = 1.6
"""The caption and CLIPSeg see the mask's box grown by this factor."""
CAPTION_TOKENS = 20
TEXTS_PER_BATCH = 256


def make(config: RegionsConfig) -> Labeller:
    """The labeller, its models loaded. Raises InputError for a model that is missing or unreadable."""
    return SsaLabeller(config)


class SsaLabeller:
    """Names masks by votes, caption, CLIP and CLIPSeg; one object serves a worker process."""

    def __init__(self, config: RegionsConfig) -> None:
        self._config = config.ssa or SsaConfig()
        where = place(config.run_on or DeviceConfig())
        batch = self._config.masks_per_batch
        self._votes = [
            ClosedModel(model, f"regions.ssa.votes.{index}", where)
            for index, model in enumerate(self._config.votes)
        ]
        self._captioner = Captioner(self._config.caption, "regions.ssa.caption", where, batch)
        self._ranker = TextPictureModel(self._config.clip, "regions.ssa.clip", where)
        self._settler = TextMaskModel(self._config.clipseg, "regions.ssa.clipseg", where, batch)

    def __call__(self, image: Picture, candidates: Sequence[Candidate], context: Context) -> list[Candidate]:
        """Each candidate with its label, and in `proposals` the best labels by CLIP.

        The score is the share of the mask's area where CLIPSeg's logit is highest for the label among the
        proposals, 1 where all sources agree on one; None for the label when the share is below `min_score`
        or leads the second by less than `min_margin`, or when nothing was proposed.
        """
        full = [index for index, item in enumerate(candidates) if item.area]
        result = [item.named(None, None) for item in candidates]
        if not full:
            return result
        masks = [candidates[index] for index in full]
        size = image.shape[:2]
        boxes = [scaled_box(item.bbox, CONTEXT_SCALE, size) for item in masks]
        crops = [cut(image, box) for box in boxes]
        proposals = self._ranked(image, masks, self._proposed(image, masks, crops))
        shares = self._settler.shares(masks, boxes, crops, proposals)
        least = (self._config.min_score, self._config.min_margin)
        for index, names, row in zip(full, proposals, shares, strict=True):
            if names:
                result[index] = candidates[index].named(*decide(names, row, *least), proposals=names)
        return result

    def _proposed(
        self, image: Picture, masks: Sequence[Candidate], crops: Sequence[Picture]
    ) -> list[list[str]]:
        """For each mask the best class of each closed-vocabulary model, then its caption's noun phrases."""
        proposed: list[list[str]] = [[] for _ in masks]
        for model in self._votes:
            for names, row in zip(proposed, model.support(image, masks), strict=True):
                best = model.names[int(row.argmax())]
                if best is not None:
                    names.append(best)
        for names, caption in zip(proposed, self._captioner.captions(crops), strict=True):
            names += noun_phrases(caption)
        return [list(dict.fromkeys(names)) for names in proposed]

    def _ranked(
        self, image: Picture, masks: Sequence[Candidate], proposed: Sequence[Sequence[str]]
    ) -> list[tuple[str, ...]]:
        """The `top` labels of each mask by CLIP on its crop, best first, equal ones in the order proposed."""
        texts = sorted({name for names in proposed for name in names})
        if not texts:
            return [() for _ in masks]
        size = image.shape[:2]
        crops = [cut(image, scaled_box(item.bbox, RANKED_SCALE, size)) for item in masks]
        pictures = self._ranker.pictures(crops, self._config.masks_per_batch)
        logits = self._ranker.likeness(pictures, self._ranker.texts(texts)).cpu().numpy()
        column = {text: index for index, text in enumerate(texts)}
        # Rounded, so that last bits, which depend on the size of a batch, don't change the order.
        ranked = []
        for names, row in zip(proposed, np.round(logits, 3), strict=True):
            likeness = {name: float(row[column[name]]) for name in names}
            ranked.append(tuple(sorted(names, key=likeness.__getitem__, reverse=True)[: self._config.top]))
        return ranked


class Captioner:
    """BLIP: an English sentence for a picture."""

    def __init__(self, model: ModelConfig, setting: str, where: Place, batch: int) -> None:
        what = "captioning model"
        family(model, ("blip",), what, setting)
        package = transformers()
        self._where, self._batch = where, batch
        self._model = load_model(package.BlipForConditionalGeneration, model, what, setting, where)
        self._images = load(package.AutoImageProcessor.from_pretrained, model, f"{what}'s processor", setting)
        self._tokenizer = load(package.AutoTokenizer.from_pretrained, model, f"{what}'s tokenizer", setting)

    def captions(self, pictures: Sequence[Picture]) -> list[str]:
        """The likeliest caption, word by word, of each (H, W, 3) uint8 RGB picture."""
        return [text for part in in_batches(pictures, self._batch, self._captions) for text in part]

    def _captions(self, pictures: Sequence[Picture]) -> list[str]:
        inputs = self._images(images=as_tensors(pictures), **LAYOUT)
        pixels = inputs["pixel_values"].to(self._where.device, dtype=self._where.dtype)
        tokens = self._model.generate(
            pixel_values=pixels, max_new_tokens=CAPTION_TOKENS, num_beams=1, do_sample=False
        )
        texts: list[str] = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return texts


class TextMaskModel:
    """CLIPSeg: where in a picture a text is, for several texts."""

    def __init__(self, model: ModelConfig, setting: str, where: Place, batch: int) -> None:
        what = "text-to-mask model"
        family(model, ("clipseg",), what, setting)
        package = transformers()
        self._where, self._batch = where, batch
        self._model = load_model(package.CLIPSegForImageSegmentation, model, what, setting, where)
        self._images = load(package.AutoImageProcessor.from_pretrained, model, f"{what}'s processor", setting)
        self._tokenizer = load(package.AutoTokenizer.from_pretrained, model, f"{what}'s tokenizer", setting)
        self._tokens = self._model.config.text_config.max_position_embeddings

    def shares(
        self,
        masks: Sequence[Candidate],
        boxes: Sequence[Box],
        crops: Sequence[Picture],
        texts: Sequence[tuple[str, ...]],
    ) -> list[NDArray[np.float32]]:
        """For each mask the share of its area where each of its texts has the highest logit, (its texts,).

        `crops` show the `boxes` [x0, y0, x1, y1] of the masks' picture. A mask with one text needs no model:
        its share is 1.
        """
        shares = [np.ones(len(names), dtype=np.float32) for names in texts]
        open_ = [index for index, names in enumerate(texts) if len(names) > 1]
        if not open_:
            return shares
        unique = sorted({name for index in open_ for name in texts[index]})
        rows = {name: row for row, name in enumerate(unique)}
        features = self._features(unique)

        def run(part: Sequence[int]) -> None:
            counts = [len(texts[index]) for index in part]
            wanted = [rows[name] for index in part for name in texts[index]]
            logits = self.logits([crops[index] for index in part], features[wanted], counts)
            for index, maps in zip(part, logits, strict=True):
                shares[index] = _won(maps.cpu().numpy(), masks[index], boxes[index])

        for _ in in_batches(open_, self._batch, run):
            pass
        return shares

    def logits(
        self, pictures: Sequence[Picture], features: torch.Tensor, counts: Sequence[int]
    ) -> list[torch.Tensor]:
        """The model's logits, (texts of the picture, h, w) for each picture; `features` hold `counts` rows a
        picture. A picture is encoded once, whatever its count: only the decoder runs for each text.
        """
        import torch

        inputs = self._images(images=as_tensors(pictures), **LAYOUT)
        pixels = inputs["pixel_values"].to(self._where.device, dtype=self._where.dtype)
        seen = self._model.clip.get_image_features(
            pixel_values=pixels, interpolate_pos_encoding=True, output_hidden_states=True
        )
        repeats = torch.tensor(counts, device=pixels.device)
        layers = [
            seen.hidden_states[layer + 1].repeat_interleave(repeats, dim=0)
            for layer in self._model.extract_layers
        ]
        logits = self._model.decoder(layers, features).logits.float()
        return list(logits.split(list(counts)))

    def _features(self, texts: Sequence[str]) -> torch.Tensor:
        import torch

        return torch.cat(list(in_batches(texts, TEXTS_PER_BATCH, self._encoded)))

    def _encoded(self, texts: Sequence[str]) -> torch.Tensor:
        tokens = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._tokens, return_tensors="pt"
        )
        tokens = {name: tokens[name].to(self._where.device) for name in ("input_ids", "attention_mask")}
        features: torch.Tensor = self._model.get_conditional_embeddings(batch_size=len(texts), **tokens)
        return features


def _won(logits: NDArray[np.float32], mask: Candidate, box: Box) -> NDArray[np.float32]:
    """The share of the mask, within its box, that each of (k, h, w) logits wins; equal ones the first."""
    x0, y0, x1, y1 = box
    weights = coverage(mask.pixels()[y0:y1, x0:x1], (logits.shape[1], logits.shape[2]))
    winners = logits.argmax(axis=0)
    won = np.bincount(winners.reshape(-1), weights=weights.reshape(-1), minlength=len(logits))
    return np.asarray(won / max(float(weights.sum()), 1e-6), dtype=np.float32)
