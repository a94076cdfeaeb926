"""Speed and memory of importing: rows per second for 100,000 generated DQ-495K rows that share pictures.

Run: python -m benchmarks.importing [--rows N]. One process reads one annotation file: outline, rows,
pictures, merge. Peak memory is that of the process, which at first contains only the imports.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import skimage.data

from distortions import catalog
from flows.stages import external, merge, outline, pictures
from flows.stages.job import Job
from flows.stages.table import run_job
from schemas.config import BuildConfig, ExternalConfig
from schemas.store import open_store

PICTURES = 8
ANSWERS = (
    "The most critical quality issue of the evaluated image is {name}, and its severity is {level} of five.",
    "In comparison with the reference, the image suffers from {name}; details are lost at level {level}.",
)


def generated(count: int) -> Iterator[dict[str, object]]:
    """Rows in the format of train_refA_sd_mix_112k.json, one at a time."""
    known = [
        (entry.category, alias.partition(":")[2])
        for entry in catalog()
        for alias in entry.aliases
        if alias.startswith("depictqa:")
    ]
    for number in range(count):
        picture = number % PICTURES
        category, name = known[picture]
        level = 1 + picture % 5
        answer = ANSWERS[number % 2].format(name=name.replace("_", " "), level=level) + f" Case {number}."
        yield {
            "distortion_class": category,
            "distortion_name": name,
            "severity": level,
            "id": f"121-cc-{number // 4}_{number % 4}",
            "image_ref": "KADIS700K/ref_imgs_s224/0.png",
            "image_A": f"KADIS700K/refA_sd_brief/dist_imgs/{picture}.png",
            "image_B": None,
            "task_type": "quality_single_A",
            "conversations": [
                {"from": "human", "value": f"What critical ONE quality issue has picture {number}?"},
                {"from": "gpt", "value": answer},
            ],
        }


def write(root: Path, count: int) -> Path:
    """Write the annotation file, row by row, and its pictures; return the file's path."""
    path = root / "KADIS700K/refA_sd_brief/metas/train_refA_sd_mix.json"
    path.parent.mkdir(parents=True)
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(generated(count)):
            file.write(("[\n" if number == 0 else ",\n") + json.dumps(row, indent=4))
        file.write("\n]\n")
    for folder, names in (("ref_imgs_s224", 1), ("refA_sd_brief/dist_imgs", PICTURES)):
        (root / "KADIS700K" / folder).mkdir(parents=True, exist_ok=True)
        for number in range(names):
            crop = skimage.data.astronaut()[number * 20 : number * 20 + 224, : 224 + number]
            cv2.imwrite(str(root / "KADIS700K" / folder / f"{number}.png"), crop[..., ::-1])
    return path


def peak() -> float:
    """This process's peak memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    count = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as place, open_store(Path(place) / "store") as store:
        root = Path(place) / "dq"
        path = write(root, count)
        print(f"{count} rows, {path.stat().st_size / 1e6:.0f} MB of JSON; {peak():.0f} MB before importing")
        dataset = ExternalConfig(kind="dq-495k", annotations=[path], images=root)
        config = BuildConfig.model_validate(
            {"name": "bench", "images": {"bundled": True}, "out": place, "merge": {"external": [dataset]}}
        )
        begin = started = time.perf_counter()

        def report(stage: str) -> None:
            nonlocal started
            spent, started = time.perf_counter() - started, time.perf_counter()
            rate, cpu = count / spent, time.process_time()
            print(f"{stage:<10} {spent:6.2f} s  {rate:9,.0f} rows/s  peak {peak():.0f} MB  CPU {cpu:.1f} s")

        outlined = run_job(outline.job(path, outline.file_hash(path, None)), store)
        report("outline")
        jobs = external.file_jobs(outlined, path, outline.file_hash(path, None), dataset)
        manifests = [run_job(job, store) for job in jobs]
        report("rows")
        total = time.perf_counter() - begin
        print(f"import     {total:6.2f} s  {count / total:9,.0f} rows/s  peak {peak():.0f} MB")
        names = {name for manifest in manifests for name in manifest.extra["pictures"]}
        found = pictures.find(root, names, 200_000_000, None)
        stored: list[Job] = pictures.jobs([found], config)
        for job in stored:
            run_job(job, store)
        report("pictures")
        inputs = merge.ExternalInputs([(job, 0) for job in jobs], [found], [job.key for job in stored])
        merged = run_job(merge.job([], config, inputs), store)
        report("merge")
        kept = sum(entry["rows"] for entry in merged.extra["shards"])
        print(f"{kept} rows kept: {merged.counts}")


if __name__ == "__main__":
    main()
