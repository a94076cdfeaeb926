"""Synthetic samples with a known truth: for the question-and-answer tests."""

from __future__ import annotations

import numpy as np

from annotation.qa.lexicon import load_lexicon
from schemas import masks
from schemas.records import Distortion, Region, Sample, SampleKind, SourceImage

SIDE = 60
TONES = {
    "brighten",
    "darken",
    "contrast_strengthen",
    "contrast_weaken",
    "saturate_strengthen",
    "saturate_weaken",
}
CELLS = masks.position_words("thirds")
LABELS = (
    "smooth dark blue area",
    "textured gray patch",
    "person",
    "traffic light",
    "skis",
    "dark green textured area",
    "light brown strip",
    "left shoe",
    "potted plant",
    "two black-and-white sheep",
    "broccoli",
    "sky",
    "blurry sign",
    "top hat",
    "noise barrier",
    "grass",
    "second largest red area at the bottom",
    "umbrella",
    "orange",
    "people on the beach",
    "old compressed gas bottle",
    "face mask",
)


def mask_at(cell: int) -> masks.BoolMask:
    """A square in one cell of the 3x3 grid of a 60x60 picture."""
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    row, column = divmod(cell, 3)
    mask[row * 20 + 4 : row * 20 + 16, column * 20 + 4 : column * 20 + 16] = True
    return mask


def region(
    number: int,
    label: str,
    cell: int,
    distortions: list[tuple[str, int]] | None = None,
    strength: float | None = None,
) -> Region:
    """A region in a grid cell with distortions (name, level) in order of application."""
    mask = mask_at(cell)
    group = load_lexicon().group
    placed = [
        Distortion(name=name, category=group(name).category, level=level, order=order)
        for order, (name, level) in enumerate(distortions or [], start=1)
    ]
    return Region(
        region_id=f"r{number}",
        label=label,
        label_score=0.9,
        bbox=masks.bounding_box(mask),
        area=int(mask.sum()),
        mask=masks.encode(mask),
        position=masks.position(mask),
        distortions=placed,
        strength=strength,
    )


def sample(
    kind: SampleKind,
    regions: list[Region],
    targets: list[str],
    *,
    ask: str | None,
    name: str = "s0",
    order: list[str] | None = None,
    effect: float | None = None,
    seed: int = 0,
) -> Sample:
    """A sample over `regions`."""
    source = SourceImage(id="0" * 16, sha256="0" * 64, uri="test:grid", license=None, width=SIDE, height=SIDE)
    return Sample.model_validate(
        {
            "sample_id": name,
            "kind": kind,
            "source_image": source,
            "regions": regions,
            "target_region_ids": targets,
            "whole_image": kind == "whole",
            "ask": ask,
            "ask_order": order or [],
            "order_effect": effect,
            "seed": seed,
        }
    )


def random_sample(
    generator: np.random.Generator, kind: SampleKind, name: str, labels: tuple[str, ...] = LABELS
) -> Sample:
    """A well-posed random sample of a kind: 3 to 7 regions in different cells."""
    names = sorted(load_lexicon().names)
    count = int(generator.integers(3, 8))
    cells = generator.permutation(9)[:count]
    chosen = [labels[int(i)] for i in generator.choice(len(labels), size=count, replace=len(labels) < count)]
    carriers = int(generator.integers(2, count + 1))

    def pick(how_many: int) -> list[str]:
        by_class: dict[str, str] = {}
        for index in generator.permutation(len(names)):
            category = load_lexicon().group(names[int(index)]).category
            by_class.setdefault("tone" if category in TONES else category, names[int(index)])
        return list(by_class.values())[:how_many]

    strengths = [round(float(s), 3) for s in 0.3 + 0.4 * generator.permutation(count)]
    common = pick(2)

    def build(number: int, distorted: list[tuple[str, int]] | None) -> Region:
        strength = strengths[number] if distorted else None
        return region(number, chosen[number], int(cells[number]), distorted, strength)

    def level() -> int:
        return int(generator.integers(1, 6))

    end = bool(generator.integers(2))
    if kind == "hyd":
        regions = [
            build(i, [(n, level()) for n in pick(int(generator.integers(1, 3)))] if i < carriers else None)
            for i in range(count)
        ]
        ranked = sorted(range(carriers), key=lambda i: strengths[i])
        return sample(
            kind, regions, [f"r{ranked[-1 if end else 0]}"], ask="worst" if end else "best", name=name
        )
    if kind == "sid":
        levels = sorted(level() for _ in range(count))
        by_rank = sorted(range(count), key=lambda i: strengths[i])
        regions = [
            build(i, [(common[0], levels[by_rank.index(i)])] if i < carriers else None) for i in range(count)
        ]
        ranked = sorted(range(carriers), key=lambda i: strengths[i])
        return sample(
            kind, regions, [f"r{ranked[-1 if end else 0]}"], ask="strongest" if end else "weakest", name=name
        )
    if kind == "dao":
        first, second = (common[0], level()), (common[1], level())
        regions = [
            build(0, [first, second]),
            build(1, [second, first]),
            *(build(i, None) for i in range(2, count)),
        ]
        return sample(kind, regions, ["r0"], ask="order", order=common, effect=1.0, name=name)
    if kind == "single":
        regions = [
            build(i, [(n, level()) for n in common[: 1 + end]] if i == 0 else None) for i in range(count)
        ]
        return sample(kind, regions, ["r0"], ask="where", name=name)
    if kind == "whole":
        everywhere = [(n, level()) for n in common[: 1 + end]]
        return sample(kind, [build(i, everywhere) for i in range(count)], [], ask="where", name=name)
    return sample(kind, [build(i, None) for i in range(count)], [], ask=None, name=name)
