"""Temperatures of text-to-point: a model's answers to held-out grounding rows against the rows' truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flows.grounding import quiet_models
from schemas.dataset import rows_with_pictures, split_files
from schemas.errors import InputError
from schemas.pictures import load_png
from schemas.records import Row

if TYPE_CHECKING:
    from inference.answers import Picture
    from inference.calibration import Calibration
    from inference.models import Dtype
    from inference.sources import ModelSource

BATCH = 8
"""Answers generated at a time."""


@dataclass(frozen=True)
class Asked:
    """A grounding row's picture, its first question, and the place of its only target ("top left")."""

    picture: Picture
    question: str
    place: str


def grounding_rows(dataset: Path, split: str, limit: int | None) -> list[Asked]:
    """The first grounding rows of a split about one region. Raises InputError when there is none."""
    found = []
    for asked in _asked(dataset, split):
        found.append(asked)
        if len(found) == limit:
            break
    if not found:
        raise InputError(f"{dataset}: the split {split!r} has no grounding row about one region")
    return found


def _asked(dataset: Path, split: str) -> Iterator[Asked]:
    for path, _ in split_files(dataset, split):
        for row, pictures in rows_with_pictures(path):
            place = _place(row)
            if place is not None and pictures:
                yield Asked(load_png(pictures[0]), row.messages[0].content, place)


def _place(row: Row) -> str | None:
    if not row.task.startswith("grounding") or row.whole_image or len(row.target_region_ids) != 1:
        return None
    return next((r.position for r in row.regions if r.region_id == row.target_region_ids[0]), None)


def fit_temperatures(
    dataset: Path,
    split: str,
    limit: int | None,
    out: Path,
    *,
    model: str,
    revision: str | None,
    strategy: Literal["paper", "grid"],
    max_tokens: int,
    device: str,
    dtype: Dtype,
) -> None:
    """Ask a model the rows' questions, fit, write the file for `--calibration`, and print what it changes.

    Raises InputError.
    """
    rows = grounding_rows(dataset, split, limit)
    quiet_models()
    from inference.calibration import save
    from inference.models import load_model
    from inference.reading import Sampling
    from inference.sources import ModelSource

    loaded = load_model(model, revision, dtype, device)
    found = fitted(ModelSource(loaded, Sampling(max_new_tokens=max_tokens)), rows, strategy)
    save(found, out)
    for axis, fit in (("horizontal", found.horizontal), ("vertical", found.vertical)):
        print(
            f"{axis:<10} temperature {fit.temperature:.3f} from {fit.rows} of {len(rows)} rows: likelihood "
            f"{fit.nll_before:.3f} -> {fit.nll:.3f} nats, error {fit.ece_before:.3f} -> {fit.ece:.3f}"
        )
    print(out)


def fitted(source: ModelSource, rows: Sequence[Asked], strategy: Literal["paper", "grid"]) -> Calibration:
    """Temperatures from a model's own answers to the rows; an answer that names no place gives nothing.

    Raises InputError when none does.
    """
    from inference.calibration import calibrate, examples
    from inference.reading import PROMPT

    given = []
    for begin in range(0, len(rows), BATCH):
        some = rows[begin : begin + BATCH]
        spoken = source.answers([row.picture for row in some], [row.question for row in some])
        for row, (answer, vocabulary, _) in zip(some, spoken, strict=True):
            given += examples(answer, vocabulary, row.place)
    if not given:
        raise InputError(f"{source.name} names no place in any answer; there is nothing to calibrate")
    return calibrate(given, source.vocabulary, source.name, PROMPT, strategy)
