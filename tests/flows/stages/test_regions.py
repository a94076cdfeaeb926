"""Stage regions: SSA files and COCO to a verified dataset, pictures in batches, keys, a limit for a GPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from annotation.regions import propose
from annotation.regions.interface import (
    LABELLERS,
    PROPOSERS,
    Candidate,
    Context,
    Picture,
    Proposals,
    candidate,
)
from annotation.regions.ssa_masks import write
from flows.cli import main
from flows.engine import runners, survey
from flows.engine.build import Outcome, build, build_until
from flows.engine.overrides import Overrides, configure
from flows.sources import SourceRef
from flows.stages import regions
from flows.stages.given import GIVEN
from flows.stages.gpu_slots import gpu_name, gpu_slot, slots_folder
from flows.stages.job import Job
from flows.stages.ssa_files import SUFFIX, file_names, find
from schemas.config import BuildConfig, config_hash
from schemas.dataset import data_files, load_manifest, raw_rows
from schemas.errors import InputError
from schemas.records import SourceImage
from schemas.regions_config import RegionsConfig
from schemas.sections import public
from schemas.shards import read_items
from schemas.store import Store
from tests.conftest import photograph, run_cli, write_photographs, write_tiny_config
from tests.waiting import LAST_RESORT, wait_until

NAMES = ["coffee", "china", "chelsea"]


def config_file(place: Path, sections: dict[str, Any], **run: Any) -> Path:
    """A tiny configuration with these sections in place of its own."""
    path = write_tiny_config(place / "tiny.yaml", place / "images", place / "out")
    settings = yaml.safe_load(path.read_text())
    settings |= sections
    settings["run"] |= run
    path.write_text(yaml.safe_dump(settings))
    return path


def write_ssa(folder: Path, name: str, candidates: Sequence[Candidate], size: tuple[int, int]) -> Path:
    source = SourceImage(id="", sha256="", uri=name, license=None, height=size[0], width=size[1])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name + SUFFIX)
    path.write_bytes(write(candidates, source))
    os.utime(path, (time.time() - 3600,) * 2)
    return path


def graph_masks(name: str) -> tuple[list[Candidate], tuple[int, int]]:
    """Real regions of a photograph under made-up names, at the size of its file."""
    picture = photograph(name, 192)
    found = propose(picture, RegionsConfig()).candidates
    return [item.named(f"thing {number}", 0.5) for number, item in enumerate(found)], picture.shape[:2]


@pytest.fixture
def ssa_place(tmp_path: Path, prefect_url: str) -> Path:
    write_photographs(tmp_path / "images", NAMES)
    for name in NAMES:
        write_ssa(tmp_path / "ssa", name, *graph_masks(name))
    config_file(tmp_path, {"regions": {"proposer": "ssa-json", "ssa_json": str(tmp_path / "ssa")}})
    return tmp_path


def configured(place: Path, **changes: Any) -> BuildConfig:
    return configure(place / "tiny.yaml", Overrides(**changes))


def verified(place: Path) -> Outcome:
    """A build of `place`'s configuration to a dataset that has rows and passes `verify`."""
    outcome = build(configured(place))
    assert outcome.manifest.rows > 0
    done = run_cli("verify", outcome.folder)
    assert done.returncode == 0, done.stdout
    return outcome


def labels(outcome: Outcome) -> set[str]:
    return {
        region["label"]
        for path in data_files(outcome.folder)
        for values in raw_rows(path, pictures=False)
        for region in values["regions"]
    }


def stored(config: BuildConfig) -> dict[str, dict[str, Any]]:
    """The record of every picture's regions by its uri."""
    store = Store(config.store or config.out / "store")
    known = survey.start(config, store)
    survey.look_ahead(known)
    assert known.complete("regions")
    return {
        item.record["source_image"]["uri"]: item.record
        for job in known.jobs["regions"]
        for item in read_items(store, "regions", job.key)
    }


# SSA's files


