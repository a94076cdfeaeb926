"""Memory and hours of a run: from the model's shape, or from rows timed on the device it will run on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.sft.groups import Layout
from training.sft.train_config import TrainOptions

if TYPE_CHECKING:
    from torch.nn import Module

PEAK = {"H100": 989e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12}
"""Dense bfloat16 operations a second of a card, sums in float32, without sparsity, as its maker has them: the
data sheets of H100 SXM, A100 and L40S, and the whitepaper of the Ada architecture for the RTX 4090."""
UTILISATION = 0.3
"""Share of the peak that is assumed to be reached: short rows, one at a time, checkpointing counted apart."""
ADAM_BYTES = 12
"""Bytes of a float32 weight that trains, beside itself: its gradient and AdamW's two moments."""


@dataclass(frozen=True)
class Size:
    """One row: its tokens, those of them that stand for pictures, and the patches the vision encoder sees."""

    tokens: int
    picture_tokens: int
    patches: int


@dataclass(frozen=True)
class Shape:
    """What of a model decides arithmetic and memory: weights multiplied with each token, widths, depths."""

    language_weights: int
    head_weights: int
    vision_weights: int
    projector_weights: int
    language: tuple[int, int, int, int]
    """Layers, width, width of keys and values, inner width of the feed-forward part."""
    vision: tuple[int, int, int]
    """Layers, width, inner width."""


def shape_of(model: Module, layout: Layout) -> Shape:
    """Read a PEFT model's shape, of weights anywhere, the meta device too; adapters are left out."""
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
    return Shape(
        weights["language"], weights["head"] or weights["embedding"], weights["vision"], weights["projector"],
        (text.num_hidden_layers, text.hidden_size, text.num_key_value_heads * heads, text.intermediate_size),
        (depth, vision.hidden_size, vision.intermediate_size),
    )  # fmt: skip


def size_of(found: Mapping[str, Any], config: Any) -> Size:
    """The size of an encoded row (`training.sft.encode_rows.encoded`), from its tensors' shapes."""
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
    return Size(int(ids.shape[1]), tokens, patches)


def operations(size: Size, shape: Shape, options: TrainOptions) -> float:
    """Floating-point operations of one row, forward and backward.

    A multiplied weight takes 2 a token forward and 2 for the gradient of its input; 2 more for its own where
    it trains, as in vision encoder and projector (LoRA's are left out: about a hundredth); with checkpointing
    the layers are run forward once more. Attention takes 4 * width a pair of tokens forward, twice that
    backward; it looks at half the pairs in the language model, at all of them in the vision encoder (those
    with windows look at fewer).
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


def activation_bytes(sizes: Sequence[Size], shape: Shape, options: TrainOptions) -> float:
    """Bytes kept for the backward pass of a batch of rows of these sizes, the peak of them.

    A layer of the language model keeps about 8 widths, keys and values, and 4 inner widths a token; one of
    the vision encoder 8 widths and 3 inner ones. With checkpointing every layer keeps its input alone, and
    one at a time all of it. Attention is counted without its matrix (sdpa, flash), the head as TRL runs it,
    in chunks: nothing.
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


def memory_line(model: Module, layout: Layout, sizes: Sequence[Size], options: TrainOptions) -> str:
    """Weights as stored, gradients and AdamW's moments, activations of a batch of the longest rows."""
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    longest = sorted(sizes, key=lambda size: (size.tokens, size.patches))[-options.run.batch :]
    activations = activation_bytes(longest, shape_of(model, layout), options)
    parts = (weights, trained * ADAM_BYTES, activations)
    return (
        f"memory   {_gb(sum(parts))} on each device without DeepSpeed: {_gb(weights)} weights + "
        f"{_gb(parts[1])} gradients and AdamW + about {_gb(activations)} activations"
    )


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"


def hours_line(model: Module, layout: Layout, sizes: Sequence[Size], options: TrainOptions, rows: int) -> str:
    """Hours of a run over so many rows, on one card of each kind, at an assumed share of its peak."""
    shape = shape_of(model, layout)
    each = sum(operations(size, shape, options) for size in sizes) / len(sizes)
    cards = ", ".join(f"{name} {_hours(rows * each / (peak * UTILISATION))}" for name, peak in PEAK.items())
    return (
        f"hours    on one card for {rows} rows of {each / 1e12:.3g} TFLOP, at {UTILISATION:.0%} "
        f"(assumed) of its bfloat16 peak: {cards}"
    )


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.1f}" if hours >= 1 else f"{hours:.2f}" if hours >= 0.01 else "< 0.01"


def timed_line(model: Any, examples: Sequence[Mapping[str, Any]], options: TrainOptions, rows: int) -> str:
    """Hours by rows timed forward and backward on this device, and a GPU's peak of memory.

    The first row is run once before the clock starts. The whole logits are built here, in training a chunk of
    them at a time, so the peak is an upper bound.
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
    hours = f"{_hours(rows * each)} hours for {rows} rows"
    line = f"measured {each:.3f} s a row on {device} (mean of {len(examples)}): {hours}"
    if device == "cuda":
        line += f"; peak {_gb(torch.cuda.max_memory_allocated())} without AdamW's moments"
    return line
