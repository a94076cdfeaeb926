"""Tiny models of each family, random but seeded, saved as the hub keeps them, and outputs painted into them.

A painted model is the real class with real inputs: only the last step, what training would have taught it, is
replaced by an answer that the pixels it was given decide.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers.models.bert.tokenization_bert import BertTokenizer
from transformers.models.clip.tokenization_clip import CLIPTokenizer

from annotation.regions.interface import Candidate, candidate

CLASSES = {0: "wall-other-merged", 1: "person, individual", 2: "tree-merged", 3: "background"}
CLOSED = ("oneformer", "mask2former", "eomt", "eomt-split", "segformer")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-,.'"
SIDE = 32
QUERIES = 6
Vector = Sequence[float]


def save_closed(folder: Path, kind: str, classes: Mapping[int, str] = CLASSES) -> Path:
    """A closed-vocabulary model and its processor."""
    torch.manual_seed(1)
    names = {"id2label": dict(classes), "label2id": {name: index for index, name in classes.items()}}
    config, processor = {
        "oneformer": _oneformer,
        "mask2former": _mask2former,
        "eomt": _eomt,
        "eomt-split": _eomt_split,
        "segformer": _segformer,
    }[kind](names)
    model = {
        "oneformer": transformers.OneFormerForUniversalSegmentation,
        "mask2former": transformers.Mask2FormerForUniversalSegmentation,
        "eomt": transformers.EomtForUniversalSegmentation,
        "segformer": transformers.SegformerForSemanticSegmentation,
    }[kind.removesuffix("-split")]
    model(config).save_pretrained(folder)
    if kind == "oneformer":
        save_clip_tokenizer(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    else:
        processor.save_pretrained(folder)
    return folder


def _swin() -> Any:
    return transformers.SwinConfig(
        image_size=SIDE,
        patch_size=4,
        embed_dim=8,
        depths=[1] * 4,
        num_heads=[1] * 4,
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )


def _oneformer(names: dict[str, Any]) -> tuple[Any, Any]:
    config = transformers.OneFormerConfig(
        backbone_config=_swin(),
        hidden_dim=32,
        conv_dim=32,
        mask_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        query_dec_layers=1,
        num_attention_heads=2,
        num_queries=QUERIES,
        is_training=False,
        text_encoder_width=16,
        text_encoder_context_length=8,
        text_encoder_num_layers=1,
        text_encoder_vocab_size=128,
        text_encoder_proj_layers=1,
        text_encoder_n_ctx=2,
        task_seq_len=24,
        **names,
    )
    # As on the hub: the file of class names is in another repository.
    processor = {
        "image_processor_type": "OneFormerImageProcessor",
        "processor_class": "OneFormerProcessor",
        "repo_path": "shi-labs/oneformer_demo",
        "class_info_file": "ade20k_panoptic.json",
        "size": {"shortest_edge": 64, "longest_edge": 256},
        "num_text": 2,
        "num_labels": len(names["id2label"]),
    }
    return config, processor


def _mask2former(names: dict[str, Any]) -> tuple[Any, Any]:
    config = transformers.Mask2FormerConfig(
        backbone_config=_swin(),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=QUERIES,
        **names,
    )
    size = {"shortest_edge": 64, "longest_edge": 256}
    return config, transformers.Mask2FormerImageProcessor(size=size, size_divisor=32)


def _eomt(names: dict[str, Any]) -> tuple[Any, Any]:
    config = transformers.EomtConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=64,
        patch_size=16,
        num_blocks=1,
        num_upscale_blocks=2,
        num_queries=QUERIES,
        **names,
    )
    size = {"shortest_edge": 64, "longest_edge": 64}
    return config, transformers.EomtImageProcessor(size=size, do_pad=True)


def _eomt_split(names: dict[str, Any]) -> tuple[Any, Any]:
    size = {"shortest_edge": 64, "longest_edge": None}
    return _eomt(names)[0], transformers.EomtImageProcessor(size=size, do_split_image=True)


def _segformer(names: dict[str, Any]) -> tuple[Any, Any]:
    config = transformers.SegformerConfig(
        depths=[1] * 4, hidden_sizes=[8] * 4, num_attention_heads=[1] * 4, decoder_hidden_size=8, **names
    )
    return config, transformers.SegformerImageProcessor(size={"height": 64, "width": 64})


def save_clip_tokenizer(folder: Path) -> int:
    """CLIP's tokenizer with letters for a vocabulary; its size."""
    tokens = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77).save_pretrained(folder)
    return len(tokens)


