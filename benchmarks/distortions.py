"""Times the distortions against their peers in one run, on one thread: tables of ratios.

Run `python -m benchmarks.distortions` from the root. Only ratios mean anything beyond this machine: our
call and the peer's alternate, and a ratio above 1 means that ours is faster.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from skimage import data

from benchmarks.peers import TWINS, Image, albumentations_call, imagecorruptions_calls
from distortions import Op, UnknownDistortion, apply, catalog, inject, resolve, strength, strengths
from distortions.frame import Frame
from distortions.operations import OPERATIONS

WIDTH, HEIGHT = 1024, 768
LEVEL = 3
LIMIT_MS = 60.0
MASK_SHARE = 0.05
# A peer's call above this many milliseconds is timed once.
PATIENCE_MS = 1000.0


def milliseconds(calls: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median time of each call. They alternate after a first round, which is all that a slow call gets."""
    first = [_once(call) for call in calls]
    taken: list[list[float]] = [[time] if time > PATIENCE_MS else [] for time in first]
    for _ in range(repeats):
        for call, times, warm in zip(calls, taken, first, strict=True):
            if warm <= PATIENCE_MS:
                times.append(_once(call))
    return [statistics.median(times) for times in taken]


def _once(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def ellipse(share: float) -> NDArray[np.bool_]:
    """A mask covering about `share` of the picture, off center."""
    scale = (share * WIDTH * HEIGHT / np.pi / (4 / 3)) ** 0.5
    axes = (round(scale * 4 / 3), round(scale))
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(mask, (WIDTH * 2 // 5, HEIGHT * 2 // 5), axes, 0, 0, 360, 1, -1)
    return mask > 0


def against_imagecorruptions(image: Image, repeats: int) -> None:
    """Our operation at the peer's own parameters, unscaled, as the peer uses them at any size."""
    print(f"\nimagecorruptions, severity {LEVEL}")
    print(f"{'name':34s}{'ours ms':>9s}{'theirs ms':>11s}{'ratio':>9s}")
    ratios: dict[str, float] = {}
    missing = []
    for name, theirs in imagecorruptions_calls(image, LEVEL).items():
        try:
            entry = resolve(f"imagecorruptions:{name}", LEVEL)
        except UnknownDistortion:
            missing.append(name)
            continue
        parameters = entry.parameters(LEVEL, entry.tables[0].side)
        frame, run = Frame.whole(image, 0), entry.function.run
        ours_ms, theirs_ms = milliseconds([lambda: run(image, frame, **parameters), theirs], repeats)  # noqa: B023
        ratios[name] = theirs_ms / ours_ms
        print(f"{name:34s}{ours_ms:9.2f}{theirs_ms:11.1f}{ratios[name]:9.1f}{_mark(ratios[name], 1.0)}")
    others = [ratio for name, ratio in ratios.items() if name != "glass_blur"]
    least = min(ratios, key=lambda name: ratios[name])
    print(f"geometric mean over {len(ratios)}: {geometric_mean(list(ratios.values())):.1f}, ", end="")
    print(f"without glass_blur: {geometric_mean(others):.1f}; lowest: {least} {ratios[least]:.2f}")
    if missing:
        print(f"not in the catalog: {', '.join(missing)}")


def against_albumentations(image: Image, repeats: int) -> None:
    """The operations that both have, at matched parameters."""
    print("\nalbumentations, matched parameters")
    print(f"{'ours':25s}{'theirs':26s}{'ours ms':>9s}{'theirs ms':>11s}{'ratio':>7s}")
    ratios = {}
    for twin in TWINS:
        if twin.operation not in OPERATIONS:
            print(f"{twin.operation:25s}{twin.transform:26s} no such operation")
            continue
        run, frame = OPERATIONS[twin.operation].run, Frame.whole(image, 0)
        calls: list[Callable[[], object]] = [
            lambda: run(image, frame, **twin.parameters),  # noqa: B023
            albumentations_call(twin, image),
        ]
        ours_ms, theirs_ms = milliseconds(calls, repeats)
        ratio = theirs_ms / ours_ms
        if twin.same:
            ratios[f"{twin.operation}/{twin.transform}"] = ratio
        line = f"{twin.operation:25s}{twin.transform:26s}{ours_ms:9.2f}{theirs_ms:11.2f}{ratio:7.2f}"
        print(f"{line}{_mark(ratio, 0.9) if twin.same else ''}{'  ' + twin.note if twin.note else ''}")
    least = min(ratios, key=lambda name: ratios[name])
    print(f"geometric mean over {len(ratios)}: {geometric_mean(list(ratios.values())):.1f}; ", end="")
    print(f"lowest: {least} {ratios[least]:.2f}")


def all_entries(image: Image, repeats: int) -> None:
    """Every entry at levels 3 and 5, and through a 5% mask as a share of `apply` and of a full mask."""
    mask, full = ellipse(MASK_SHARE), np.ones((HEIGHT, WIDTH), bool)
    print(f"\nevery entry; * above {LIMIT_MS:.0f} ms; region: level 3 through a mask of {mask.mean():.1%},")
    print("as a share of apply and of inject through a full mask")
    print(
        f"{'name':34s}{'level 3 ms':>11s}{'level 5 ms':>11s}{'region ms':>10s}{'/ apply':>9s}{'/ full':>8s}"
    )
    shares: list[tuple[float, float]] = []
    slow = []
    for entry in catalog():
        ops = [Op(entry.name, LEVEL)]
        calls: list[Callable[[], object]] = [
            lambda: apply(image, entry.name, LEVEL),  # noqa: B023
            lambda: apply(image, entry.name, 5),  # noqa: B023
            lambda: inject(image, mask, ops),  # noqa: B023
            lambda: inject(image, full, ops),  # noqa: B023
        ]
        whole, strongest, part, everywhere = (milliseconds([call], repeats)[0] for call in calls)
        if entry.extent == "local":
            shares.append((part / whole, part / everywhere))
        if max(whole, strongest) > LIMIT_MS:
            slow.append(entry.name)
        line = f"{entry.name:34s}{whole:11.2f}{strongest:11.2f}{part:10.2f}"
        kind = "" if entry.extent == "local" else "  global"
        star = "  *" if entry.name in slow else ""
        print(f"{line}{part / whole:9.0%}{part / everywhere:8.0%}{kind}{star}")
    print(f"above {LIMIT_MS:.0f} ms: {', '.join(slow) or 'none'}")
    of_apply, of_full = (geometric_mean(list(column)) for column in zip(*shares, strict=True))
    print(
        f"a {MASK_SHARE:.0%} mask takes {of_apply:.1%} of the time of apply, {of_full:.1%} of a full mask: ",
        end="",
    )
    print(f"geometric means over {len(shares)} local entries")
    target = float(resolve("compression_jpeg_2000").parameters(LEVEL, HEIGHT)["target"])
    encode, decode = _jpeg_2000_library(image, target, repeats)
    print(f"JPEG 2000: the library alone takes {encode:.0f} ms to encode and {decode:.0f} ms to decode")


def measuring(image: Image, repeats: int) -> None:
    """Strength of one picture, of one region, and with the reference analyzed once."""
    mask = ellipse(MASK_SHARE)
    blurred = apply(image, "blur_gaussian", LEVEL)
    five = [apply(image, "noise_gaussian_RGB", level) for level in range(1, 6)]
    whole, region, shared = milliseconds(
        [
            lambda: strength(image, blurred),
            lambda: strength(image, blurred, mask),
            lambda: strengths(image, five),
        ],
        3 * repeats,
    )
    print(f"\nstrength: {whole:.1f} ms, on a region {region:.1f} ms, ", end="")
    print(f"with one reference for five pictures {shared / 5:.1f} ms each")


def _jpeg_2000_library(image: Image, target: float, repeats: int) -> list[float]:
    buffer = io.BytesIO()
    options: dict[str, Any] = {"quality_mode": "dB", "quality_layers": [target], "num_resolutions": 6}

    def encode() -> None:
        buffer.seek(0)
        buffer.truncate()
        Pillow.fromarray(image).save(buffer, "JPEG2000", no_jp2=True, **options)

    def decode() -> None:
        buffer.seek(0)
        with Pillow.open(buffer) as picture:
            picture.load()

    return milliseconds([encode, decode], repeats)


def geometric_mean(values: list[float]) -> float:
    """Geometric mean of positive values; nan if there are none."""
    return statistics.geometric_mean(values) if values else float("nan")


def _mark(ratio: float, least: float) -> str:
    return f"  below {least}" if ratio < least else ""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds")
    parser.add_argument("--no-peers", action="store_true", help="measure only our own times")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    photographs: Any = data
    coffee = cv2.resize(photographs.coffee(), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    image = np.asarray(coffee, dtype=np.uint8)
    print(f"{WIDTH}x{HEIGHT}, one thread, median of {options.repeats}")
    if not options.no_peers:
        against_imagecorruptions(image, options.repeats)
        against_albumentations(image, options.repeats)
    all_entries(image, options.repeats)
    measuring(image, options.repeats)


if __name__ == "__main__":
    main()
