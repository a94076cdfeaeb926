"""KADID-10k: a score read from the next word's logits, in two published ways, against people's scores."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.evaluation import metrics
from inference.evaluation.benchmark_files import (
    Record,
    annotation_file,
    find_pictures,
    identity,
    loader,
    read_bytes,
    softmax,
)
from inference.evaluation.benchmark_interface import (
    Item,
    Measure,
    Numbers,
    Opened,
    Reply,
    Statistic,
    Values,
)
from inference.evaluation.measures import correlations, mean
from schemas.errors import InputError

COLUMNS = ("dist_img", "ref_img", "dmos", "var")
TYPES = (
    "gaussian blur", "lens blur", "motion blur", "color diffusion", "color shift", "color quantization",
    "color saturation 1", "color saturation 2", "JPEG2000", "JPEG", "white noise",
    "white noise in color component", "impulse noise", "multiplicative noise", "denoise", "brighten",
    "darken", "mean shift", "jitter", "non-eccentricity patch", "pixelate", "quantization", "color block",
    "high sharpen", "contrast change",
)  # fmt: skip
"""The 25 distortions by their number in a file's name (Lin, Hosu, Saupe, QoMEX 2019, table 1)."""
LOWEST, HIGHEST = 1.0, 5.0
"""The scale of the column "dmos": in spite of its name, higher is better."""
_SCORED = ("predicted", "dmos", "kind")
_NAME = re.compile(r"(I\d{2,3})_(\d{2})_(\d{2})\.png")
START = "The quality of the image is"


@dataclass(frozen=True)
class Reading:
    """A way to read a score in 0..1 off the logits of some words: what is asked, the words, the weights of
    their probabilities, and the softmax's temperature.
    """

    question: str
    words: tuple[str, ...]
    weights: tuple[float, ...]
    temperature: float

    def score(self, logits: Sequence[float]) -> float:
        """The score, 0 the worst and 1 the best."""
        return float(softmax(logits, self.temperature) @ np.asarray(self.weights))

    def logits(self, score: float) -> tuple[float, ...]:
        """Logits that read as a score: all weight on the one or two words around it."""
        levels = np.asarray(self.weights)
        gap = 1 / (len(levels) - 1)
        shares = np.clip(1 - np.abs(levels - score) / gap, 1e-9, 1)
        return tuple(float(value) for value in self.temperature * np.log(shares))


READINGS = {
    "good-poor": Reading("Rate the quality of the image.", ("good", "poor"), (1.0, 0.0), 100.0),
    "five-levels": Reading(
        "How would you rate the quality of this image?",
        ("excellent", "good", "fair", "poor", "bad"),
        (1.0, 0.75, 0.5, 0.25, 0.0),
        1.0,
    ),
}
"""By task. "good-poor": Q-Bench A3 (arXiv 2309.14181; its code divides logits by 100). "five-levels": Q-Align
(arXiv 2312.17090), the levels' values from 1 to 5 here from 0 to 1.
"""


@dataclass(frozen=True)
class _Row:
    name: str
    reference: str
    dmos: float
    kind: int
    level: int


def _srcc(values: Numbers) -> float:
    return metrics.srcc(values[:, 0], values[:, 1])


