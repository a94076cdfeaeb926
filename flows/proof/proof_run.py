"""The learning proof from photographs to figures: crops, two builds, a base and stage one a seed, points."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from flows.engine.overrides import read_config
from flows.proof.photographs import Side, cut, photograph_of
from flows.proof.point_answers import asked, point_of
from flows.proof.proof_config import ProofOptions
from schemas.config import BuildConfig, ImagesConfig
from schemas.meter import SILENT, Progress
from schemas.store import write_atomically
from training.proof.scores import CENTRE, Point, Score, apart, judged, score, target_of
from training.sft.train_config import TrainOptions, load_options

RESULT = "result.json"
SIDES: tuple[Side, ...] = ("train", "test")


def run_proof(options: ProofOptions, progress: Progress = SILENT) -> dict[str, Any]:
    """Make what is missing, measure, write `out/result.json` and return it.

    Datasets that stand are reused, trained seeds aren't. Raises InputError and BuildError.
    """
    begun = time.perf_counter()
    train, test = (_in_own_process(options, side, progress) for side in SIDES)
    built = time.perf_counter()
    stage_one = load_options(options.stage_one)
    jobs = [(options, _of_seed(stage_one, options, seed, train), test) for seed in options.seeds]
    with (
        progress("train", len(jobs), unit="seeds", done="trained") as meter,
        ProcessPoolExecutor(min(options.workers, len(jobs)), mp_context=get_context("spawn")) as pool,
    ):
        seeds = []
        for seed in pool.map(_seed, jobs):
            seeds.append(seed)
            meter.step()
    result = {
        **summary(seeds),
        "datasets": {"train": str(train), "test": str(test)},
        "seconds": {"data": round(built - begun, 1), "training": round(time.perf_counter() - built, 1)},
    }
    write_atomically(options.out / RESULT, (json.dumps(result, indent=2) + "\n").encode(), options.out)
    return result


def _in_own_process(options: ProofOptions, side: Side, progress: Progress) -> Path:
    """A build as the command line runs it, one a process: Prefect's client keeps sending the events of a
    build to its server, which ends with it.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_built, options, side, progress).result()


def _built(options: ProofOptions, side: Side, progress: Progress) -> Path:
    """The dataset of one side of the split, all its rows in the split of that name."""
    from flows.engine.build import build

    options.out.mkdir(parents=True, exist_ok=True)
    crops = options.crops
    count = crops.train if side == "train" else crops.test
    pictures = cut(options.out / "crops", side, count, crops.pixels, crops.seed)
    config = build_config(options, read_config(options.build), side, pictures)
    return build(config, None, progress).folder.resolve()


def build_config(options: ProofOptions, config: BuildConfig, side: Side, pictures: Path) -> BuildConfig:
    """The build of one side: its crops, its folder, and a split that all of its pictures are in."""
    wording = options.out / "wording.yaml"
    write_atomically(wording, reworded(options.phrases, options.places).encode(), options.out)
    return config.model_copy(
        update={
            "name": f"{config.name}-{side}",
            "images": ImagesConfig(folder=pictures),
            "out": options.out / side,
            "annotate": config.annotate.model_copy(update={"wording": wording}),
            "merge": config.merge.model_copy(update={"test_share": 1.0 if side == "test" else 0.0}),
        }
    )


def reworded(phrases: dict[str, list[str]], places: dict[str, list[str]]) -> str:
    """The packaged wording file as YAML, some of its entries replaced."""
    from annotation.qa.wording import WORDING_FILE

    wording = yaml.safe_load(WORDING_FILE.read_text(encoding="utf-8"))
    wording["phrases"].update(phrases)
    wording["places"].update(places)
    return str(yaml.safe_dump(wording, sort_keys=True, width=110))


def _of_seed(stage_one: TrainOptions, options: ProofOptions, seed: int, train: Path) -> TrainOptions:
    """Stage one with this seed, in a new folder of its own."""
    out = options.out / "runs" / f"{time.strftime('%Y%m%d-%H%M%S')}-seed{seed}"
    data = stage_one.data.model_copy(update={"dataset": train})
    return stage_one.model_copy(update={"seed": seed, "out": out, "data": data})


