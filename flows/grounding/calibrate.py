"""Temperatures of text-to-point: a model's answers to held-out grounding rows against the rows' truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.grounding.open import quiet_models
from schemas.choices import CalibratedStrategy
from schemas.dataset import rows_with_pictures, split_files
from schemas.errors import InputError
from schemas.meter import SILENT, Progress
from schemas.pictures import load_png
from schemas.records import Mask, Region, Row

if TYPE_CHECKING:
    from inference.calibration import Calibration
    from inference.grounded_answer import Picture
    from inference.points import Temperatures
    from inference.sources import ModelSource, Spoken
    from schemas.choices import Dtype

BATCH = 8
"""Answers generated at a time."""


@dataclass(frozen=True)
class Asked:
    """A grounding row's picture and first question; place ("top left") and mask of its only target."""

    picture: Picture
    question: str
    place: str
    mask: Mask


def grounding_rows(dataset: Path, split: str, limit: int | None) -> list[Asked]:
    """The first grounding rows of a split about one region. Raises InputError when there is none."""
    found = []
    for asked in _rows_to_ask(dataset, split):
        found.append(asked)
        if len(found) == limit:
            break
    if not found:
        raise InputError(f"{dataset}: the split {split!r} has no grounding row about one region")
    return found


def _rows_to_ask(dataset: Path, split: str) -> Iterator[Asked]:
    for path, _ in split_files(dataset, split):
        for row, pictures in rows_with_pictures(path):
            target = _target(row)
            if target is not None and pictures:
                question = row.messages[0].content
                yield Asked(load_png(pictures[0]), question, target.position, target.mask)


def _target(row: Row) -> Region | None:
    if not row.task.startswith("grounding") or row.whole_image or len(row.target_region_ids) != 1:
        return None
    return next((r for r in row.regions if r.region_id == row.target_region_ids[0]), None)


def fit_temperatures(
    dataset: Path,
    split: str,
    limit: int | None,
    out: Path,
    *,
    model: str,
    revision: str | None,
    strategy: CalibratedStrategy,
    max_tokens: int,
    device: str,
    dtype: Dtype,
    progress: Progress = SILENT,
) -> list[str]:
    """Ask a model the rows' questions, fit, write the file for `--calibration`, and say what it changes.

    Raises InputError.
    """
    rows = grounding_rows(dataset, split, limit)
    quiet_models()
    from inference.calibration import save
    from inference.generate import Sampling
    from inference.load_model import load_model
    from inference.points import ONE
    from inference.sources import ModelSource

    source = ModelSource(load_model(model, revision, dtype, device), Sampling(max_new_tokens=max_tokens))
    spoken = ask_rows(source, rows, progress)
    found = fitted(source, rows, spoken, strategy)
    before, after = shares_inside(rows, spoken, strategy, (ONE, found.temperatures))
    save(found, out)
    lines = []
    for axis, fit in (("horizontal", found.horizontal), ("vertical", found.vertical)):
        lines.append(
            f"{axis:<10} temperature {fit.temperature:.3f} from {fit.rows} of {len(rows)} rows: likelihood "
            f"{fit.nll_before:.3f} -> {fit.nll:.3f} nats, error {fit.ece_before:.3f} -> {fit.ece:.3f}"
        )
    lines.append(f"points     {before:.3f} -> {after:.3f} of them inside the true masks of {len(rows)} rows")
    return lines


def ask_rows(source: ModelSource, rows: Sequence[Asked], progress: Progress = SILENT) -> list[Spoken]:
    """A model's own answers to the rows, in their order."""
    found: list[Spoken] = []
    with progress("calibrate", len(rows), unit="rows", done="answered") as meter:
        for begin in range(0, len(rows), BATCH):
            some = rows[begin : begin + BATCH]
            found += source.ask_all([row.picture for row in some], [row.question for row in some])
            meter.step(len(some))
    return found


def fitted(
    source: ModelSource, rows: Sequence[Asked], spoken: Sequence[Spoken], strategy: CalibratedStrategy
) -> Calibration:
    """Temperatures from the answers to the rows; one that names no place gives nothing.

    Raises InputError when none names a place.
    """
    from inference.calibration import calibrate, examples
    from inference.generate import PROMPT

    given = []
    for row, (answer, vocabulary, _) in zip(rows, spoken, strict=True):
        given += examples(answer, vocabulary, row.place)
    if not given:
        raise InputError(f"{source.name} names no place in any answer; there is nothing to calibrate")
    return calibrate(given, source.vocabulary, source.name, PROMPT, strategy)


def shares_inside(
    rows: Sequence[Asked],
    spoken: Sequence[Spoken],
    strategy: CalibratedStrategy,
    temperatures: Sequence[Temperatures],
) -> list[float]:
    """The mean over rows, at each of some temperatures, of the share of an answer's points inside the true
    mask; an answer without a point has none inside.
    """
    from inference.evaluation.metrics import share_inside
    from inference.points import text_to_point
    from inference.segmenters.tree_parts import parts_of

    totals = [0.0] * len(temperatures)
    for row, (answer, vocabulary, _) in zip(rows, spoken, strict=True):
        parts = parts_of(row.picture) if strategy == "grid" else None
        for number, each in enumerate(temperatures):
            placed = text_to_point(answer, vocabulary, strategy, each, parts=parts)
            points = [(float(x), float(y)) for one in placed.groundings for x, y in one.points]
            totals[number] += share_inside(points, row.mask)
    return [total / len(rows) for total in totals]
