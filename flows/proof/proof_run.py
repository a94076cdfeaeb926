"""Runs the learning proof: crops, two builds, a base and stage one per seed, and scored points."""

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
from flows.proof.photographs import Side, cut_crops, photograph_name
from flows.proof.point_answers import answer_rows, find_point
from flows.proof.proof_config import ProofOptions
from schemas.config import BuildConfig, ImagesConfig
from schemas.meter import SILENT, Progress
from schemas.store import write_atomically
from training.proof.scores import (
    CENTER,
    Point,
    PointScore,
    are_disjoint,
    decode_target,
    judge_point,
    score_points,
)
from training.sft.train_config import TrainOptions, load_options

RESULT = "result.json"
SIDES: tuple[Side, ...] = ("train", "test")


def run_proof(options: ProofOptions, progress: Progress = SILENT) -> dict[str, Any]:
    """Build what is missing, train, score, write `out/result.json` and return its contents.

    Existing datasets are reused, trained seeds aren't. Raises InputError and BuildError.
    """
    started = time.perf_counter()
    train, test = (_build_in_own_process(options, side, progress) for side in SIDES)
    built = time.perf_counter()
    stage_one = load_options(options.stage_one)
    jobs = [(options, _seed_options(stage_one, options, seed, train), test) for seed in options.seeds]
    with (
        progress("train", len(jobs), unit="seeds", done="trained") as meter,
        ProcessPoolExecutor(min(options.workers, len(jobs)), mp_context=get_context("spawn")) as pool,
    ):
        seeds = []
        for seed in pool.map(_train_and_judge, jobs):
            seeds.append(seed)
            meter.step()
    result = {
        **summarize_seeds(seeds),
        "datasets": {"train": str(train), "test": str(test)},
        "seconds": {"data": round(built - started, 1), "training": round(time.perf_counter() - built, 1)},
    }
    write_atomically(options.out / RESULT, (json.dumps(result, indent=2) + "\n").encode(), options.out)
    return result


def _build_in_own_process(options: ProofOptions, side: Side, progress: Progress) -> Path:
    """A build in its own process, as on the command line: Prefect's client keeps sending a build's events to
    its server, which ends with the build.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_build_side, options, side, progress).result()


def _build_side(options: ProofOptions, side: Side, progress: Progress) -> Path:
    """Build the dataset of one side; all its rows are in the split of that name."""
    from flows.engine.build import build

    options.out.mkdir(parents=True, exist_ok=True)
    crops = options.crops
    count = crops.train if side == "train" else crops.test
    pictures = cut_crops(options.out / "crops", side, count, crops.pixels, crops.seed)
    config = make_build_config(options, read_config(options.build), side, pictures)
    return build(config, None, progress).folder.resolve()


def make_build_config(options: ProofOptions, config: BuildConfig, side: Side, pictures: Path) -> BuildConfig:
    """The configuration of one side's build: its crops, its folder, and one split for all its pictures."""
    wording = options.out / "wording.yaml"
    write_atomically(wording, replace_wording(options.phrases, options.places).encode(), options.out)
    return config.model_copy(
        update={
            "name": f"{config.name}-{side}",
            "images": ImagesConfig(folder=pictures),
            "out": options.out / side,
            "annotate": config.annotate.model_copy(update={"wording": wording}),
            "merge": config.merge.model_copy(update={"test_share": 1.0 if side == "test" else 0.0}),
        }
    )


def replace_wording(phrases: dict[str, list[str]], places: dict[str, list[str]]) -> str:
    """The packaged wording file as YAML, with some of its entries replaced."""
    from annotation.qa.wording import WORDING_FILE

    wording = yaml.safe_load(WORDING_FILE.read_text(encoding="utf-8"))
    wording["phrases"].update(phrases)
    wording["places"].update(places)
    return str(yaml.safe_dump(wording, sort_keys=True, width=110))


def _seed_options(stage_one: TrainOptions, options: ProofOptions, seed: int, train: Path) -> TrainOptions:
    """The options of stage one with this seed, in a new folder."""
    out = options.out / "runs" / f"{time.strftime('%Y%m%d-%H%M%S')}-seed{seed}"
    data = stage_one.data.model_copy(update={"dataset": train})
    return stage_one.model_copy(update={"seed": seed, "out": out, "data": data})


