"""Tiny SAM, SAM-HQ, SAM 2 and EdgeTAM models with fixed random weights, saved as the hub saves theirs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn

WIDTH, HEADS, DECODER, MLP = 32, 2, 32, 64
PATCH = 16
SEED = 16  # of those tried, the one with the most masks at SSA's thresholds


def save_sam(folder: Path, side: int = 256, seed: int = SEED) -> Path:
    """SAM of a `side` px input."""
    config = transformers.SamConfig(
        vision_config=_vision(side),
        prompt_encoder_config=_prompts(side),
        mask_decoder_config=_decoder(),
    )
    return _save(lambda: transformers.SamModel(config), _longest_side(side), folder, seed)


def save_sam_hq(folder: Path, side: int = 256, seed: int = SEED) -> Path:
    """SAM-HQ of a `side` px input."""
    config = transformers.SamHQConfig(
        vision_config=_vision(side),
        prompt_encoder_config=_prompts(side),
        mask_decoder_config={**_decoder(), "vit_dim": WIDTH},
    )
    return _save(lambda: transformers.SamHQModel(config), _longest_side(side), folder, seed)


def save_sam2(folder: Path, side: int = 256, seed: int = SEED) -> Path:
    """SAM 2 of a `side` px input."""
    backbone = {
        "hidden_size": 16,
        "image_size": [side, side],
        "blocks_per_stage": [1, 1, 1, 1],
        "embed_dim_per_stage": [16, 32, 64, 128],
        "num_attention_heads_per_stage": [1, 1, 1, 1],
        "window_size_per_stage": [4, 4, 4, 4],
        "global_attention_blocks": [],
        "model_type": "sam2_hiera_det_model",
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": [128, 64, 32, 16],
        "backbone_feature_sizes": _levels(side),
        "fpn_hidden_size": DECODER,
    }
    config = transformers.Sam2Config(
        vision_config=vision, prompt_encoder_config=_square_prompts(side), mask_decoder_config=_decoder()
    )
    return _save(lambda: transformers.Sam2Model(config), _square(side), folder, seed)


def save_edgetam(folder: Path, side: int = 256, seed: int = SEED) -> Path:
    """EdgeTAM of a `side` px input; its backbone is a small network of timm."""
    vision = {
        "backbone_config": {
            "model_type": "timm_wrapper",
            "architecture": "resnet10t",
            "num_classes": 2,
            "model_args": {"in_chans": 3, "features_only": True, "out_indices": [1, 2, 3, 4]},
        },
        "backbone_channel_list": [512, 256, 128, 64],
        "backbone_feature_sizes": _levels(side),
        "fpn_hidden_size": DECODER,
    }
    config = transformers.EdgeTamConfig(
        vision_config=vision, prompt_encoder_config=_square_prompts(side), mask_decoder_config=_decoder()
    )
    return _save(lambda: transformers.EdgeTamModel(config), _square(side), folder, seed)


def original_sam(folder: Path) -> Sam:
    """The SAM saved in `folder` as the package segment-anything has it: the same weights, renamed."""
    model = transformers.SamModel.from_pretrained(folder).eval()
    side = model.config.vision_config.image_size
    grid = side // PATCH
    original = Sam(
        image_encoder=ImageEncoderViT(
            img_size=side,
            patch_size=PATCH,
            embed_dim=WIDTH,
            depth=len(model.vision_encoder.layers),
            num_heads=HEADS,
            mlp_ratio=2,
            out_chans=DECODER,
            qkv_bias=True,
            norm_layer=lambda size: nn.LayerNorm(size, eps=1e-6),
            use_rel_pos=True,
            window_size=4,
            global_attn_indexes=(1,),
        ),
        prompt_encoder=PromptEncoder(DECODER, (grid, grid), (side, side), mask_in_chans=16),
        mask_decoder=MaskDecoder(
            transformer_dim=DECODER,
            transformer=TwoWayTransformer(depth=2, embedding_dim=DECODER, num_heads=HEADS, mlp_dim=MLP),
            iou_head_hidden_dim=DECODER,
        ),
    )
    state = {_original_name(name): value for name, value in model.state_dict().items()}
    original.load_state_dict({name: value for name, value in state.items() if name is not None})
    return original.eval()


_RENAMED = (
    ("vision_encoder.patch_embed.projection", "image_encoder.patch_embed.proj"),
    ("vision_encoder.layers.", "image_encoder.blocks."),
    ("vision_encoder.neck.conv1", "image_encoder.neck.0"),
    ("vision_encoder.neck.layer_norm1", "image_encoder.neck.1"),
    ("vision_encoder.neck.conv2", "image_encoder.neck.2"),
    ("vision_encoder.neck.layer_norm2", "image_encoder.neck.3"),
    ("vision_encoder.", "image_encoder."),
    ("shared_image_embedding.positional_embedding",
     "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    ("prompt_encoder.point_embed.", "prompt_encoder.point_embeddings."),
    ("prompt_encoder.mask_embed.conv1", "prompt_encoder.mask_downscaling.0"),
    ("prompt_encoder.mask_embed.layer_norm1", "prompt_encoder.mask_downscaling.1"),
    ("prompt_encoder.mask_embed.conv2", "prompt_encoder.mask_downscaling.3"),
    ("prompt_encoder.mask_embed.layer_norm2", "prompt_encoder.mask_downscaling.4"),
    ("prompt_encoder.mask_embed.conv3", "prompt_encoder.mask_downscaling.6"),
    ("mask_decoder.upscale_conv1", "mask_decoder.output_upscaling.0"),
    ("mask_decoder.upscale_layer_norm", "mask_decoder.output_upscaling.1"),
    ("mask_decoder.upscale_conv2", "mask_decoder.output_upscaling.3"),
    (".layer_norm_final_attn", ".norm_final_attn"),
)  # fmt: skip


def _original_name(name: str) -> str | None:
    """segment-anything's name of a weight of transformers' SamModel; None for the copy of a shared one."""
    if name == "prompt_encoder.shared_embedding.positional_embedding":
        return None
    for ours, theirs in _RENAMED:
        if name.startswith(ours) or (ours.startswith(".") and ours in name):
            name = name.replace(ours, theirs)
    norm = "norm" if ".blocks." in name or ".transformer." in name else "layer_norm"
    name = re.sub(r"\blayer_norm(\d)", rf"{norm}\1", name)
    if "iou_prediction_head" in name or "hypernetworks_mlps" in name:
        name = name.replace(".proj_in.", ".layers.#0.").replace(".proj_out.", ".layers.#2.")
        name = re.sub(r"\.layers\.0\.", ".layers.1.", name).replace("#", "")
    return name


def _vision(side: int) -> dict[str, Any]:
    return {
        "hidden_size": WIDTH, "output_channels": DECODER, "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
        "image_size": side, "patch_size": PATCH, "mlp_dim": 2 * WIDTH, "num_pos_feats": DECODER // 2,
        "window_size": 4, "global_attn_indexes": [1],
    }  # fmt: skip


def _prompts(side: int) -> dict[str, Any]:
    return {
        "hidden_size": DECODER, "image_size": side, "patch_size": PATCH,
        "image_embedding_size": side // PATCH,
    }  # fmt: skip


def _square_prompts(side: int) -> dict[str, Any]:
    return {"hidden_size": DECODER, "image_size": side, "patch_size": PATCH}


def _decoder() -> dict[str, Any]:
    return {
        "hidden_size": DECODER, "mlp_dim": MLP, "num_attention_heads": HEADS, "iou_head_hidden_dim": DECODER,
        "layer_norm_eps": 1e-5,
    }  # fmt: skip


def _levels(side: int) -> list[list[int]]:
    return [[side // step, side // step] for step in (4, 8, 16)]


def _longest_side(side: int) -> Any:
    return transformers.SamImageProcessor(
        size={"longest_edge": side}, pad_size={"height": side, "width": side},
        mask_size={"longest_edge": side // 4}, mask_pad_size={"height": side // 4, "width": side // 4},
    )  # fmt: skip


def _square(side: int) -> Any:
    return transformers.Sam2ImageProcessor(size={"height": side, "width": side})


def _save(build: Callable[[], Any], processor: Any, folder: Path, seed: int) -> Path:
    transformers.utils.logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build().eval()
        _liven(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _liven(model: Any) -> None:
    """Random weights that see: masks follow colors and the point, predicted IoUs lie on both sides of .86.

    Kernels that reduce or enlarge are flat, so that masks are patches and no checkerboard; pixels look at the
    point with the same weights on both sides, which makes it felt near it; logits are mostly negative and
    scaled up, as a trained model's are.
    """
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("positional_embedding"):
                value.normal_(0, 1.5)
            elif name.endswith("bias"):
                value.normal_(0, 0.1)
            elif value.dim() > 1:
                value.normal_(0, 1.4 / max(value[0].numel(), 1) ** 0.5)
            if value.dim() == 4 and value.shape[-1] > 1 and ("upscale" in name or "patch_embed" in name):
                value.copy_(value.mean((2, 3), keepdim=True).expand_as(value) * value.shape[-1])
        decoder = model.mask_decoder
        for layer in decoder.transformer.layers:
            looks = layer.cross_attn_image_to_token
            looks.k_proj.weight.copy_(looks.q_proj.weight * 3.5)
            looks.q_proj.weight.mul_(3.5)
        for head in decoder.output_hypernetworks_mlps:
            head.proj_out.weight.mul_(120)
            head.proj_out.bias.fill_(-60)
        if hasattr(decoder, "hq_mask_mlp"):
            decoder.hq_mask_mlp.proj_out.weight.mul_(60)
        decoder.iou_prediction_head.proj_out.bias.fill_(1.05)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "sam": save_sam,
    "sam_hq": save_sam_hq,
    "sam2": save_sam2,
    "edgetam": save_edgetam,
}
"""What saves each family's tiny model."""
