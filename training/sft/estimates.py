"""Memory and hours of a run: from the model's shape, or from rows timed on the device."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.sft.groups import ModelLayout
from training.sft.train_config import TrainOptions

if TYPE_CHECKING:
    from torch.nn import Module

PEAK = {"H100": 989e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12}
"""Peak dense bfloat16 operations per second of a GPU, accumulated in float32, without sparsity, from NVIDIA's
data sheets of the H100 SXM, A100 and L40S, and the Ada architecture whitepaper for the RTX 4090."""
UTILIZATION = 0.3
"""Assumed share of the peak, for short rows, one at a time; checkpointing is counted separately."""
ADAM_BYTES = 12
"""Bytes of a trained float32 weight besides the weight itself: its gradient and AdamW's two moments."""


@dataclass(frozen=True)
class RowSize:
    """One row: its tokens, how many of them are picture tokens, and the patches the vision encoder sees."""

    tokens: int
    picture_tokens: int
    patches: int


@dataclass(frozen=True)
class ModelShape:
    """What decides a model's arithmetic and memory: weights multiplied with each token, widths, depths."""

    language_weights: int
    head_weights: int
    vision_weights: int
    projector_weights: int
    language: tuple[int, int, int, int]
    """Number of layers, width, width of keys and values, inner width of the feed-forward part."""
    vision: tuple[int, int, int]
    """Number of layers, width, inner width."""


def measure_model(model: Module, layout: ModelLayout) -> ModelShape:
    """Measure a PEFT model's shape, adapters excluded; its weights may be on the meta device."""
    weights = {"language": 0, "embedding": 0, "head": 0, "vision": 0, "projector": 0}
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or ".original_module." in name or ".lora_" in name:
            continue
        path = name.removeprefix("base_model.model.").replace(".modules_to_save.default", "")
        if path.startswith(layout.language + "."):
            weights["embedding" if "embed_tokens" in path else "language"] += parameter.numel()
        elif path.startswith("lm_head."):
            weights["head"] += parameter.numel()
        elif any(path.startswith(part + ".") for part in layout.projectors):
            weights["projector"] += parameter.numel()
        elif path.startswith(layout.vision + "."):
            weights["vision"] += parameter.numel()
    config: Any = model.config
    text, vision = config.text_config, config.vision_config
    heads = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    depth = getattr(vision, "depth", None) or vision.num_hidden_layers
    return ModelShape(
        weights["language"], weights["head"] or weights["embedding"], weights["vision"], weights["projector"],
        (text.num_hidden_layers, text.hidden_size, text.num_key_value_heads * heads, text.intermediate_size),
        (depth, vision.hidden_size, vision.intermediate_size),
    )  # fmt: skip


