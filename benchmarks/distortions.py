"""Times every distortion, and its peer in imagecorruptions, in one run and on one thread: a table of ratios.

Run `python -m benchmarks.distortions` from the root. "ours" is our operation with the peer's own
parameters, "level 3" the calibrated level 3 at 1024x768, "region" the same through a 5% mask as a share of
it.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from distortions import Entry, Op, apply, catalog, inject, resolve, strength
from distortions.frame import Frame

Image = NDArray[np.uint8]
WIDTH, HEIGHT = 1024, 768
LEVEL = 3
LIMIT_MS = 60.0


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Median time of a call after one warm-up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def ellipse(share: float) -> NDArray[np.bool_]:
    """A mask covering about `share` of the picture, off its centre."""
    scale = (share * WIDTH * HEIGHT / np.pi / (4 / 3)) ** 0.5
    axes = (round(scale * 4 / 3), round(scale))
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(mask, (WIDTH * 2 // 5, HEIGHT * 2 // 5), axes, 0, 0, 360, 1, -1)
    return mask > 0


def with_peers_parameters(alias: str, image: Image) -> Callable[[], Image]:
    """Our operation at the peer's parameters, unscaled, as the peer runs them at any size."""
    entry = resolve(alias)
    side = entry.tables[0].side
    parameters = entry.parameters(LEVEL, side)
    return lambda: entry.function.run(image, Frame.whole(image, 0), **parameters)


def imagecorruptions_calls(image: Image) -> dict[str, Callable[[], object]]:
    """The peer's functions by name; two get the argument that current scikit-image expects."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from imagecorruptions import corrupt, corruptions, get_corruption_names
    gaussian = corruptions.gaussian
    corruptions.gaussian = lambda x, multichannel=False, **rest: gaussian(
        x, channel_axis=-1 if multichannel else None, **rest
    )
    return {
        name: lambda name=name: corrupt(image, corruption_name=name, severity=LEVEL)  # type: ignore[misc]
        for name in get_corruption_names("all")
    }


def geometric_mean(values: list[float]) -> float:
    """Of positive values; nan for none."""
    return statistics.geometric_mean(values) if values else float("nan")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-peers", action="store_true", help="only our own times")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    photographs: Any = data
    coffee = cv2.resize(photographs.coffee(), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    image = np.asarray(coffee, dtype=np.uint8)
    mask = ellipse(0.05)
    peers = {} if options.no_peers else imagecorruptions_calls(image)
    ratios: list[float] = []
    shares: list[float] = []
    slow: list[str] = []
    print(f"{WIDTH}x{HEIGHT}, level {LEVEL}, one thread, median of {options.repeats}, milliseconds")
    print(f"{'name':32s}{'level 3':>9s}{'region':>9s}  peer's parameters: ours / peer = ratio")
    for entry in catalog():
        whole = milliseconds(lambda entry=entry: apply(image, entry.name, LEVEL), options.repeats)  # type: ignore[misc]
        part = milliseconds(
            lambda entry=entry: inject(image, mask, [Op(entry.name, LEVEL)]),  # type: ignore[misc]
            options.repeats,
        )
        if entry.extent == "local":
            shares.append(part / whole)
        if whole > LIMIT_MS:
            slow.append(f"{entry.name} {whole:.0f} ms")
        peer = _against_peer(entry, image, peers, options.repeats, ratios)
        print(f"{entry.name:32s}{whole:9.1f}{part / whole:9.0%}  {peer}")
    print(
        f"ratio over imagecorruptions: geometric mean {geometric_mean(ratios):.1f} over {len(ratios)} types",
        end="",
    )
    print(f", least {min(ratios):.1f}" if ratios else "")
    print(f"a 5% mask costs {geometric_mean(shares):.0%} of the whole picture (geometric mean, local types)")
    print(f"above {LIMIT_MS:.0f} ms: {', '.join(slow) or 'none'}")
    blurred = apply(image, "blur_gaussian", LEVEL)
    print(f"strength: {milliseconds(lambda: strength(image, blurred), 15):.1f} ms, ", end="")
    print(f"on the region: {milliseconds(lambda: strength(image, blurred, mask), 15):.1f} ms")


def _against_peer(
    entry: Entry, image: Image, peers: dict[str, Callable[[], object]], repeats: int, ratios: list[float]
) -> str:
    """Time each of the entry's imagecorruptions aliases; adds to `ratios`."""
    texts = []
    for alias in entry.aliases:
        name = alias.removeprefix("imagecorruptions:")
        if name in peers and name != alias:
            ours = milliseconds(with_peers_parameters(alias, image), repeats)
            theirs = milliseconds(peers[name], 1 if name == "glass_blur" else min(repeats, 3))
            ratios.append(theirs / ours)
            texts.append(f"{name} {ours:.1f} / {theirs:.1f} = {theirs / ours:.1f}x")
    return "; ".join(texts)


if __name__ == "__main__":
    main()