def test_ssa_files_to_a_verified_dataset_and_back(ssa_place: Path, tmp_path: Path) -> None:
    outcome = verified(ssa_place)
    assert labels(outcome) <= {f"thing {number}" for number in range(10)}
    assert outcome.manifest.quarantined == 0
    manifest = (outcome.folder / "manifest.json").read_text()
    assert str(tmp_path) not in manifest

    again = tmp_path / "again"
    assert main(["regions", str(ssa_place / "tiny.yaml"), "--ssa-json", str(again)]) == 0
    assert sorted(path.name for path in again.iterdir()) == sorted(name + SUFFIX for name in NAMES)
    before = {uri: record["regions"] for uri, record in stored(configured(ssa_place)).items()}
    config_file(ssa_place, {"regions": {"proposer": "ssa-json", "ssa_json": str(again)}})
    assert build(configured(ssa_place)).manifest.digest == outcome.manifest.digest
    assert {uri: record["regions"] for uri, record in stored(configured(ssa_place)).items()} == before


def test_a_changed_file_makes_only_its_own_shard_again(ssa_place: Path, tmp_path: Path) -> None:
    build_until(configured(ssa_place), "regions")
    masks, size = graph_masks("coffee")
    write_ssa(ssa_place / "ssa", "coffee", masks[:3], size)
    stopped = build_until(configured(ssa_place), "regions")
    assert (stopped.shards["regions"].new, stopped.shards["regions"].reused) == (1, 2)
    (tmp_path / "ssa").rename(tmp_path / "elsewhere")
    config_file(ssa_place, {"regions": {"proposer": "ssa-json", "ssa_json": str(tmp_path / "elsewhere")}})
    assert build_until(configured(ssa_place), "regions").shards["regions"].new == 0


def test_a_picture_without_a_usable_file_is_quarantined(ssa_place: Path) -> None:
    (ssa_place / "ssa" / f"coffee{SUFFIX}").unlink()
    (ssa_place / "ssa" / f"china{SUFFIX}").write_text('{"annotations": 3}')
    config_file(
        ssa_place,
        {"regions": {"proposer": "ssa-json", "ssa_json": str(ssa_place / "ssa")}},
        max_failure_rate=0.9,
    )
    outcome = build(configured(ssa_place))
    assert outcome.manifest.quarantined == 2
    assert outcome.manifest.rows > 0
    assert stored(configured(ssa_place)).keys() == {"chelsea.bmp"}


def test_strange_files_have_their_reasons(tmp_path: Path) -> None:
    folder = tmp_path / "ssa"
    (folder / f"folder{SUFFIX}").mkdir(parents=True)
    os.mkfifo(folder / f"pipe{SUFFIX}")
    (folder / f"empty{SUFFIX}").touch()
    (tmp_path / "outside").write_text("[]")
    (folder / f"link{SUFFIX}").symlink_to(tmp_path / "outside")
    (folder / f"good{SUFFIX}").write_text("[]")
    (folder / f"whole.jpg{SUFFIX}").write_text("[]")
    names = ("folder", "pipe", "empty", "link", "good", "whole", "none")
    refs = [
        SourceRef(tmp_path / name, f"{name}.jpg", f"{number:064}"[::-1], 1, None)
        for number, name in enumerate(names)
    ]
    found = find(folder, refs, None)
    reasons = [found[ref.sha256[:16]].reason for ref in refs]
    assert reasons == ["not-a-file", "not-a-file", "empty-file", "link-outside", "", "", "no-ssa-json"]


