"""Speed and memory of the build: pictures per second by stage, ratios to the floor, one and two workers.

Run: python -m benchmarks.pipeline [--photographs N]. The floor of ingest is only decoding and encoding; the
floor of distort is decoding, calling the finished recipes' distortions directly, and encoding. Everything is
measured in one process and run.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from sklearn.datasets import load_sample_image

from distortions.plans import rebuild
from flows.engine import survey
from flows.engine.build import build
from flows.engine.overrides import Overrides, configure
from flows.engine.runners import ProcessRunner
from flows.stages.job import Job
from flows.stages.known import Known
from flows.stages.table import run_job
from flows.workers import single_threaded_libraries
from schemas.config import BuildConfig, IngestConfig
from schemas.pictures import decode, encode, load_png
from schemas.shards import read_items
from schemas.store import Store, open_store

STAGES = ("ingest", "regions", "distort", "annotate")
CONFIG = """
name: bench
images: {{folder: {images}}}
out: {out}
store: {store}
ingest: {{max_side: {side}, near_duplicate_bits: -1}}
distort: {{samples: {{hyd: 3, sid: 3, dao: 2, single: 2, whole: 1, pristine: 1}}}}
run: {{shard_size: 1}}
"""


def photographs(count: int, width: int, height: int) -> list[np.ndarray]:
    """Different crops of real photographs at one size, (height, width, 3) uint8 RGB."""
    sources = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket()]
    sources += [load_sample_image("china.jpg"), load_sample_image("flower.jpg")]
    draw = np.random.default_rng(0)
    crops = []
    for number in range(count):
        source = sources[number % len(sources)]
        rows, columns = source.shape[:2]
        share = draw.uniform(0.75, 1.0)
        y, x = int(draw.uniform(0, (1 - share) * rows)), int(draw.uniform(0, (1 - share) * columns))
        crop = source[y : y + int(share * rows), x : x + int(share * columns)]
        crops.append(cv2.resize(crop, (width, height), interpolation=cv2.INTER_CUBIC))
    return crops


def configuration(folder: Path, pictures: Sequence[np.ndarray], side: int) -> BuildConfig:
    """A build of `pictures`, written as JPEG files of quality 95."""
    images = folder / "images"
    images.mkdir(parents=True)
    for number, rgb in enumerate(pictures):
        cv2.imwrite(str(images / f"{number:03d}.jpg"), rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    path = folder / "bench.yaml"
    path.write_text(
        CONFIG.format(images=images, out=folder / "out", store=folder / "store", side=side), encoding="utf-8"
    )
    return configure(path, Overrides())


def surveyed(config: BuildConfig, store: Store) -> Known:
    known = survey.start(config, store)
    survey.look_ahead(known)
    return known


def time_stages(config: BuildConfig, store: Store) -> dict[str, float]:
    """Seconds of each stage's jobs, one after another in this process."""
    seconds = {}
    for stage in STAGES:
        jobs = surveyed(config, store).jobs[stage]
        started = time.perf_counter()
        for job in jobs:
            run_job(job, store)
        seconds[stage] = time.perf_counter() - started
    return seconds


def ingest_floor(config: BuildConfig) -> float:
    """Seconds to decode and encode every photograph."""
    limits = IngestConfig(max_side=config.ingest.max_side)
    started = time.perf_counter()
    for path in sorted((config.images.folder or Path()).iterdir()):
        encode(decode(path.read_bytes(), limits).rgb)
    return time.perf_counter() - started


def distort_floor(config: BuildConfig, store: Store) -> float:
    """Seconds to decode every photograph, rebuild each sample from its recipe, and encode it."""
    recipes = []
    for job in surveyed(config, store).jobs["distort"]:
        pictures = {
            item.id: item.picture for item in read_items(store, "ingest", job.content["ingest"], True)
        }
        for item in read_items(store, "distort", job.key):
            recipes.append((pictures[item.record["sample"]["source_image"]["id"]], item.record["recipe"]))
    started = time.perf_counter()
    last, image = None, np.zeros((1, 1, 3), np.uint8)
    for data, recipe in recipes:
        if data is not last and data is not None:
            last, image = data, load_png(data)
        encode(rebuild(image, recipe))
    return time.perf_counter() - started


