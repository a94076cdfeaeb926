"""Two small chat models for a server: SmolLM2-135M-Instruct's real weights, and an InternVL of random ones.

Run as `python -m tests.annotation.chat.small_models GGUF TEXT_FOLDER PICTURE_FOLDER`, where `gguf` can be
imported.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
)

SIDE = 56
PICTURE_TOKENS = 4
SPECIAL = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for item in message['content'] %}"
    "{% if item['type'] == 'image' %}{{ '<IMG_CONTEXT>\n' }}{% else %}{{ item['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def save_text_model(gguf: Path, folder: Path) -> None:
    """The weights of a GGUF file, as safetensors with their tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="float32")
    del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_picture_model(text_folder: Path, folder: Path) -> None:
    """An InternVL with two layers of each kind, random weights and the text model's vocabulary."""
    tokenizer = AutoTokenizer.from_pretrained(text_folder, extra_special_tokens=SPECIAL)
    size = {"height": SIDE, "width": SIDE}
    processor = InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=size, crop_to_patches=False),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size=size),
        image_seq_length=PICTURE_TOKENS,
        chat_template=TEMPLATE,
    )
    narrow = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = InternVLConfig(
        vision_config={**narrow, "image_size": [SIDE, SIDE], "patch_size": [14, 14]},
        text_config={
            **narrow,
            "model_type": "qwen2",
            "vocab_size": len(tokenizer),
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 2,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=PICTURE_TOKENS,
        downsample_ratio=0.5,
    )
    torch.manual_seed(0)
    InternVLForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)


if __name__ == "__main__":
    gguf_file, text_model, picture_model = map(Path, sys.argv[1:])
    save_text_model(gguf_file, text_model)
    save_picture_model(text_model, picture_model)