def test_unchanged_files_are_not_read_again(ssa_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_until(configured(ssa_place), "regions")

    def refuse(*arguments: object) -> None:
        raise AssertionError("an unchanged file was read")

    monkeypatch.setattr("flows.sources.files.hash_file", refuse)
    assert build_until(configured(ssa_place), "regions").shards["regions"].new == 0


def test_a_missing_folder_is_one_line(ssa_place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config_file(ssa_place, {"regions": {"proposer": "ssa-json", "ssa_json": str(ssa_place / "none")}})
    assert main(["build", str(ssa_place / "tiny.yaml")]) == 2
    assert "none: no such file or directory; regions.ssa_json is a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given", [{"proposer": "ssa-json"}, {"ssa_json": "folder"}, {"proposer": "coco", "ssa_json": "folder"}]
)
def test_the_proposer_and_its_folder_go_together(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="go together"):
        RegionsConfig.model_validate(given)


def test_writing_before_regions_are_made_says_what_to_do(
    ssa_place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["regions", str(ssa_place / "tiny.yaml"), "--ssa-json", str(ssa_place / "again")]
    assert main(command) == 2
    assert "build CONFIG --until regions" in capsys.readouterr().err
    assert not (ssa_place / "again").exists()


def test_files_are_named_after_their_pictures() -> None:
    names = file_names(
        ["a.jpg", "b/c.jpg", "b/c.png", "d.jpg", "d.jpg.png", "my%20%FF.png", f"{'x' * 250}.png"]
    )
    assert names["a.jpg"] == "a_semantic.json"
    assert (names["b/c.jpg"], names["b/c.png"]) == ("b/c.jpg_semantic.json", "b/c.png_semantic.json")
    assert (names["d.jpg"], names["d.jpg.png"]) == ("d_semantic.json", "d.jpg.png_semantic.json")
    assert os.fsencode(names["my%20%FF.png"]) == b"my \xff_semantic.json"
    assert len(names[f"{'x' * 250}.png"]) == 200
    assert len(set(names.values())) == len(names)


def test_written_files_stay_in_their_folder(tmp_path: Path, prefect_url: str) -> None:
    for name in ("deep/a", "deep/b"):
        write_photographs(tmp_path / "images" / "deep", [{"deep/a": "coffee", "deep/b": "china"}[name]])
    path = config_file(tmp_path, {})
    build_until(configured(tmp_path), "regions")
    (tmp_path / "outside").mkdir()
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "deep").symlink_to(tmp_path / "outside")
    done = run_cli("regions", path, "--ssa-json", tmp_path / "again")
    assert (done.returncode, done.stdout) == (2, "")
    assert "leads out of the folder" in done.stderr
    assert list((tmp_path / "outside").iterdir()) == []
    (tmp_path / "again" / "deep").unlink()
    assert run_cli("regions", path, "--ssa-json", tmp_path / "again").returncode == 0
    assert len(list((tmp_path / "again" / "deep").iterdir())) == 2


# Batches of pictures


class Halves:
    """Two halves of each picture; notes the sizes of batches and fails on pictures as it is told."""

    def __init__(self, fails: Callable[[Picture], Exception | None] = lambda image: None) -> None:
        self.batches: list[int] = []
        self._fails = fails

    def __call__(self, images: Sequence[Picture], contexts: Sequence[Context]) -> list[Proposals]:
        self.batches.append(len(images))
        for image in images:
            error = self._fails(image)
            if error is not None:
                raise error
        return [Proposals(self._halves(image), {"predicted-iou": 3}) for image in images]

    def _halves(self, image: Picture) -> list[Candidate]:
        left = np.zeros(image.shape[:2], dtype=bool)
        left[:, : image.shape[1] // 2] = True
        return [candidate(left), candidate(~left)]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], None]]:
    """Puts a proposer in the place of SAM and, as its labeller, appearance."""

    def put(proposer: Any) -> None:
        monkeypatch.setattr("annotation.regions.proposers.sam.make", lambda config: proposer)
        monkeypatch.setattr(PROPOSERS, "_made", {})

    yield put
    LABELLERS._made.clear()


@pytest.fixture
def sam_place(tmp_path: Path, prefect_url: str) -> Path:
    write_photographs(tmp_path / "images", NAMES)
    config_file(
        tmp_path,
        {
            "regions": {
                "proposer": "sam",
                "labeller": "appearance",
                "sam": {"images_per_batch": 2},
                "run_on": {"device": "cpu"},
            }
        },
        shard_size=10,
        max_failure_rate=0.9,
    )
    return tmp_path


def is_coffee(image: Picture) -> bool:
    return bool(np.array_equal(image, photograph("coffee", 192)))


def test_pictures_go_to_the_proposer_in_batches(sam_place: Path, use: Callable[[Any], None]) -> None:
    halves = Halves()
    use(halves)
    stopped = build_until(configured(sam_place), "regions")
    assert sum(halves.batches) == len(NAMES)
    assert max(halves.batches) == 2
    assert stopped.counts["dropped: predicted-iou"] == 3 * len(NAMES)
    records = stored(configured(sam_place))
    assert len(records) == len(NAMES)
    for record in records.values():
        assert len(record["made"]) == len(record["regions"]) == 2
        assert record["made_by"]["models"] == {
            "sam.model": {"name": "facebook/sam-vit-huge", "revision": None}
        }
        assert record["made_by"]["libraries"].keys() == {"torch", "transformers"}


