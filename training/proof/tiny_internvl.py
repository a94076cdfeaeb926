"""A tiny InternVL for the proof, with the rows' words as its vocabulary and random weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.sft.tiny import INTERNVL_TEMPLATE, INTERNVL_TOKENS

Picture = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""
PATCH = 8
"""Side of a patch in pixels; four patches make one token of the language model (downsample .5)."""
WIDTH, HEADS, LAYERS = 128, 4, 3
LANGUAGE_LAYERS = 2
_PIECE = r"[^A-Za-z0-9\s]?[A-Za-z]+| ?[A-Za-z]+|\d| ?[^A-Za-z0-9\s]|\s"
"""How text splits into tokens: a word with the space or punctuation before it, as in Qwen's vocabulary."""
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|unknown|>", *INTERNVL_TOKENS.values())
_AMPLITUDE, _SPREAD = 0.5, 0.05


def split_tokens(texts: Iterable[str]) -> list[str]:
    """The distinct tokens of some texts, sorted."""
    return sorted({piece for text in texts for piece in re.findall(_PIECE, text)})


def make_tokenizer(texts: Iterable[str]) -> Any:
    """A tokenizer that knows the words of `texts` and of the chat template, and no others."""
    import transformers
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    words = split_tokens([*texts, "user\n", "assistant\n", "system\n"])
    vocabulary = {word: number for number, word in enumerate([*_SPECIAL, *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unknown|>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECE), "isolated")
    inner.decoder = decoders.Fuse()
    inner.add_special_tokens([AddedToken(word, normalized=False, special=True) for word in _SPECIAL])
    kinds: Any = transformers
    return kinds.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|unknown|>",
        model_max_length=4096,
        extra_special_tokens=INTERNVL_TOKENS,
    )


def make_processor(texts: Iterable[str], side: int) -> Any:
    """A processor for pictures of `side` pixels, one tile each, and dialogues in the closed vocabulary."""
    import transformers
    from transformers import GotOcr2ImageProcessor, InternVLVideoProcessor

    kind: Any = transformers.InternVLProcessor
    images = GotOcr2ImageProcessor(
        size={"height": side, "width": side}, crop_to_patches=True, min_patches=1, max_patches=1
    )
    return kind(
        image_processor=images,
        tokenizer=make_tokenizer(texts),
        video_processor=InternVLVideoProcessor(),
        image_seq_length=(side // PATCH // 2) ** 2,
        chat_template=INTERNVL_TEMPLATE,
    )


def make_model(reader: Any, pictures: Sequence[Picture], seed: int) -> Any:
    """An InternVL of about a million weights for the pictures and words that `reader`, a processor, reads.

    Weights are normal with a standard deviation of .05. The position embeddings start as a 2-D sine-cosine
    grid of amplitude .5 and the patch embedding as the principal components of patches of `pictures`; without
    that, a transformer of this size takes far longer to learn to see. No answer is used here.
    """
    import torch
    from transformers import InternVLConfig, InternVLForConditionalGeneration

    side = int(reader.image_processor.size["height"])
    words = reader.tokenizer
    config = InternVLConfig(
        text_config={
            "model_type": "qwen2", "vocab_size": len(words), "hidden_size": WIDTH, "intermediate_size": 384,
            "num_hidden_layers": LANGUAGE_LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
            "max_position_embeddings": 1024, "tie_word_embeddings": False, "initializer_range": _SPREAD,
            "bos_token_id": words.pad_token_id, "eos_token_id": words.eos_token_id,
            "pad_token_id": words.pad_token_id,
        },
        vision_config={
            "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
            "intermediate_size": 4 * WIDTH, "image_size": [side, side], "patch_size": [PATCH, PATCH],
            "layer_scale_init_value": 1.0, "initializer_range": _SPREAD,
        },
        image_token_id=words.context_image_token_id,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = InternVLForConditionalGeneration(config)
    model.generation_config.pad_token_id = words.pad_token_id
    model.generation_config.eos_token_id = words.eos_token_id
    with torch.no_grad():
        found = model.model.vision_tower.embeddings
        grid = sine_cosine_grid(side // PATCH, WIDTH) * _AMPLITUDE
        found.position_embeddings[0, 1:] = torch.from_numpy(grid)
        filters, offset = principal_components(_normalize(reader, pictures), WIDTH)
        projection = found.patch_embeddings.projection
        projection.weight.copy_(torch.from_numpy(filters))
        projection.bias.copy_(torch.from_numpy(offset))
    return model


def _normalize(reader: Any, pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """The pictures (N, 3, H, W) as the model gets them."""
    found = reader.image_processor(list(pictures), return_tensors="np")["pixel_values"]
    return np.asarray(found, dtype=np.float32)


def sine_cosine_grid(cells: int, width: int) -> NDArray[np.float32]:
    """(cells * cells, width) position embeddings, row by row: sine and cosine of x, then of y.

    The frequencies fall geometrically from one period in four cells to a fraction of one over the grid
    (Vaswani et al. 2017, in two dimensions as in MAE, He et al. 2022, with a base that suits a small grid).
    """
    quarter = width // 4
    turns = 100.0 ** (-np.arange(quarter) / quarter)
    angle = np.arange(cells)[:, None] * turns[None] * np.pi / 2
    y, x = np.repeat(angle, cells, axis=0), np.tile(angle, (cells, 1))
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1).astype(np.float32)


def principal_components(
    pixels: NDArray[np.float32], count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Principal components (count, 3, PATCH, PATCH) of the patches of (N, 3, H, W) pictures, and offsets
    (count,): together a convolution whose outputs have mean 0 and, capped, roughly equal variances.
    """
    batch, channels, height, width = pixels.shape
    cut = pixels.reshape(batch, channels, height // PATCH, PATCH, width // PATCH, PATCH)
    patches = cut.transpose(0, 2, 4, 1, 3, 5).reshape(-1, channels * PATCH * PATCH).astype(np.float64)
    mean = patches.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((patches - mean).T))
    order = np.argsort(values)[::-1][:count]
    scale = 1.0 / np.sqrt(values[order] + 0.01 * values.mean())
    filters = (vectors[:, order] * scale).T
    offset = -(filters @ mean)
    shape = (count, channels, PATCH, PATCH)
    return filters.reshape(shape).astype(np.float32), offset.astype(np.float32)


def save_model(model: Any, reader: Any, folder: Path) -> None:
    """Save model and processor as `schemas.model_files` reads them."""
    model.save_pretrained(folder)
    reader.save_pretrained(folder)
