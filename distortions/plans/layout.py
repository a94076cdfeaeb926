"""What a planner decides: which operations go into which region, and the measured picture they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from distortions.frame import Image
from distortions.plans.canvas import Canvas, Ops
from distortions.plans.margins import required_lead
from schemas.records import Ask


@dataclass(frozen=True)
class Layout:
    """A planned layout: `layers` maps region indices to operations, `strengths` to those of `picture`.

    `target` is the index of the region to ask about, None where no region or every region is the answer;
    `whole` means that the operations went through the full mask, so every region carries them.
    """

    layers: Mapping[int, Ops]
    strengths: Mapping[int, float]
    picture: Image
    ask: Ask | None
    target: int | None
    ask_order: tuple[str, ...] = ()
    order_effect: float | None = None
    whole: bool = False


def compose(canvas: Canvas, layers: Mapping[int, Ops]) -> tuple[Image, dict[int, float]]:
    """The picture with these layers, and the strength inside each of their regions, neighbors included."""
    picture = canvas.compose(layers)
    return picture, {index: canvas.measure(picture, index) for index in layers}


def visible(canvas: Canvas, strengths: Mapping[int, float]) -> bool:
    """Whether every distorted region reaches the configured strength."""
    return all(value >= canvas.config.min_strength for value in strengths.values())


def lead(canvas: Canvas, target: int, other: int, distorted: int) -> float:
    """The lead the target needs over the other region when `distorted` regions compete."""
    return required_lead(canvas.shares[target], canvas.shares[other], distorted, canvas.config)


def leads(canvas: Canvas, strengths: Mapping[int, float], target: int, ask: Ask) -> bool:
    """Whether the target's strength leads that of every other distorted region, upwards or downwards."""
    sign = 1.0 if ask in ("worst", "strongest") else -1.0
    return all(
        sign * (strengths[target] - strengths[other]) >= lead(canvas, target, other, len(strengths))
        for other in strengths
        if other != target
    )
