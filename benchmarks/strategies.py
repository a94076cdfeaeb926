"""Text to point with oracle answers: how far each strategy gets when the words are right.

Run: python -m benchmarks.strategies DATASET [--split test|train|all] [--segmenter S] [--json F] [--draw ...]

Answers come from the published rows, written from the ground truth: the first answer of every row about one
region that names this region's place. Their logits are made up as follows: tokens are Qwen2.5's; at the step
of a place word its token has log p, and each other class of the axis log((1 - p) / 2) on the token of the
same spelling, everything else -20. So `paper`, which knows two words per axis, gives the generated one
p / (p + (1 - p) / 2). The answer's first place is scored against the mask of the row's region: the share of
points inside the mask, the share of answers with at least one inside ("any"), the IoU of the segmenter's mask
from these points, for `proposal` the IoU of the chosen region. No model is trained or called: results are
upper bounds of the second stage.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.grounded_answer import Answer, Encoded, Grounding, Picture, Segmenter
from inference.place_tokens import Vocabulary
from inference.points import readable, text_to_point
from inference.positions import find_positions
from inference.segmenters import make_segmenter
from inference.segmenters.select import to_pixels
from inference.words import CLASSES, AxisName, Position
from schemas import masks
from schemas.choices import Strategy
from schemas.masks import BoolMask
from schemas.records import Mask
from training import stream
from training.sft.tiny import qwen_tokenizer

CONFIDENCES = (0.6, 0.8, 0.95)
STRATEGIES: tuple[Strategy, ...] = ("paper", "grid", "proposal")
SILENCE = -20.0


@dataclass(frozen=True)
class Case:
    """An answer that names the place of one region: its (H, W, 3) picture, and the region's mask."""

    row: str
    task: str
    text: str
    position: str
    picture: Picture
    truth: BoolMask


@dataclass(frozen=True)
class Outcome:
    """The result of a strategy on a case at a confidence."""

    case: Case
    confidence: float
    strategy: Strategy
    grounding: Grounding
    inside: float
    mask: BoolMask

    @property
    def overlap(self) -> tuple[int, int]:
        """Pixels of the intersection and of the union with the truth."""
        both, either = self.mask & self.case.truth, self.mask | self.case.truth
        return int(both.sum()), int(either.sum())

    @property
    def iou(self) -> float:
        """Intersection over union with the truth."""
        both, either = self.overlap
        return both / either


def oracle_answer(tokenizer: Any, vocabulary: Vocabulary, text: str, confidence: float) -> Answer:
    """`text` as an answer in Qwen's tokens, with `confidence` (0 to 1) in its place words."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = np.array(encoded["input_ids"], np.int64)
    offsets = np.array(encoded["offset_mapping"], np.int64).reshape(-1, 2)
    logits = np.full((ids.size, vocabulary.columns.size), SILENCE, np.float32)
    answer = Answer(ids, text, offsets, vocabulary.columns, logits)
    for position in find_positions(text):
        _set_logits(answer, vocabulary, position, confidence)
    return answer


def _set_logits(answer: Answer, vocabulary: Vocabulary, position: Position, confidence: float) -> None:
    axes: tuple[AxisName, ...] = ("horizontal", "vertical")
    for axis in axes:
        word = position.word(axis)
        read = readable(answer, vocabulary, word) if word else None
        if word is None or read is None:
            continue
        step, column = read
        answer.logits[step, column] = np.log(confidence)
        for name in CLASSES[axis]:
            if name != word.name:
                rest = _same_spelling(vocabulary, name, column)
                answer.logits[step, rest] = np.log((1 - confidence) / 2)


def _same_spelling(vocabulary: Vocabulary, name: str, column: int) -> int:
    places = [int(place) for place in vocabulary.classes[name]]
    wanted = (vocabulary.spellings[column], " lower")
    for spelling in wanted:
        for place in places:
            if vocabulary.spellings[place] == spelling and _is_word(vocabulary, place, name):
                return place
    return places[0]


def _is_word(vocabulary: Vocabulary, place: int, name: str) -> bool:
    """Whether a column is exactly one of the paper's four words, if the class has one."""
    pairs = [pair for axis in vocabulary.pairs.values() for pair in axis.values()]
    return name == "center" or any(place in pair for pair in pairs)


def cases(dataset: Path, split: str) -> Iterator[Case]:
    """The rows of a split whose first answer names the place of the one region they are about."""
    columns = ("id", "task", "messages", "regions", "target_region_ids", "whole_image")
    rows = stream(dataset, split, pictures="array", columns=columns)
    for row in sorted(rows, key=lambda row: str(row["id"])):
        if len(row["target_region_ids"]) != 1 or row["whole_image"]:
            continue
        text = next(m["content"] for m in row["messages"] if m["role"] == "assistant")
        region = next(r for r in row["regions"] if r["region_id"] == row["target_region_ids"][0])
        if find_positions(text):
            truth = masks.decode(Mask.model_validate(region["mask"]))
            picture = row["images"][0]
            yield Case(row["id"], row["task"], text, region["position"], picture, truth)