def _train_and_judge(job: tuple[ProofOptions, TrainOptions, Path]) -> dict[str, Any]:
    """Train one seed and judge its points; runs in its own process, on one thread."""
    os.environ["OMP_NUM_THREADS"] = "1"
    from inference.place_tokens import Vocabulary
    from schemas.model_files import load_processor
    from training.proof.proof_rows import load_proof_rows
    from training.proof.train_seed import BaseSchedule, note_seconds, train_seed
    from training.sft.saving import load_base, load_trained

    options, stage_one, test = job
    base = BaseSchedule(options.base.steps, options.base.batch, options.base.rate)
    trained = train_seed(stage_one, base)
    started = time.process_time()
    rows = load_proof_rows(test, "test", options.test_rows)
    reader = load_processor(str(trained.base), None)
    named = stage_one.model.model_copy(update={"name": str(trained.base), "tiny": None})
    answered = {
        "untrained": answer_rows(load_base(named, str(trained.base), "float32").eval(), reader, rows),
        "trained": answer_rows(load_trained(trained.adapter).get_base_model(), reader, rows),
    }
    note_seconds(trained.seconds, "answers", started)
    vocabulary = Vocabulary.of(reader.tokenizer)
    points: dict[str, list[Point | None]] = {
        **{who: [find_point(answer, vocabulary) for answer in found] for who, found in answered.items()},
        "center": [CENTER for _ in rows],
    }
    return {
        "seed": stage_one.seed,
        "seconds": trained.seconds,
        "base_loss": trained.base_loss,
        "loss": trained.loss,
        "rows": [
            {
                "id": row["id"],
                "photograph": photograph_name(row["source_image"]["uri"]),
                "answer": {who: found[number].text for who, found in answered.items()},
                **{who: _judge_row(points[who][number], row) for who in points},
            }
            for number, row in enumerate(rows)
        ],
    }


def _judge_row(point: Point | None, row: dict[str, Any]) -> dict[str, Any]:
    hit, error = judge_point(point, decode_target(row))
    return {"point": point, "hit": hit, "error": error}


COMPARED = ("trained", "untrained", "center")


def summarize_seeds(seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Scores of each seed, and whether its trained model beats both baselines with disjoint intervals."""
    judged: list[dict[str, Any]] = []
    for seed in seeds:
        scores = {who: _score_model(seed["rows"], who) for who in COMPARED}
        trained = scores["trained"]
        beats = {
            other: trained.hit > scores[other].hit
            and are_disjoint(trained.hit_interval, scores[other].hit_interval)
            and trained.error < scores[other].error
            and are_disjoint(trained.error_interval, scores[other].error_interval)
            for other in COMPARED[1:]
        }
        judged.append(
            {**seed, "scores": {who: found.as_json() for who, found in scores.items()}, "beats": beats}
        )
    return {"seeds": judged, "proved": all(all(seed["beats"].values()) for seed in judged)}


def _score_model(rows: Sequence[dict[str, Any]], who: str) -> PointScore:
    return score_points(
        [row[who]["hit"] for row in rows],
        [row[who]["error"] for row in rows],
        [row["photograph"] for row in rows],
    )


def format_lines(result: dict[str, Any]) -> list[str]:
    """The results as lines of text."""
    table = [f"{'seed':<5} {'points':<10} {'rows':>5}  {'hit rate':<22} {'error':<22}"]
    for seed in result["seeds"]:
        for who in COMPARED:
            found = seed["scores"][who]
            hit, error = (
                f"{found[name]:.3f} [{found[f'{name}_interval'][0]:.3f}, {found[f'{name}_interval'][1]:.3f}]"
                for name in ("hit", "error")
            )
            table.append(f"{seed['seed']:<5} {who:<10} {found['rows']:>5}  {hit:<22} {error:<22}")
    seconds = result["seconds"]
    table.append(f"{seconds['data']:.0f} s for data, {seconds['training']:.0f} s for training and answers")
    proved = "every seed beats" if result["proved"] else "not every seed beats"
    table.append(f"{proved} the untrained model and the center with disjoint intervals")
    return table