def time_workers(config: BuildConfig, folder: Path, workers: int) -> float:
    """Seconds of the distort stage on a pool of `workers` warmed-up processes."""
    base = folder / "store"
    target = folder / f"store-{workers}"
    for stage in ("ingest", "regions"):
        shutil.copytree(base / stage, target / stage)
    (target / "store.json").write_bytes((base / "store.json").read_bytes())
    with open_store(target) as store, ProcessRunner(store, workers) as runner:
        warm = surveyed(config.model_copy(update={"seed": 1}), store).jobs["distort"]
        jobs = surveyed(config, store).jobs["distort"]
        _all(runner.run, warm, workers)
        started = time.perf_counter()
        _all(runner.run, jobs, workers)
        return time.perf_counter() - started


def _all(run: Callable[[Job], object], jobs: Sequence[Job], workers: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as threads:
        list(threads.map(run, jobs))


def peak_memory(config: BuildConfig) -> dict[str, float]:
    """Peak resident memory in MB of a new process that makes all shards of a stage."""
    context = multiprocessing.get_context("spawn")
    peaks = {}
    with open_store(config.store or config.out) as store:
        for stage in STAGES:
            jobs = surveyed(config, store).jobs[stage]
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                peaks[stage] = pool.submit(_peak_of, jobs, store.root, store.tmp).result()
    return peaks


def _peak_of(jobs: Sequence[Job], root: Path, tmp: Path | None) -> float:
    single_threaded_libraries()
    for job in jobs:
        run_job(job, Store(root, tmp))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def command_seconds(*arguments: str) -> float:
    """The best of five runs of `iqa-spider ARGUMENTS`."""
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        command = [sys.executable, "-m", "flows.cli", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        best = min(best, time.perf_counter() - started)
    return best


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=int, default=24)
    count = parser.parse_args().photographs
    single_threaded_libraries()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = configuration(folder / "small", photographs(count, 1024, 768), 1024)
        with open_store(config.store or config.out) as store:
            time_stages(config.model_copy(update={"seed": 7}), store)
            shutil.rmtree(store.root / "ingest")
            shutil.rmtree(store.root / "regions")
            seconds = time_stages(config, store)
            floors = {"ingest": ingest_floor(config), "distort": distort_floor(config, store)}
            samples = sum(m.rows for m in surveyed(config, store).manifests("distort"))
        print(f"{count} photographs of 1024 x 768, {samples} samples, one process, one thread\n")
        print("| stage | photographs/s | pictures made/s | floor / stage |")
        print("|---|---|---|---|")
        for stage in STAGES:
            made = f"{samples / seconds[stage]:.1f}" if stage in ("distort", "annotate") else ""
            share = f"{floors[stage] / seconds[stage]:.2f}" if stage in floors else ""
            print(f"| {stage} | {count / seconds[stage]:.2f} | {made} | {share} |")
        one, two = (time_workers(config, folder / "small", workers) for workers in (1, 2))
        print(f"\ndistort with two workers against one: {one / two:.2f}x ({one:.1f} s, {two:.1f} s)")

        first = build(config)
        again = build(config)
        print(f"orchestration: {first.seconds['orchestration']:.1f} s of {sum(first.seconds.values()):.1f} s")
        print(f"rebuild without change: {sum(again.seconds.values()):.2f} s ({again.summary()['state']})")
        print(f"iqa-spider --help: {command_seconds('--help'):.2f} s")

        for side in (1024, 4096):
            large = configuration(folder / f"large-{side}", photographs(2, 4000, 3000), side)
            peaks = peak_memory(large)
            listed = ", ".join(f"{stage} {peak:.0f}" for stage, peak in peaks.items())
            print(f"peak memory of a worker in MB, 12-megapixel JPEG, max_side {side}: {listed}")


if __name__ == "__main__":
    main()
