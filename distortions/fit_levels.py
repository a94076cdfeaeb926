"""Writes levels.yaml: parameters that give levels 1 to 5 of every type the same strength on photographs.

Run `python -m distortions.fit_levels` (a few minutes); `--check` compares with the committed table instead
and exits 1 when a level has left its band.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from distortions.frame import Frame, Image
from distortions.perceptual import strengths
from distortions.registry import PATH_SIDE, Entry, catalog, path_parameters, read_table
from schemas.hashing import derived_seed

TARGETS = (0.6, 1.05, 1.6, 2.2, 2.75)
BANDS = ((0.4, 0.8), (0.8, 1.3), (1.3, 1.9), (1.9, 2.5), (2.5, 3.41))
CHECKED_SIDES = (256, 320, 384, 427, 512, 640, 768)
CALIBRATED_ON = ("astronaut", "chelsea", "rocket", "motorcycle")
HELD_OUT = ("coffee", "china", "flower")
# Watched while the levels were set, so not a blind test. Means over them differ from those over the
# calibration photographs by .10 on average, by .35 at the 99th percentile and by .5 at most (JPEG 2000).
HELD_OUT_SLACK = 0.4
_COARSE, _FINE = 17, 3
_HEADER = """\
# Calibrated levels, written by `python -m distortions.fit_levels` from real photographs; don't edit by hand.
# name -> short side of the pictures (pixels) -> parameter -> its value at levels 1 to 5.
# Mean strengths aimed at: {targets}; "measured" is what the table gives at that side. A type that
# can't reach the last target (`reach` in catalog.yaml) has its levels spread in proportion.
"""


def photographs(short_side: int, names: Sequence[str] = CALIBRATED_ON) -> list[Image]:
    """Photographs that come with scikit-image and scikit-learn, resized to a short side in pixels."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    load: Any = data
    loaders: dict[str, Callable[[], NDArray[np.uint8]]] = {
        "astronaut": load.astronaut,
        "chelsea": load.chelsea,
        "coffee": load.coffee,
        "rocket": load.rocket,
        "motorcycle": lambda: load.stereo_motorcycle()[0],
        "china": lambda: load_sample_image("china.jpg"),
        "flower": lambda: load_sample_image("flower.jpg"),
    }
    return [_resize(loaders[name](), short_side) for name in names]


def mean_strength(entry: Entry, parameters: Mapping[str, float | str], pictures: Sequence[Image]) -> float:
    """Mean strength over pictures of one short side and the entry's draws, at parameters for that side."""
    measured = []
    for number, picture in enumerate(pictures):
        frames = [Frame.whole(picture, calibration_seed(number, draw)) for draw in range(entry.draws)]
        made = [entry.function.run(picture, frame, **parameters) for frame in frames]
        measured.append(strengths(picture, made))
    return float(np.mean(measured))


def calibration_seed(picture: int, draw: int) -> int:
    """The seed of one of the draws on one of the pictures."""
    return derived_seed(0, "calibrate", str(picture), str(draw))


def fit_levels(
    entry: Entry, path: Mapping[str, Any], pictures: Sequence[Image]
) -> list[dict[str, float | str]]:
    """Parameters of the five levels at the pictures' short side.

    Strength is measured at `_COARSE` points of the path and at `_FINE` - 1 more between the two points around
    each target, then interpolated linearly.
    """
    grid = np.linspace(0, 1, _COARSE)
    curve = np.array([mean_strength(entry, path_parameters(path, t), pictures) for t in grid])
    curve = np.maximum.accumulate(curve)
    targets = np.minimum(np.array(TARGETS) * min(1.0, entry.reach / TARGETS[-1]), curve[-1])
    levels = []
    for target in targets:
        right = int(np.clip(np.searchsorted(curve, target), 1, _COARSE - 1))
        fine = np.linspace(grid[right - 1], grid[right], _FINE + 1)
        inner = [mean_strength(entry, path_parameters(path, t), pictures) for t in fine[1:-1]]
        risen = np.maximum.accumulate([curve[right - 1], *inner])
        values = np.append(np.minimum(risen, curve[right]), curve[right])
        at = int(np.clip(np.searchsorted(values, target), 1, _FINE))
        rise = values[at] - values[at - 1]
        share = (target - values[at - 1]) / rise if rise > 0 else 1.0
        t = fine[at - 1] + float(np.clip(share, 0, 1)) * (fine[at] - fine[at - 1])
        levels.append({k: _round(v) for k, v in path_parameters(path, t).items()})
    return levels