def _text(size: int) -> dict[str, Any]:
    return {
        "vocab_size": size,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "bos_token_id": size - 2,
        "eos_token_id": size - 1,
        "pad_token_id": size - 1,
    }


def _vision(layers: int = 1) -> dict[str, Any]:
    return {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "patch_size": 8,
    }


def save_clip(folder: Path, kind: str = "clip") -> Path:
    """CLIP, SigLIP or SigLIP 2 with its processor and a tokenizer of letters."""
    torch.manual_seed(2)
    size = save_clip_tokenizer(folder)
    square = {"height": SIDE, "width": SIDE}
    if kind == "clip":
        config = transformers.CLIPConfig(
            text_config={**_text(size), "projection_dim": 16},
            vision_config={**_vision(), "image_size": SIDE, "projection_dim": 16},
            projection_dim=16,
        )
        model: Any = transformers.CLIPModel(config)
        processor: Any = transformers.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=square)
    elif kind == "siglip":
        config = transformers.SiglipConfig(
            text_config={**_text(size), "projection_size": 16},
            vision_config={**_vision(), "image_size": SIDE},
        )
        model = transformers.SiglipModel(config)
        processor = transformers.SiglipImageProcessor(size=square)
    else:
        config = transformers.Siglip2Config(
            text_config={**_text(size), "projection_size": 16},
            vision_config={**_vision(), "num_patches": 16},
        )
        model = transformers.Siglip2Model(config)
        processor = transformers.Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    torch.nn.init.constant_(model.logit_scale, np.log(100))
    if kind != "clip":
        torch.nn.init.constant_(model.logit_bias, -16)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_clipseg(folder: Path) -> Path:
    """CLIPSeg with its processor and a tokenizer of letters."""
    torch.manual_seed(3)
    size = save_clip_tokenizer(folder)
    config = transformers.CLIPSegConfig(
        text_config={**_text(size), "projection_dim": 16},
        vision_config={**_vision(layers=2), "image_size": SIDE, "projection_dim": 16},
        projection_dim=16,
        extract_layers=[0, 1],
        reduce_dim=8,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    transformers.CLIPSegForImageSegmentation(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[DEC]",
    *["a", "the", "of", "on", "and", "red", "blue", "car", "sea", "dog"],
)


def save_blip(folder: Path) -> Path:
    """BLIP for captions with a tokenizer of a few words."""
    torch.manual_seed(4)
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    BertTokenizer(vocab=vocabulary, bos_token="[DEC]").save_pretrained(folder)
    text = {**_text(len(WORDS)), "bos_token_id": 5, "eos_token_id": 3, "pad_token_id": 0, "sep_token_id": 3}
    config = transformers.BlipConfig(
        text_config={**text, "encoder_hidden_size": 16},
        vision_config={**_vision(), "image_size": SIDE, "initializer_range": 0.02},
    )
    model = transformers.BlipForConditionalGeneration(config)
    with torch.no_grad():  # large weights, so that different pictures have different captions
        for weight in model.parameters():
            weight.mul_(12 if weight.ndim > 1 else 1)
    model.save_pretrained(folder)
    transformers.BlipImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def color_map(pixels: torch.Tensor) -> torch.Tensor:
    """Which of gray (0), red (1), blue (2), green (3) each pixel of (B, 3, h, w) normalized input is, one-hot
    (B, 4, h, w); "red" is the FIRST channel, so a picture in BGR order would be called by the wrong name.
    """
    red, green, blue = pixels.float().unbind(1)
    best = torch.stack([torch.zeros_like(red) + 0.6, red - green, blue - green, green - red], dim=1).argmax(1)
    return torch.nn.functional.one_hot(best, 4).permute(0, 3, 1, 2).float()


class Counter:
    """Counts calls."""

    def __init__(self) -> None:
        self.calls = 0


def paint_closed(model: Any, share: float = 1.0) -> Counter:
    """Makes a loaded closed-vocabulary model see the classes of `color_map`: gray is class 0, red 1, blue 2,
    green 3; `share` of each cell's score goes to that class, the rest to none. Returns the count of forwards.
    """
    counter = Counter()
    real: Callable[..., Any] = model.forward

    def forward(*arguments: Any, **inputs: Any) -> Any:
        counter.calls += 1
        outputs = real(*arguments, **inputs)
        seen = color_map(inputs["pixel_values"])
        if "logits" in outputs:
            seen = torch.nn.functional.adaptive_avg_pool2d(seen, outputs.logits.shape[-2:])
            odds = np.log(share * 3 / (1 - share)) if share < 1 else 30.0
            outputs.logits = (seen * float(odds)).to(outputs.logits.dtype)
            return outputs
        masks = outputs.masks_queries_logits
        seen = torch.nn.functional.adaptive_avg_pool2d(seen, masks.shape[-2:])
        outputs.masks_queries_logits = masks.new_full(masks.shape, -30.0)
        outputs.masks_queries_logits[:, :4] = (seen * 60 - 30).to(masks.dtype)
        classes = outputs.class_queries_logits
        odds = np.log(share / (1 - share)) if share < 1 else 30.0
        painted = classes.new_full(classes.shape, -60.0)
        painted[..., -1] = 0.0
        for query in range(4):
            painted[:, query, query] = float(odds)
        outputs.class_queries_logits = painted
        return outputs

    model.forward = forward
    return counter


def paint_clip(model: Any, texts: Mapping[str, Vector], pictures: Callable[[Vector], Vector]) -> Counter:
    """Replaces a TextPictureModel's features by known vectors through the real class: of each text in which
    a word of `texts` occurs, and of a picture by `pictures`, which gets its mean normalized color. Returns
    the count of picture forwards.
    """
    counter = Counter()
    inner, tokenizer = model._model, model._tokenizer

    def get_text_features(input_ids: torch.Tensor, **given: Any) -> Any:
        rows = []
        for text in tokenizer.batch_decode(input_ids, skip_special_tokens=True):
            written = "".join(text.split())
            rows.append(next(vector for word, vector in texts.items() if word in written))
        return _pooled(rows)

    def get_image_features(pixel_values: torch.Tensor, **given: Any) -> Any:
        counter.calls += 1
        if pixel_values.ndim == 3:  # SigLIP 2: patches of 8 x 8 pixels, rows and columns before channels
            pixel_values = pixel_values.reshape(*pixel_values.shape[:2], -1, 3).permute(0, 3, 1, 2)
        means = pixel_values.float().mean(dim=(2, 3))
        return _pooled([pictures(mean.tolist()) for mean in means])

    inner.get_text_features = get_text_features
    inner.get_image_features = get_image_features
    return counter


def _pooled(rows: Sequence[Vector]) -> Any:
    return transformers.modeling_outputs.BaseModelOutputWithPooling(
        pooler_output=torch.tensor([[float(value) for value in row] for row in rows])
    )


def box_mask(shape: tuple[int, ...], top: int, left: int, height: int, width: int) -> Candidate:
    """A rectangle as a candidate."""
    mask = np.zeros(shape[:2], dtype=bool)
    mask[top : top + height, left : left + width] = True
    return candidate(mask)


def plates(height: int = 96, width: int = 128) -> tuple[NDArray[np.uint8], list[Candidate]]:
    """A gray picture with a red, a blue and a green plate, and the masks red, blue, green, gray, red and blue
    half and half.
    """
    image = np.full((height, width, 3), 128, dtype=np.uint8)
    tall, wide = height // 3, width // 4
    columns = {0: (230, 20, 20), 1: (20, 20, 230), 3: (20, 230, 20)}
    for column, color in columns.items():
        image[tall : 2 * tall, column * wide : (column + 1) * wide] = color
    masks = [box_mask(image.shape, tall, column * wide, tall, wide) for column in columns]
    masks.append(box_mask(image.shape, 0, 0, tall // 2, width))
    masks.append(box_mask(image.shape, tall, wide // 2, tall, wide))
    return image, masks
