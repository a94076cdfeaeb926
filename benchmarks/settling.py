"""Where a place's point should be: the strategy `grid`, its parts, and points that ignore the picture.

Run: python -m benchmarks.settling DATASET[:SPLIT] ... [--confidence P]

Answers and their logits are those of `benchmarks.strategies`. The result is the share of an answer's
points inside the true region, averaged over each photograph's answers, then over photographs.
`docs/grounding.md` has the table of

    python -m benchmarks.photographs builds/photographs
    iqa-spider build configs/demo.yaml --images builds/photographs --out builds/others --seed 5
    python -m benchmarks.settling builds/demo/latest:train builds/others/latest
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.strategies import Case, cases, inside, oracle_answer
from inference.grounded_answer import Axis, Grounding
from inference.likelihood import CELLS, along
from inference.place_tokens import Vocabulary
from inference.points import ANCHORS, text_to_point
from inference.segmenters.tree_parts import parts_of
from inference.settled_points import DEEP, Parts, settle
from training import stream
from training.sft.tiny import qwen_tokenizer

Points = NDArray[np.float64]
Way = Callable[[Grounding, Parts], Points]


def weights(axis: Axis | None) -> NDArray[np.float64] | None:
    return None if axis is None else axis.probabilities


def at(ends: float, beside: Sequence[float]) -> Way:
    """The likeliest class at `ends`, 1/2 or 1 - `ends`; on an axis without a word, the points `beside`."""
    positions = np.array([ends, 0.5, 1 - ends])

    def points(found: Grounding, _: Parts) -> Points:
        xs, ys = (
            beside if axis is None else positions[[int(axis.probabilities.argmax())]]
            for axis in (found.horizontal, found.vertical)
        )
        return np.array([[x, y] for y in ys for x in xs])

    return points


def expected(found: Grounding, _: Parts) -> Points:
    """The expectation over the cells' centers."""
    axes = (found.horizontal, found.vertical)
    return np.array([[0.5 if axis is None else float(axis.probabilities @ CELLS) for axis in axes]])


def settle_with(change: Callable[[Parts], Parts] = lambda parts: parts) -> Way:
    def points(found: Grounding, parts: Parts) -> Points:
        return settle(change(parts), weights(found.horizontal), weights(found.vertical), ANCHORS)

    return points


def anywhere(found: Grounding, parts: Parts) -> Points:
    """The deepest enough pixel of the likeliest part, wherever it is."""
    across, down = (weights(axis) for axis in (found.horizontal, found.vertical))
    of_part = along(parts.centroids[:, 0], across) * along(parts.centroids[:, 1], down)
    score = of_part[parts.labels] * np.sqrt(np.minimum(parts.depth, DEEP))
    height, width = score.shape
    row, column = divmod(int(score.argmax()), width)
    return np.array([[(column + 0.5) / width, (row + 0.5) / height]])


WAYS: dict[str, Way] = {
    "expectation over 1/6, 1/2, 5/6": expected,
    "the likeliest cell's center": at(1 / 6, (0.5,)),
    ".1, .5, .9; in line .4, .5, .6": at(0.1, (0.4, 0.5, 0.6)),
    ".08, .5, .92; in line .45, .5, .55": at(0.08, (0.45, 0.5, 0.55)),
    "grid": settle_with(),
    "grid without the part's likelihood": settle_with(
        lambda parts: replace(parts, centroids=np.full_like(parts.centroids, 0.5))
    ),
    "grid without nearness to the anchor": anywhere,
    "grid without depth": settle_with(lambda parts: replace(parts, depth=np.ones_like(parts.depth))),
}


def by_photograph(dataset: Path, split: str) -> dict[str, list[Case]]:
    """The cases of a split by the photograph they are about."""
    columns = ("id", "source_image")
    of_row = {
        str(row["id"]): str(row["source_image"]["uri"]) for row in stream(dataset, split, columns=columns)
    }
    found: dict[str, list[Case]] = {}
    for case in cases(dataset, split):
        found.setdefault(of_row[case.row], []).append(case)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("datasets", nargs="+", metavar="DATASET[:SPLIT]")
    parser.add_argument("--confidence", type=float, default=0.8)
    given = parser.parse_args()
    tokenizer = qwen_tokenizer()
    vocabulary = Vocabulary.of(tokenizer)
    means: dict[str, list[float]] = {}
    answers = 0
    for name in given.datasets:
        dataset, _, split = name.partition(":")
        groups = [
            group
            for each in ([split] if split else ["train", "test"])
            for group in by_photograph(Path(dataset), each).values()
        ]
        for group in groups:
            shares: dict[str, list[float]] = {}
            for case in group:
                answer = oracle_answer(tokenizer, vocabulary, case.text, given.confidence)
                parts = parts_of(case.picture)
                found = text_to_point(answer, vocabulary, "grid").groundings[0]
                paper = text_to_point(answer, vocabulary, "paper").groundings[0]
                shares.setdefault("paper", []).append(inside(paper.points, case.truth))
                for way, points in WAYS.items():
                    shares.setdefault(way, []).append(inside(points(found, parts), case.truth))
            answers += len(group)
            for way, values in shares.items():
                means.setdefault(way, []).append(float(np.mean(values)))
    photographs = len(means["paper"])
    print(f"{answers} answers about {photographs} photographs, p = {given.confidence:g}")
    for way, each in means.items():
        print(f"{np.mean(each):.3f}  {way}")


if __name__ == "__main__":
    main()