def tables(entries: Sequence[Entry], sides_of: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[int, Any]]:
    """Levels by name and short side, with measured strengths under "measured"."""
    pictures: dict[int, list[Image]] = {}
    out: dict[str, dict[int, Any]] = {}
    for entry in entries:
        path = dict(sides_of[entry.name])
        for side in path.pop("sides"):
            at_side = pictures.setdefault(side, photographs(side))
            scaled = {
                name: _scale(value, side / PATH_SIDE) for name, value in path.items() if name in entry.lengths
            }
            levels = fit_levels(entry, {**path, **scaled}, at_side)
            columns: dict[str, Any] = {}
            for name in levels[0]:
                values = [level[name] for level in levels]
                columns[name] = values[0] if len(set(values)) == 1 else values
            measured = [round(mean_strength(entry, level, at_side), 2) for level in levels]
            out.setdefault(entry.name, {})[side] = (columns, measured)
            print(f"{entry.name} at {side}: {measured} {columns}", file=sys.stderr)
    return out


def paths() -> dict[str, Mapping[str, Any]]:
    """Each entry's path, from the catalog's data file."""
    return {item["name"]: item["path"] for item in read_table("catalog.yaml")["entries"]}


def measured_levels(entry: Entry, short_side: int, pictures: Sequence[Image]) -> list[float]:
    """Mean strength of levels 1 to 5 with the entry's own tables."""
    return [mean_strength(entry, entry.parameters(level, short_side), pictures) for level in range(1, 6)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="measure the committed table; exit 1 if a level left its band"
    )
    parser.add_argument(
        "--names", nargs="*", help="fit only these types; the others keep their committed levels"
    )
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    chosen = [entry for entry in catalog() if not options.names or entry.name in options.names]
    if options.check:
        return _check(chosen)
    made = tables(chosen, paths())
    write_levels(Path(__file__).with_name("levels.yaml"), made)
    return 0


def _check(entries: Sequence[Entry]) -> int:
    """Measure each type at its calibration sides and between them; print what left its band.

    On the calibration photographs every level must lie in its band, on the held-out ones within
    `HELD_OUT_SLACK` of it.
    """
    failures = total = inside = 0
    for side in CHECKED_SIDES:
        sets = [(photographs(side), 0.0), (photographs(side, HELD_OUT), HELD_OUT_SLACK)]
        for entry in entries:
            texts = []
            for pictures, slack in sets:
                measured = measured_levels(entry, side, pictures)
                wrong = outside_bands(entry, measured, slack)
                failures += len(wrong)
                if slack:
                    total += 5
                    inside += 5 - len(outside_bands(entry, measured, 0.0))
                values = " ".join(f"{value:.2f}" for value in measured)
                texts.append(f"{values} {'outside: ' + str(wrong) if wrong else 'ok'}")
            print(f"{side:4d} {entry.name:32s} {' | held out: '.join(texts)}")
    print(f"held-out photographs: {inside} of {total} levels in their bands; {failures} levels failed")
    return 1 if failures else 0


def outside_bands(entry: Entry, measured: Sequence[float], slack: float) -> list[int]:
    """The levels whose strength isn't in its band, give or take `slack`.

    The bands of an entry that doesn't reach the last one (`reach` in the catalog) are scaled down.
    """
    scale = min(1.0, entry.reach / TARGETS[-1])
    return [
        level
        for level, (value, (low, high)) in enumerate(zip(measured, BANDS, strict=True), start=1)
        if not low * scale - slack <= value < high * scale + slack
    ]


def write_levels(path: Path, made: Mapping[str, Mapping[int, Any]]) -> None:
    """Replace the fitted types in the committed file and keep the others unchanged, in catalog order."""
    kept: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line[0] not in "#{ \n":
            name = line.strip().removesuffix(":")
            kept[name] = line
        elif line.startswith(" "):
            kept[name] += line
    blocks = [_HEADER.format(targets=", ".join(map(str, TARGETS)))]
    for entry in catalog():
        if entry.name in made:
            blocks.append("".join([f"{entry.name}:\n", *block_lines(made[entry.name])]))
        elif entry.name in kept:
            blocks.append(kept[entry.name])
    path.write_text("".join(blocks), encoding="utf-8")


def block_lines(rows: Mapping[int, Any]) -> list[str]:
    """One type's lines in the file, below its name."""
    lines = []
    for side, (columns, measured) in rows.items():
        text = ", ".join(f"{parameter}: {_flow(value)}" for parameter, value in columns.items())
        lines.append(f"  {side}: {{{text}}}  # measured {measured}\n")
    return lines


def _scale(value: Any, scale: float) -> Any:
    """A path's constant or its two ends times `scale`."""
    return [value[0] * scale, value[1] * scale, value[2]] if isinstance(value, list) else value * scale


def _flow(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _round(value: float | str) -> float | str:
    """Four significant digits: enough for a level, and a table people can read."""
    return value if isinstance(value, str) else float(f"{value:.4g}")


def _resize(picture: NDArray[np.uint8], short_side: int) -> Image:
    """Resize to a short side in pixels: area filter down, cubic up."""
    height, width = picture.shape[:2]
    scale = short_side / min(height, width)
    size = (round(width * scale), round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=how), dtype=np.uint8)


if __name__ == "__main__":
    sys.exit(main())
