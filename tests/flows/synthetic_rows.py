"""Rows for the tests of what shows them: real photographs, elliptical regions, visible distortions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data
from sklearn.datasets import load_sample_image

from schemas import masks
from schemas.records import TASKS, Distortion, Mask, Message, Provenance, Region, Row, SourceImage

Picture = NDArray[np.uint8]
KINDS = (
    ("blur_gaussian", "blur"),
    ("noise_impulse", "noise"),
    ("compression_jpeg", "compression"),
    ("brightness_brighten_shift_HSV", "brighten"),
    ("brightness_darken_shift_RGB", "darken"),
    ("contrast_weaken_scale", "contrast_weaken"),
    ("saturate_weaken_HSV", "saturate_weaken"),
    ("pixelate", "pixelate"),
)
LABELS = ("striped red area", "smooth grey-green patch", "dark figure", "bright sky", "textured brown ground")
QUESTIONS = {
    "global_description": "How good is this picture as a whole, and what brings it down?",
    "local_description": "What is the quality of the {label} at the {position}?",
    "grounding_hyd": "Which part of the picture has suffered the most?",
    "grounding_sid": "Where is the blur at its strongest?",
    "grounding_dao": "Which region was blurred first and compressed afterwards?",
    "referring_short": "Name the distortions of the marked region.",
    "referring_long": "Explain what is wrong with the marked region, and what it does to the picture.",
}


@cache
def photographs() -> tuple[Picture, ...]:
    """Real photographs, (H, W, 3) uint8 RGB."""
    found = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    found += [load_sample_image("china.jpg"), load_sample_image("flower.jpg")]
    tall = cv2.resize(np.ascontiguousarray(data.astronaut()[:, 100:400]), (768, 1311))
    return tuple(np.ascontiguousarray(p[..., :3], np.uint8) for p in [*found, tall])


def ellipse(
    shape: tuple[int, int], y: float, x: float, height: float, width: float, turn: float = 0.0
) -> Mask:
    """An elliptical mask; center and axes as shares of the picture."""
    canvas = np.zeros(shape, np.uint8)
    center = (int(x * shape[1]), int(y * shape[0]))
    cv2.ellipse(canvas, center, (int(width * shape[1]), int(height * shape[0])), turn, 0, 360, 1, -1)
    return masks.encode(canvas.astype(bool))


def region(name: str, mask: Mask, label: str = "cat", **more: Any) -> Region:
    pixels = masks.decode(mask)
    return Region(
        region_id=name,
        label=label,
        label_score=0.9,
        bbox=masks.bounding_box(pixels),
        area=int(pixels.sum()),
        mask=mask,
        position=masks.position(pixels),
        **more,
    )


def damaged(picture: Picture, regions: list[Region]) -> Picture:
    """The picture with something visible done inside every distorted region."""
    out = picture.copy()
    for r in regions:
        inside = masks.decode(r.mask)
        for d in r.distortions:
            if d.category == "blur":
                changed = cv2.GaussianBlur(out, (0, 0), 2.0 * d.level)
            elif d.category == "noise":
                noise = np.random.default_rng(1).normal(0, 12 * d.level, out.shape)
                changed = np.clip(out + noise, 0, 255).astype(np.uint8)
            elif d.category in ("compression", "pixelate"):
                step = 3 * d.level
                small = cv2.resize(out, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
                changed = cv2.resize(small, out.shape[1::-1], interpolation=cv2.INTER_NEAREST)
            elif d.category == "saturate_weaken":
                changed = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            else:
                factor = {"brighten": 1.0 + 0.2 * d.level, "darken": 1.0 - 0.15 * d.level}.get(
                    d.category, 0.5
                )
                changed = np.clip(out * factor, 0, 255).astype(np.uint8)
            out = np.where(inside[..., None], changed, out).astype(np.uint8)
    return out


def synthetic(count: int, seed: int = 0) -> Iterator[tuple[Row, Picture]]:
    """`count` rows with their pictures, over all tasks."""
    known = {hashlib.sha256(photograph.tobytes()).hexdigest(): photograph for photograph in photographs()}
    for row in synthetic_rows(count, seed):
        assert row.source_image is not None
        yield row, damaged(known[row.source_image.sha256], row.regions)


def synthetic_rows(count: int, seed: int = 0) -> Iterator[Row]:
    """`count` rows without their pictures."""
    random = np.random.default_rng(seed)
    for k in range(count):
        task = TASKS[k % len(TASKS)]
        which = int(random.integers(len(photographs())))
        photograph = photographs()[which]
        shape = photograph.shape[:2]
        origin = hashlib.sha256(photograph.tobytes()).hexdigest()
        whole = task == "global_description" and k % 3 == 0
        regions = []
        for n in range(int(random.integers(2, 6))):
            y, x = random.uniform(0.15, 0.85, 2)
            height, width = random.uniform(0.08, 0.28, 2)
            mask = ellipse(shape, y, x, height, width, float(random.uniform(0, 180)))
            chosen = random.choice(len(KINDS), size=int(random.integers(0 if n else 1, 3)), replace=False)
            distortions = [
                Distortion(
                    name=KINDS[c][0], category=KINDS[c][1], level=int(random.integers(1, 6)), order=o + 1
                )
                for o, c in enumerate(chosen)
            ]
            strength = round(sum(0.35 * d.level for d in distortions) + random.uniform(0, 0.2), 3)
            label = LABELS[int(random.integers(len(LABELS)))]
            regions.append(
                region(
                    f"r{n}", mask, label, distortions=distortions,
                    strength=min(3.4, strength) if distortions else None,
                )
            )  # fmt: skip
        target = max(regions, key=lambda r: r.strength or 0.0)
        names = " and then ".join(f"{d.name.replace('_', ' ')} (level {d.level})" for d in target.distortions)
        question = QUESTIONS[task].format(label=target.label, position=target.position)
        answer = (
            f"The {target.label} at the {target.position} carries {names}. Its outlines are hard to follow "
            f"there, "
            f"while the rest of the picture stays {'usable' if k % 2 else 'close to the photograph'}."
        )
        yield Row(
            id=hashlib.sha256(f"{seed} {k}".encode()).hexdigest()[:24],
            source="iqa-spider",
            task=task,
            split="test" if which == 0 else "train",
            messages=[Message(role="user", content=question), Message(role="assistant", content=answer)],
            regions=regions,
            target_region_ids=[] if whole else [target.region_id],
            whole_image=whole,
            order_effect=1.23 if task == "grounding_dao" else None,
            source_image=SourceImage(
                id=origin[:16],
                sha256=origin,
                uri=f"photographs/{which}.png",
                license="CC0-1.0" if which % 2 else None,
                width=shape[1],
                height=shape[0],
            ),
            provenance=Provenance(
                generator="grammar",
                model=None,
                revision=None,
                prompt_version="1",
                attempt=1,
                config_hash="c" * 64,
                code_version="0.1.0",
                seed=seed,
            ),
        )


def png(picture: Picture) -> bytes:
    done, buffer = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert done
    return bytes(buffer.tobytes())
