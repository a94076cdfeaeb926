"""Five small builds whose job keys and outputs are pinned: uncompressed inputs, the same everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pycocotools import mask as coco_mask

from flows.engine import survey
from flows.engine.overrides import Overrides, configure
from flows.stages.known import Known
from flows.stages.stage import extend
from flows.stages.table import STAGES, run_job, stage_of
from schemas.config import BuildConfig
from schemas.store import open_store
from tests.annotation.chat.fault_server import FaultServer, Settings
from tests.annotation.qa.vlm import truthful
from tests.conftest import photograph, write_photographs
from tests.flows.stages.external.published import BLUR, dialogue, dq_row, q_row, write_png, write_rows

ROOT = Path(__file__).parents[2]
NAMES = ["coffee", "chelsea"]


def _base(root: Path, **sections: Any) -> dict[str, Any]:
    return {
        "name": "reference",
        "seed": 3,
        "images": {"folder": str(root / "images")},
        "out": str(root / "out"),
        "ingest": {"max_side": 160},
        "distort": {"samples": {"hyd": 1, "sid": 1, "dao": 1, "single": 1, "whole": 1, "pristine": 1}},
        "merge": {"test_share": 0.34},
        "run": {"runner": "serial", "workers": 1, "shard_size": 1},
        **sections,
    }


def _merged(root: Path) -> dict[str, Any]:
    """Rows of both datasets, one of each about a picture of an evaluation set and one without its file."""
    write_png(root / "q/images/a/one.png", photograph("astronaut", 96))
    write_png(root / "q/images/a/leak.png", photograph("coffee", 112)[::-1])
    write_png(root / "evaluation/leak.png", photograph("coffee", 112)[::-1])
    write_png(root / "dq/KADIS700K/ref_imgs_s224/face.png", photograph("astronaut", 120)[:, ::-1])
    write_png(
        root / "dq/KADIS700K/refA_sd_brief/dist_imgs/face_0.png", photograph("astronaut", 120)[::-1, ::-1]
    )
    questions = [
        q_row("a/one.png", "<image>\nIs the face sharp?", "yes", id="q1"),
        q_row("a/leak.png", "<image>\nIs the cup sharp?", "no"),
        q_row("a/gone.png", "<image>\nIs it sharp?", "no"),
        {"id": 3, "conversations": dialogue("What is a lens?", "A piece of glass")},
    ]
    labels = write_rows(root / "q/labels.json", questions)
    reference = "KADIS700K/ref_imgs_s224/face.png"
    distorted = write_rows(
        root / "dq/KADIS700K/refA_sd_brief/metas/train_refA_sd_mix_112k.json",
        [dq_row("face_0", "refA_sd_brief", image_ref=reference, **BLUR)],
    )
    merge = {
        "test_share": 0.34,
        "external": [
            {"kind": "q-instruct", "annotations": [str(labels)], "images": str(root / "q/images")},
            {"kind": "dq-495k", "annotations": [str(distorted)], "images": str(root / "dq")},
        ],
        "keep_out": [{"name": "bench", "folder": str(root / "evaluation")}],
        "max_bad_share": 0.5,
    }
    return _base(root, merge=merge)


def _coco(root: Path) -> dict[str, Any]:
    images, annotations = [], []
    for number, name in enumerate(NAMES, start=1):
        height, width = photograph(name, 160).shape[:2]
        images.append({"id": number, "file_name": f"{name}.bmp", "height": height, "width": width})
        for spot, (x, y) in enumerate([(5, 5), (90, 10), (50, 60)]):
            polygon = [x, y, x + 45, y, x + 45, y + 40, x, y + 40]
            annotations.append(
                {
                    "id": 10 * number + spot,
                    "image_id": number,
                    "category_id": 1 + spot,
                    "segmentation": [polygon],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": 1, "name": "cup"}, {"id": 2, "name": "window"}, {"id": 3, "name": "tree"}]
    path = root / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    images_section = {"coco": str(path), "folder": str(root / "images")}
    return _base(root, images=images_section, regions={"proposer": "coco"})


def _ssa_json(root: Path) -> dict[str, Any]:
    """Masks as Semantic-Segment-Anything writes them: two rectangles of each picture."""
    (root / "ssa").mkdir(parents=True)
    for name in NAMES:
        height, width = photograph(name, 160).shape[:2]
        annotations = []
        for number, (label, rows, columns) in enumerate(
            [("wall", (0, height // 2), (0, width // 3)), ("table", (height // 2, height), (0, width // 2))]
        ):
            mask = np.zeros((height, width), np.uint8, order="F")
            mask[rows[0] : rows[1], columns[0] : columns[1]] = 1
            encoded = coco_mask.encode(mask)
            annotations.append(
                {
                    "id": number,
                    "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode()},
                    "area": int(mask.sum()),
                    "bbox": [columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0]],
                    "predicted_iou": 0.95,
                    "stability_score": 0.97,
                    "crop_box": [0, 0, width, height],
                    "point_coords": [[columns[0] + 5.0, rows[0] + 5.0]],
                    "class_name": label,
                    "class_proposals": [label],
                }
            )
        path = root / "ssa" / f"{name}_semantic.json"
        path.write_text(json.dumps({"annotations": annotations}), encoding="utf-8")
    return _base(root, regions={"proposer": "ssa-json", "ssa_json": str(root / "ssa")})


def _vlm_replay(root: Path) -> dict[str, Any]:
    vlm = {"cache": str(root / "replies.sqlite"), "deadline": 600.0}
    return _base(root, annotate={"backend": "replay", "vlm": vlm})


SECTIONS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "merged": _merged,
    "coco": _coco,
    "ssa-json": _ssa_json,
    "vlm-replay": _vlm_replay,
}


def write_config(name: str, root: Path) -> BuildConfig:
    """The inputs of one reference build below `root`, and its configuration."""
    if name == "demo":
        return configure(ROOT / "configs/demo.yaml", Overrides(out=root / "out"))
    write_photographs(root / "images", NAMES, 160)
    path = root / f"{name}.yaml"
    path.write_text(yaml.safe_dump(SECTIONS[name](root)), encoding="utf-8")
    return configure(path, Overrides())


def record_replies(config: BuildConfig, root: Path) -> None:
    """Fill the replay's cache from a server that answers rightly."""
    assert config.annotate.vlm is not None
    with FaultServer(
        truthful.answer, Settings(rates={}), truthful.contradict, truthful.break_schema
    ) as server:
        vlm = config.annotate.vlm.model_copy(update={"url": server.url, "in_flight": 2})
        annotate = config.annotate.model_copy(update={"backend": "server", "vlm": vlm})
        served = config.model_copy(update={"annotate": annotate, "store": root / "recorded"})
        make(served, "annotate")


def make(config: BuildConfig, until: str = "publish", dry: frozenset[str] = frozenset()) -> Known:
    """Run every stage up to `until` in this process, without Prefect; `dry` stages only get their jobs."""
    with open_store(config.store or config.out / "store") as store:
        known = survey.start(config, store)
        for name in STAGES[: STAGES.index(until) + 1]:
            stage = stage_of(name)
            if name not in dry:
                extend(known, stage)
                for job in known.missing(name):
                    known.found[job.key] = run_job(job, store)
            elif name != "publish":  # whose jobs follow from what merge wrote
                known.jobs[name] = stage.jobs(known)
    return known