def outcomes(found: list[Case], segmenter: Segmenter) -> list[Outcome]:
    """All cases at all confidences with all strategies."""
    tokenizer = qwen_tokenizer()
    vocabulary = Vocabulary.of(tokenizer)
    done = []
    for case in found:
        encoded = segmenter.encode(case.picture)
        for confidence in CONFIDENCES:
            answer = oracle_answer(tokenizer, vocabulary, case.text, confidence)
            for strategy in STRATEGIES:
                regions = encoded.regions() if strategy == "proposal" else None
                parts = encoded.parts() if strategy == "grid" else None
                placed = text_to_point(answer, vocabulary, strategy, regions=regions, parts=parts)
                grounding = placed.groundings[0]
                mask = _mask(encoded, grounding)
                done.append(
                    Outcome(case, confidence, strategy, grounding, inside(grounding.points, case.truth), mask)
                )
    return done


def _mask(encoded: Encoded, grounding: Grounding) -> BoolMask:
    if grounding.region is not None:
        return grounding.region.mask
    return encoded.segment([grounding.points])[0].mask


def inside(points: NDArray[np.float64], mask: BoolMask) -> float:
    """The share of (n, 2) unit points whose pixel is in an (H, W) mask; 1.0 is the last pixel."""
    x, y = to_pixels(points, mask.shape).T
    return float(mask[y, x].mean())


def rates(some: list[Outcome]) -> dict[str, Any]:
    """Answers, points inside, answers with at least one inside, gIoU."""
    return {
        "answers": len(some),
        "inside": round(float(np.mean([o.inside for o in some])), 3),
        "any": round(float(np.mean([o.inside > 0 for o in some])), 3),
        "giou": round(float(np.mean([o.iou for o in some])), 3),
    }


def table(done: list[Outcome]) -> list[dict[str, Any]]:
    """One line for each confidence and strategy: answers, points inside, gIoU, cIoU."""
    lines = []
    for confidence in CONFIDENCES:
        for strategy in STRATEGIES:
            some = [o for o in done if o.confidence == confidence and o.strategy == strategy]
            overlaps = np.array([o.overlap for o in some])
            lines.append(
                {
                    "confidence": confidence,
                    "strategy": strategy,
                    **rates(some),
                    "ciou": round(float(overlaps[:, 0].sum() / overlaps[:, 1].sum()), 3),
                }
            )
    return lines


def by_place(done: list[Outcome], confidence: float) -> list[dict[str, Any]]:
    """Points inside by the words of the place and strategy, at one confidence."""
    kinds = {"center": "center", "left": "side", "right": "side", "top": "side", "bottom": "side"}
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in done:
        if outcome.confidence == confidence:
            kind = kinds.get(outcome.case.position, "corner")
            groups.setdefault((kind, outcome.strategy), []).append(outcome)
    return [
        {
            "place": kind,
            "strategy": strategy,
            **rates(some),
        }
        for (kind, strategy), some in sorted(groups.items())
    ]


def draw(done: list[Outcome], row: str, path: Path, confidence: float = 0.8) -> None:
    """The three strategies on one row, side by side: true mask outlined, mask tinted, points as dots."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    some = [o for o in done if o.case.row == row and o.confidence == confidence]
    height, width = some[0].case.truth.shape
    figure, axes = pyplot.subplots(1, len(some), figsize=(4 * len(some), 4 * height / width + 0.7), dpi=80)
    for axis, outcome in zip(axes, some, strict=True):
        axis.imshow(outcome.case.picture)
        tint = np.zeros((height, width, 4))
        tint[outcome.mask] = (1.0, 0.3, 0.0, 0.45)
        axis.imshow(tint)
        axis.contour(outcome.case.truth, [0.5], colors="white", linewidths=3)
        axis.contour(outcome.case.truth, [0.5], colors="black", linewidths=1.2, linestyles="dashed")
        x, y = outcome.grounding.points.T
        dots = {"s": 90, "c": "#00e5ff", "edgecolors": "black", "zorder": 3, "clip_on": False}
        axis.scatter(x * (width - 1), y * (height - 1), **dots)
        axis.set_title(f"{outcome.strategy}: inside {outcome.inside:.2f}, IoU {outcome.iou:.2f}", fontsize=11)
        axis.set_xticks([])
        axis.set_yticks([])
    text = some[0].case.text.split(". ")[0]
    figure.suptitle(text if len(text) < 120 else text[:117] + "...", fontsize=10, y=0.995)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
    with Image.open(path) as drawn:
        drawn.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE).save(path, optimize=True)


def main() -> None:
    """Measure and print; optionally draw rows and write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", choices=("test", "train", "all"), default="test")
    parser.add_argument("--segmenter", default="graph", help="graph, or a SAM by hub name or folder")
    parser.add_argument("--draw", nargs="*", default=[], metavar="ROW=FILE")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    splits = ("train", "test") if given.split == "all" else (given.split,)
    found = [case for split in splits for case in cases(given.dataset, split)]
    done = outcomes(found, make_segmenter(given.segmenter))
    lines, places = table(done), by_place(done, 0.8)
    for line in [*lines, *places]:
        print("  ".join(f"{key} {value}" for key, value in line.items()))
    if given.json:
        rows = [
            {"row": o.case.row, "task": o.case.task, "position": o.case.position, "strategy": o.strategy,
             "inside": o.inside, "iou": round(o.iou, 3), "text": o.case.text}
            for o in done if o.confidence == 0.8
        ]  # fmt: skip
        given.json.write_text(json.dumps({"table": lines, "places": places, "rows": rows}, indent=1))
    for wanted in given.draw:
        row, _, file = wanted.partition("=")
        draw(done, row, Path(file))


if __name__ == "__main__":
    main()