def measure_row(found: Mapping[str, Any], config: Any) -> RowSize:
    """The size of an encoded row (`training.sft.encode_rows.encode_row`), from its tensors' shapes."""
    ids = found["input_ids"]
    picture = getattr(config, "image_token_id", None)
    tokens = 0 if picture is None else int((ids == picture).sum())
    patches = 0
    if "image_grid_thw" in found:
        patches = int(found["image_grid_thw"].prod(-1).sum())
    elif "pixel_values" in found:
        side = config.vision_config.patch_size
        side = side[0] if isinstance(side, Sequence) else side
        tiles, _, height, width = found["pixel_values"].shape
        patches = tiles * (height // side) * (width // side)
    return RowSize(int(ids.shape[1]), tokens, patches)


def count_operations(size: RowSize, shape: ModelShape, options: TrainOptions) -> float:
    """Floating-point operations of one row, forward and backward.

    A multiplied weight takes 2 per token forward and 2 for the gradient of its input, and 2 more for its own
    where it trains, as in the vision encoder and projector (LoRA's are omitted: about 1%); with checkpointing
    the layers run forward once more. Attention takes 4 * width per pair of tokens forward, twice that
    backward; it covers half the pairs in the language model and all of them in the vision encoder (fewer in
    encoders with windows).
    """
    again = 1 if options.run.checkpointing else 0
    layers, width, _, _ = shape.language
    depth, vision_width, _ = shape.vision
    sees = 3 + again if options.rates.vision else 1
    return (
        2.0 * shape.language_weights * size.tokens * (2 + again)
        + 2.0 * layers * width * size.tokens**2 * (3 + again)
        + 2.0 * shape.vision_weights * size.patches * sees
        + 4.0 * depth * vision_width * size.patches**2 * sees
        + 2.0 * shape.projector_weights * size.picture_tokens * (3 if options.rates.projector else 2)
        + 2.0 * shape.head_weights * size.tokens * 2
    )


def count_activation_bytes(sizes: Sequence[RowSize], shape: ModelShape, options: TrainOptions) -> float:
    """Peak bytes kept for the backward pass of a batch of rows of these sizes.

    A layer of the language model keeps about 8 widths, keys and values, and 4 inner widths per token; one of
    the vision encoder 8 widths and 3 inner widths. With checkpointing every layer keeps only its input, and
    one layer at a time keeps everything. Attention is counted without its matrix (sdpa, flash), and the head
    not at all, as TRL runs it in chunks.
    """
    unit = 2 if options.model.dtype == "bfloat16" else 4
    layers, width, keys, inner = shape.language
    depth, vision_width, vision_inner = shape.vision
    longest = max(size.tokens for size in sizes)
    tokens = longest * len(sizes)
    patches = sum(size.patches for size in sizes)
    language = unit * tokens * (8 * width + 2 * keys + 4 * inner)
    vision = unit * patches * (8 * vision_width + 3 * vision_inner)
    if options.run.checkpointing:
        inputs = unit * (layers * tokens * width + depth * patches * vision_width)
        return inputs + max(language, vision)
    return layers * language + (depth * vision if options.rates.vision else 0.0)


def memory_line(model: Module, layout: ModelLayout, sizes: Sequence[RowSize], options: TrainOptions) -> str:
    """Memory of stored weights, gradients, AdamW's moments, and a batch of the longest rows' activations."""
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    longest = sorted(sizes, key=lambda size: (size.tokens, size.patches))[-options.run.batch :]
    activations = count_activation_bytes(longest, measure_model(model, layout), options)
    parts = (weights, trained * ADAM_BYTES, activations)
    return (
        f"memory   {_format_gb(sum(parts))} on each device without DeepSpeed: "
        f"{_format_gb(weights)} weights + "
        f"{_format_gb(parts[1])} gradients and AdamW + about {_format_gb(activations)} activations"
    )


def _format_gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"


def hours_line(
    model: Module, layout: ModelLayout, sizes: Sequence[RowSize], options: TrainOptions, rows: int
) -> str:
    """Hours of a run over `rows` rows on one GPU of each kind, at an assumed share of its peak."""
    shape = measure_model(model, layout)
    each = sum(count_operations(size, shape, options) for size in sizes) / len(sizes)
    cards = ", ".join(
        f"{name} {_format_hours(rows * each / (peak * UTILIZATION))}" for name, peak in PEAK.items()
    )
    return (
        f"hours    on one GPU for {rows} rows of {each / 1e12:.3g} TFLOP, at {UTILIZATION:.0%} "
        f"(assumed) of its bfloat16 peak: {cards}"
    )


def _format_hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.1f}" if hours >= 1 else f"{hours:.2f}" if hours >= 0.01 else "< 0.01"


def timed_line(model: Any, examples: Sequence[Mapping[str, Any]], options: TrainOptions, rows: int) -> str:
    """Hours from rows timed forward and backward on this device, and a GPU's peak memory.

    The first row is run once before timing starts. The logits are computed in full here, but chunk by chunk
    in training, so the peak is an upper bound.
    """
    import torch

    device = "cuda" if options.run.device == "auto" and torch.cuda.is_available() else "cpu"
    model = model.to(device).train()
    if options.run.checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    half = options.model.dtype == "bfloat16"

    def run(example: Mapping[str, Any]) -> None:
        inputs = {name: value.to(device) for name, value in example.items()}
        with torch.autocast(device, dtype=torch.bfloat16, enabled=half):
            loss = model(**inputs).loss
        loss.backward()
        model.zero_grad(set_to_none=False)
        if device == "cuda":
            torch.cuda.synchronize()

    run(examples[0])
    start = time.perf_counter()
    for example in examples:
        run(example)
    each = (time.perf_counter() - start) / len(examples)
    hours = f"{_format_hours(rows * each)} hours for {rows} rows"
    line = f"measured {each:.3f} s per row on {device} (mean of {len(examples)}): {hours}"
    if device == "cuda":
        line += f"; peak {_format_gb(torch.cuda.max_memory_allocated())} without AdamW's moments"
    return line