def _mean_over_kinds(values: Numbers) -> float:
    """The mean over distortions of their SRCC; one that has none is left out. NaN where all are."""
    found = [_srcc(values[values[:, 2] == kind]) for kind in np.unique(values[:, 2])]
    known = [value for value in found if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _measures(task: str) -> tuple[Measure | Statistic, ...]:
    """The measures of one reading; the two share no scale, so nothing is computed over both."""
    tasks = (task,)
    return (
        *correlations("predicted", "dmos", tasks),
        Statistic("SRCC, mean over distortions", _SCORED, _mean_over_kinds, tasks),
        *(
            Statistic(f"SRCC, {number:02} {kind}", (f"predicted: {kind}", "dmos"), _srcc, tasks)
            for number, kind in enumerate(TYPES, start=1)
        ),
        mean("no answer", "no_answer", tasks, "lower"),
    )


class Kadid10k:
    """The benchmark; each picture is an item of each reading."""

    name = "kadid10k"
    needs_logits = True
    judged = False
    columns: tuple[str, ...] = (*_SCORED, "no_answer", *(f"predicted: {kind}" for kind in TYPES))
    measures: tuple[Measure | Statistic, ...] = tuple(
        measure for task in READINGS for measure in _measures(task)
    )

    def open(self, data: Path, limit: int | None) -> Opened:
        """Raises InputError for lines that aren't as published, missing pictures, scores the wrong way."""
        path = annotation_file(data, ("dmos.csv",), "*.csv")
        rows = _read(path)
        _check_direction(path, rows)
        wanted = [(row, task) for row in rows for task in READINGS][:limit]
        roots = [path.parent / "images", path.parent]
        pictures = find_pictures(roots, (row.name for row, _ in wanted), "unpack kadid10k.zip beside it")

        def items() -> Iterator[Item]:
            for row, task in wanted:
                reading = READINGS[task]
                yield Item(
                    id=f"{row.name.removesuffix('.png')}-{task}",
                    group=row.reference,
                    task=task,
                    questions=(reading.question,),
                    picture=loader(pictures[row.name]),
                    picture_key=row.name,
                    labels={"distortion": TYPES[row.kind - 1], "level": str(row.level)},
                    truth=(row.dmos, row.kind),
                    start=START,
                    words=reading.words,
                    ideal=reading.logits((row.dmos - LOWEST) / (HIGHEST - LOWEST)),
                )

        key = identity(path, roots, (row.name for row in rows))
        return Opened(items, len(wanted), key, ("distortion", "level"))

    def score(self, items: Sequence[Item], replies: Sequence[Reply]) -> list[Values]:
        """The score of each item, from 0 to 1, and people's. A missing one counts as the end of the scale
        that is farther from people's score.
        """
        return [_values(item, reply) for item, reply in zip(items, replies, strict=True)]


def make() -> Kadid10k:
    """The benchmark."""
    return Kadid10k()


def _values(item: Item, reply: Reply) -> Values:
    dmos, kind = item.truth
    usable = (
        reply.error is None and len(reply.words) == len(item.words) and bool(np.isfinite(reply.words).all())
    )
    if usable:
        predicted = READINGS[item.task].score(reply.words)
    else:
        predicted = 0.0 if dmos >= (LOWEST + HIGHEST) / 2 else 1.0
    return {
        **{f"predicted: {name}": None for name in TYPES},
        f"predicted: {TYPES[kind - 1]}": predicted,
        "predicted": predicted,
        "dmos": dmos,
        "kind": float(kind),
        "no_answer": float(not usable),
    }


def _read(path: Path) -> list[_Row]:
    """The rows of dmos.csv. Raises InputError that names the line."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; give the file as published") from error
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[_Row] = []
    names: set[str] = set()
    try:
        header = next(lines, [])
        if tuple(header) != COLUMNS:
            shown = ",".join(header)[:80]
            raise InputError(f"{path}: line 1: the columns are {shown!a}, not {','.join(COLUMNS)}")
        for values in lines:
            record = Record(f"{path}: line {lines.line_num}", dict(zip(COLUMNS, values, strict=False)))
            if len(values) != len(COLUMNS):
                raise record.wrong(f"{len(values)} values for {len(COLUMNS)} columns")
            row = _row(record)
            if row.name in names:
                raise record.wrong(f"{row.name} is listed twice")
            names.add(row.name)
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"{path}: line {lines.line_num}: not valid CSV: {error}") from error
    if not rows:
        raise InputError(f"{path}: no rows; give the file as published")
    return rows


def _row(record: Record) -> _Row:
    name, reference = record.place("dist_img"), record.place("ref_img")
    found = _NAME.fullmatch(name)
    if found is None or reference != f"{found[1]}.png" or not 1 <= int(found[2]) <= len(TYPES):
        raise record.wrong(f"{name!a} of {reference!a} isn't named I01_01_01.png, of I01.png, types 01 to 25")
    given = record.text("dmos")
    try:
        dmos = float(given)
    except ValueError:
        dmos = float("nan")
    if not LOWEST <= dmos <= HIGHEST:
        raise record.wrong(f"dmos {given[:40]!a} isn't a number from {LOWEST:g} to {HIGHEST:g}")
    return _Row(name, reference, dmos, int(found[2]), int(found[3]))


def _check_direction(path: Path, rows: Sequence[_Row]) -> None:
    """Raises InputError where the weakest distortions have lower scores than the strongest."""
    levels = {row.level for row in rows}
    means = [
        float(np.mean([row.dmos for row in rows if row.level == level]))
        for level in (min(levels), max(levels))
    ]
    if means[0] < means[1]:
        raise InputError(
            f"{path}: dmos runs the wrong way: {means[0]:.2f} on average at level {min(levels)}, "
            f"{means[1]:.2f} at level {max(levels)}; as published, higher is better"
        )
