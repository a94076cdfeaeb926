"""The calibration: the committed table is what the program writes, and its levels are within their bands."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from distortions import catalog, resolve
from distortions import fit_levels as program
from distortions.registry import read_table

COMMITTED = Path(program.__file__).with_name("levels.yaml").read_text(encoding="utf-8")
# Types whose table is quick to compute, from several classes: `python -m distortions.fit_levels` does all.
REDERIVED = (
    "brightness_darken_gamma_RGB",
    "contrast_weaken_scale",
    "saturate_weaken_HSV",
    "noise_speckle",
    "spatial_blocks",
    "weather_frost",
)


def block(name: str) -> str:
    lines = COMMITTED.split(f"\n{name}:\n")[1].splitlines()
    return "".join(
        f"{line}\n" for line in lines[: next((i for i, t in enumerate(lines) if t[0] != " "), None)]
    )


@pytest.mark.parametrize("name", REDERIVED)
def test_committed_rows_are_reproduced_exactly(name: str) -> None:
    """The rows of the two smallest sides, recomputed from the photographs."""
    cv2.setNumThreads(1)
    path = dict(program.paths()[name])
    path["sides"] = path["sides"][:2]
    made = program.tables([resolve(name)], {name: path})[name]
    written = "".join(program.block_lines(made))
    assert written == "".join(line for line in block(name).splitlines(keepends=True)[: len(path["sides"])])


def test_every_entry_is_calibrated_at_the_sides_of_its_path() -> None:
    levels = read_table("levels.yaml")
    assert list(levels) == [entry.name for entry in catalog()]
    for name, path in program.paths().items():
        assert list(levels[name]) == path["sides"]


@pytest.mark.parametrize("entry", catalog(), ids=lambda entry: str(entry.name))
def test_levels_lie_in_their_bands(entry: program.Entry) -> None:
    """On the photographs the table was fitted to, and approximately on three held-out ones."""
    side = 320
    measured = program.measured_levels(entry, side, program.photographs(side))
    assert program.outside_bands(entry, measured, 0.0) == [], measured
    unseen = program.measured_levels(entry, side, program.photographs(side, program.HELD_OUT))
    assert program.outside_bands(entry, unseen, program.HELD_OUT_SLACK) == [], unseen


def test_an_entry_that_stops_short_has_its_bands_scaled() -> None:
    entry = resolve("saturate_weaken_YCrCb")
    scale = entry.reach / program.TARGETS[-1]
    assert scale < 0.6
    assert program.outside_bands(entry, [t * scale for t in program.TARGETS], 0.0) == []
    assert program.outside_bands(entry, list(program.TARGETS), 0.0) == [1, 2, 3, 4, 5]
    assert program.outside_bands(resolve("pixelate"), list(program.TARGETS), 0.0) == []


def test_writing_some_names_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "levels.yaml"
    path.write_text(COMMITTED, encoding="utf-8")
    row = ({"cell": [1.5, 2, 3, 4, 5]}, [0.6, 1, 1.6, 2.2, 2.7])
    program.write_levels(path, {"pixelate": {384: row}})
    before, after = COMMITTED.splitlines(), path.read_text(encoding="utf-8").splitlines()
    gone = set(before) - set(after)
    assert gone == set(block("pixelate").splitlines())
    assert "  384: {cell: [1.5, 2, 3, 4, 5]}  # measured [0.6, 1, 1.6, 2.2, 2.7]" in after
    program.write_levels(path, {})
    assert path.read_text(encoding="utf-8").splitlines() == after