def test_only_the_picture_that_fails_is_quarantined(sam_place: Path, use: Callable[[Any], None]) -> None:
    use(Halves(lambda image: RuntimeError("no such kernel") if is_coffee(image) else None))
    stopped = build_until(configured(sam_place), "regions")
    assert stopped.quarantined == 1
    assert stored(configured(sam_place)).keys() == {"china.bmp", "chelsea.bmp"}


def test_a_proposer_that_can_not_be_made_stops_the_build(
    sam_place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(config: RegionsConfig) -> None:
        raise InputError("regions.sam.model: the SAM model isn't here")

    monkeypatch.setattr("annotation.regions.proposers.sam.make", fail)
    assert main(["build", str(sam_place / "tiny.yaml"), "--until", "regions"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "iqa-spider: regions.sam.model: the SAM model isn't here"
    )
    assert not list((sam_place / "out" / "store" / "regions").glob("*/*.json"))


@pytest.mark.parametrize("runner", ["serial", "process"])
def test_a_missing_model_stops_the_build_and_quarantines_nothing(sam_place: Path, runner: str) -> None:
    settings = yaml.safe_load((sam_place / "tiny.yaml").read_text())
    settings["regions"]["sam"]["model"] = str(sam_place / "no-model")
    (sam_place / "tiny.yaml").write_text(yaml.safe_dump(settings))
    done = run_cli("build", sam_place / "tiny.yaml", "--until", "regions", "--runner", runner)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "no-model" in done.stderr.splitlines()[-1]
    assert not list((sam_place / "out" / "store" / "regions").glob("*/*.json"))


# What is in the key


def key_of(settings: dict[str, Any]) -> str:
    config = BuildConfig.model_validate(
        {"name": "a", "images": {"bundled": True}, "out": "out", "regions": settings}
    )
    (job,) = regions.jobs_after({"k": ["s"]}, config, None)
    return job.key


SAM = {"proposer": "sam", "labeller": "ssa"}


@pytest.mark.parametrize(
    "change",
    [
        {"run_on": {"device": "cuda:1"}},
        {"run_on": {"tasks_per_gpu": 3}},
        {"sam": {"points_per_batch": 7}},
        {"sam": {"images_per_batch": 7}},
        {"ssa": {"masks_per_batch": 7}},
    ],
)
def test_how_the_work_is_spread_is_not_in_the_key(change: dict[str, Any]) -> None:
    assert key_of({**SAM, **change}) == key_of(SAM)


@pytest.mark.parametrize(
    "change",
    [
        {"run_on": {"dtype": "bfloat16"}},
        {"sam": {"model": "facebook/sam-vit-base"}},
        {"sam": {"model": {"name": "facebook/sam-vit-huge", "revision": "abc"}}},
        {"sam": {"points_per_side": 7}},
        {"ssa": {"caption": "another/model"}},
        {"ssa": {"min_score": 0.1}},
    ],
)
def test_what_shapes_regions_is_in_the_key(change: dict[str, Any]) -> None:
    assert key_of({**SAM, **change}) != key_of(SAM)


def test_a_vocabulary_counts_by_its_content(tmp_path: Path) -> None:
    keys = []
    for name, text in (("a.txt", "cat\n"), ("b.txt", "cat\n"), ("a.txt", "cat\ndog\n")):
        (tmp_path / name).write_text(text)
        clip = {"vocabulary": str(tmp_path / name)}
        keys.append(key_of({"proposer": "sam", "labeller": "clip", "clip": clip}))
    assert keys[0] == keys[1] != keys[2]
    with pytest.raises(InputError, match="can't read this vocabulary"):
        key_of({"proposer": "sam", "labeller": "clip", "clip": {"vocabulary": str(tmp_path / "none.txt")}})


def test_a_published_configuration_names_no_place_of_this_machine() -> None:
    settings = {
        **{"proposer": "sam", "labeller": "clip", "sam": {"model": "/models/sam-tiny"}},
        "clip": {"vocabulary": "/home/me/things.txt", "model": "openai/clip-vit-base-patch16"},
    }
    config = BuildConfig.model_validate(
        {"name": "a", "images": {"bundled": True}, "out": "out", "regions": settings}
    )
    shown = public(config)["regions"]
    assert shown["sam"]["model"]["name"] == "sam-tiny"
    assert shown["clip"]["model"]["name"] == "openai/clip-vit-base-patch16"
    assert shown["clip"]["vocabulary"] == "things.txt"
    elsewhere = config.regions.clip.model_copy(update={"vocabulary": Path("/elsewhere.txt")})  # type: ignore[union-attr]
    moved = config.model_copy(update={"regions": config.regions.model_copy(update={"clip": elsewhere})})
    assert config_hash(moved) == config_hash(config)


@pytest.mark.parametrize(
    ("source", "told"), [("coco", r"needs images\.coco"), ("ssa-json", r"needs regions\.ssa_json")]
)
def test_masks_made_elsewhere_need_their_place(source: str, told: str) -> None:
    config = BuildConfig.model_validate({"name": "a", "images": {"bundled": True}, "out": "out"})
    with pytest.raises(InputError, match=told):
        GIVEN.load(source).find(config, [], None)


# A limit for a GPU

HOLD = """
import os, sys, time
from pathlib import Path
from flows.stages.gpu_slots import gpu_slot
folder, log = Path(sys.argv[1]), Path(sys.argv[2])
Path(f"{log}.{os.getpid()}").touch()
while not (folder / "begin").exists():
    time.sleep(0.01)
for _ in range(int(sys.argv[3])):
    with gpu_slot(folder, "cuda-0", 2) as number, log.open("a") as out:
        print("+", file=out, flush=True)
        time.sleep(float(sys.argv[4]))
        print("-", file=out, flush=True)
"""


def holder(folder: Path, log: Path, times: int, seconds: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", HOLD, str(folder), str(log), str(times), str(seconds)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[3])


def test_at_most_so_many_processes_share_a_gpu(tmp_path: Path) -> None:
    log = tmp_path / "log"
    started = [holder(tmp_path, log, 5, 0.02) for _ in range(4)]
    wait_until(lambda: len(list(tmp_path.glob("log.*"))) == 4)
    (tmp_path / "begin").touch()
    assert [process.wait(timeout=LAST_RESORT) for process in started] == [0] * 4
    inside = highest = 0
    for line in log.read_text().splitlines():
        inside += 1 if line == "+" else -1
        highest = max(highest, inside)
    assert (inside, highest) == (0, 2)
    assert log.read_text().count("+") == 20


def test_a_killed_process_holds_no_place(tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "begin").touch()
    started = [holder(tmp_path, log, 1, 2 * LAST_RESORT) for _ in range(2)]
    try:
        wait_until(lambda: log.exists() and log.read_text().count("+") == 2)
    finally:
        for process in started:
            process.send_signal(signal.SIGKILL)
            process.wait()
    with gpu_slot(tmp_path, "cuda-0", 2) as one, gpu_slot(tmp_path, "cuda-0", 2) as other:
        assert {one, other} == {0, 1}
        with gpu_slot(tmp_path, "cuda-1", 1):
            pass


def test_the_locks_lie_in_a_folder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = slots_folder()
    assert slots_folder() == folder
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(InputError, match="belongs to another user"):
        slots_folder()


@pytest.mark.parametrize(
    ("device", "visible", "name"),
    [
        ("cuda", None, "cuda-0"),
        ("cuda:1", None, "cuda-1"),
        ("cuda", "3", "cuda-3"),
        ("cuda:1", "3, 5", "cuda-5"),
        ("cuda:0", "GPU-1f2e", "cuda-GPU-1f2e"),
        ("cuda:4", "3", "cuda-4"),
        ("mps", "3", "mps-0"),
    ],
)
def test_a_gpu_has_one_name_whatever_is_visible(device: str, visible: str | None, name: str) -> None:
    assert gpu_name(device, visible) == name


def test_a_gpu_has_no_more_processes_than_may_use_it(
    sam_place: Path, use: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU is made up; the processes are real: each stage's pool is as large as it may be."""
    sizes: list[int] = []

    class Noted(ProcessPoolExecutor):
        def __init__(self, workers: int, **named: Any) -> None:
            sizes.append(workers)
            super().__init__(workers, **named)

    config = configured(sam_place, runner="process", workers=2)
    given = config.regions.model_copy(update={"proposer": "graph", "sam": None})
    monkeypatch.setattr(runners, "ProcessPoolExecutor", Noted)
    monkeypatch.setattr(regions, "STAGE", replace(regions.STAGE, most_workers=lambda job: 1))
    build_until(config.model_copy(update={"regions": given}), "distort")
    assert sizes == [2, 1, 2]


@pytest.mark.parametrize(("kind", "allowed"), [("cuda", 3), ("cpu", None)])
def test_only_a_gpu_limits_processes(monkeypatch: pytest.MonkeyPatch, kind: str, allowed: int | None) -> None:
    monkeypatch.setattr(regions, "place", lambda run_on: SimpleNamespace(device=SimpleNamespace(type=kind)))
    for proposer, expected in (("sam", allowed), ("graph", None)):
        config = RegionsConfig.model_validate({"proposer": proposer, "run_on": {"tasks_per_gpu": 3}})
        job = Job("regions", {}, {"regions": config.model_dump(mode="json")})
        assert regions.most_workers(job) == expected


# COCO


def coco_settings(place: Path) -> dict[str, Any]:
    """An annotation file in LVIS's form: no file names, no crowds, names with synonyms."""
    images, annotations = [], []
    write_photographs(place / "images", NAMES)
    for number, name in enumerate(NAMES, start=1):
        height, width = photograph(name, 192).shape[:2]
        url = f"http://images.cocodataset.org/train2017/{name}.bmp"
        images.append(
            {
                "id": number,
                "coco_url": url,
                "height": height,
                "width": width,
                "neg_category_ids": [3],
                "not_exhaustive_category_ids": [],
            }
        )
        for spot, (x, y) in enumerate([(5, 5), (100, 10), (60, 70)]):
            polygon = [x, y, x + 50, y, x + 50, y + 45, x, y + 45]
            annotations.append(
                {
                    "id": 10 * number + spot,
                    "image_id": number,
                    "category_id": 1 + spot % 2,
                    "segmentation": [polygon],
                    "area": 2250.0,
                    "bbox": [x, y, 50, 45],
                }
            )
    categories = [
        {
            "id": 1,
            "name": "bow_(weapon)",
            "synonyms": ["bow_(weapon)"],
            "synset": "bow.n.04",
            "frequency": "r",
        },
        {"id": 2, "name": "baseball_bat", "synonyms": ["baseball_bat"], "frequency": "f"},
    ]
    path = place / "lvis.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return {
        "images": {"coco": str(path), "folder": str(place / "images")},
        "regions": {"proposer": "coco"},
    }


def test_lvis_to_a_verified_dataset(tmp_path: Path, prefect_url: str) -> None:
    config_file(tmp_path, coco_settings(tmp_path))
    outcome = verified(tmp_path)
    assert {"baseball bat"} < labels(outcome) <= {
        "baseball bat", "bow at the top left", "bow at the bottom", "bow on the left", "bow in the center",
        "bow at the top", "bow at the bottom left", "bow at the bottom right",
    }  # fmt: skip


# Killed


def kill_in_the_regions(place: Path) -> None:
    """Kill a build as soon as one shard of its regions stands."""
    command = [sys.executable, "-m", "flows.cli", "build", str(place / "tiny.yaml"), "--until", "regions"]
    command += ["--runner", "process", "--workers", "1"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    shards = place / "out" / "store" / "regions"
    wait_until(lambda: process.poll() is not None or list(shards.glob("*/*.json")), pause=0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_in_the_regions_and_run_again(ssa_place: Path, tmp_path: Path) -> None:
    expected = build(configured(ssa_place, out=tmp_path / "other"))
    kill_in_the_regions(ssa_place)
    stopped = build_until(configured(ssa_place), "regions")
    assert stopped.shards["regions"].reused >= 1
    last = build(configured(ssa_place))
    assert last.manifest.digest == expected.manifest.digest
    assert load_manifest(last.folder).rows == expected.manifest.rows
    assert [path.name for path in (tmp_path / "out" / "store" / "tmp").iterdir()] == [".lock"]