def _seed(job: tuple[ProofOptions, TrainOptions, Path]) -> dict[str, Any]:
    """Train one seed and judge its points; in a process of its own, on one thread."""
    os.environ["OMP_NUM_THREADS"] = "1"
    from inference.place_tokens import Vocabulary
    from schemas.model_files import load_processor
    from training.proof.chain import BaseSteps, passed, train_seed
    from training.proof.proof_rows import rows_of
    from training.sft.saving import load_base, load_trained

    options, stage_one, test = job
    base = BaseSteps(options.base.steps, options.base.batch, options.base.rate)
    trained = train_seed(stage_one, base)
    begun = time.process_time()
    rows = rows_of(test, "test", options.test_rows)
    reader = load_processor(str(trained.base), None)
    named = stage_one.model.model_copy(update={"name": str(trained.base), "tiny": None})
    answered = {
        "untrained": asked(load_base(named, str(trained.base), "float32").eval(), reader, rows),
        "trained": asked(load_trained(trained.adapter).get_base_model(), reader, rows),
    }
    passed(trained.seconds, "answers", begun)
    vocabulary = Vocabulary.of(reader.tokenizer)
    points: dict[str, list[Point | None]] = {
        **{who: [point_of(answer, vocabulary) for answer in found] for who, found in answered.items()},
        "centre": [CENTRE for _ in rows],
    }
    return {
        "seed": stage_one.seed,
        "seconds": trained.seconds,
        "base_loss": trained.base_loss,
        "loss": trained.loss,
        "rows": [
            {
                "id": row["id"],
                "photograph": photograph_of(row["source_image"]["uri"]),
                "answer": {who: found[number].text for who, found in answered.items()},
                **{who: _told(points[who][number], row) for who in points},
            }
            for number, row in enumerate(rows)
        ],
    }


def _told(point: Point | None, row: dict[str, Any]) -> dict[str, Any]:
    hit, error = judged(point, target_of(row))
    return {"point": point, "hit": hit, "error": error}


WHO = ("trained", "untrained", "centre")


def summary(seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Scores of each seed, and whether each seed's training beats both others with intervals apart."""
    told: list[dict[str, Any]] = []
    for seed in seeds:
        scores = {who: _scored(seed["rows"], who) for who in WHO}
        trained = scores["trained"]
        beats = {
            other: trained.hit > scores[other].hit
            and apart(trained.hit_interval, scores[other].hit_interval)
            and trained.error < scores[other].error
            and apart(trained.error_interval, scores[other].error_interval)
            for other in WHO[1:]
        }
        told.append({**seed, "scores": {who: found.told() for who, found in scores.items()}, "beats": beats})
    return {"seeds": told, "proved": all(all(seed["beats"].values()) for seed in told)}


def _scored(rows: Sequence[dict[str, Any]], who: str) -> Score:
    return score(
        [row[who]["hit"] for row in rows],
        [row[who]["error"] for row in rows],
        [row["photograph"] for row in rows],
    )


def lines(result: dict[str, Any]) -> list[str]:
    """The figures for people."""
    told = [f"{'seed':<5} {'points':<10} {'rows':>5}  {'hit rate':<22} {'error':<22}"]
    for seed in result["seeds"]:
        for who in WHO:
            found = seed["scores"][who]
            hit, error = (
                f"{found[name]:.3f} [{found[f'{name}_interval'][0]:.3f}, {found[f'{name}_interval'][1]:.3f}]"
                for name in ("hit", "error")
            )
            told.append(f"{seed['seed']:<5} {who:<10} {found['rows']:>5}  {hit:<22} {error:<22}")
    seconds = result["seconds"]
    told.append(f"{seconds['data']:.0f} s for the data, {seconds['training']:.0f} s for training and answers")
    proved = "every seed beats" if result["proved"] else "not every seed beats"
    told.append(f"{proved} the untrained model and the centre, intervals apart")
    return told
