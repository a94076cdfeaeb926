"""A killed run resumes with the remaining rows and reaches the loss of an uninterrupted one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from schemas.errors import BuildError, InputError
from tests.training.sft.small import dataset, entries, entry, settings, written
from tests.waiting import LAST_RESORT
from training.sft import feed, fine_tune, saving
from training.sft.fine_tune import TrainedRun
from training.sft.train_config import TrainOptions, load_options
from training.sft.trainer import StageOne, newest_checkpoint

ROOT = Path(__file__).parents[3]
Base = Callable[[str], str]


def losses(log: list[dict[str, float]]) -> dict[int, float]:
    return {int(logged["step"]): logged["loss"] for logged in log if "loss" in logged}


def with_an_unfit_row(folder: Path) -> Path:
    rows = entries(12)
    rows[5] = entry(5, [("user", "Read <|im_end|>"), ("assistant", "No.")])
    return dataset(folder, rows)


def chosen(folder: Path, data: Path, model: str, workers: int = 0, **run: Any) -> TrainOptions:
    folder.mkdir()
    values = settings(folder / "out", data, model, **run)
    values["data"]["workers"] = workers
    values["lora"]["dropout"] = 0.2
    return load_options(written(folder, values))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        name: value.detach()
        for name, value in saving.load_trained(folder / "adapter").named_parameters()
        if "lora_" in name or "modules_to_save" in name
    }


def assert_the_same(one: TrainOptions, other: TrainOptions, whole: TrainedRun, resumed: TrainedRun) -> None:
    assert losses(resumed.log).keys() == losses(whole.log).keys()
    for step, loss in losses(whole.log).items():
        assert losses(resumed.log)[step] == pytest.approx(loss, abs=1e-5), step
    assert resumed.unfit == whole.unfit
    expected = weights(one.out)
    for name, value in weights(other.out).items():
        assert torch.allclose(value, expected[name], atol=1e-5), name


def test_a_killed_run_resumes_with_the_remaining_rows(base: Base, tmp_path: Path) -> None:
    """A real SIGKILL of a run whose rows two workers encode ahead."""
    data = with_an_unfit_row(tmp_path / "data")
    model = base("qwen3-vl")
    whole, killed = (
        chosen(tmp_path / name, data, model, 2, steps=8, batch=2, save_every=3)
        for name in ("whole", "killed")
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    mark = killed.out / "checkpoints" / "checkpoint-3" / "place-0.json"
    command = [sys.executable, "-m", "tests.killing", "after", str(mark)]
    command += ["train", str(tmp_path / "killed" / "train.yaml")]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert process.wait(LAST_RESORT) == -signal.SIGKILL
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    assert mark.is_file()
    assert not (killed.out / "adapter").exists()
    assert_the_same(whole, killed, fine_tune.train(whole), fine_tune.train(killed))


class Stopped(Exception):
    """Ends a run in the middle."""


def test_a_run_stopped_twice_trains_on_each_row_once(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = with_an_unfit_row(tmp_path / "data")
    model = base("internvl")
    whole, stopped = (
        chosen(tmp_path / name, data, model, steps=8, batch=2, save_every=1, keep=1)
        for name in ("whole", "stopped")
    )
    trained: list[tuple[int, int]] = []
    step, follow = StageOne.training_step, feed.FeedPosition.follow

    def stopping(self: StageOne, *given: Any, **named: Any) -> Any:
        if len(trained) in stops:
            stops.discard(len(trained))
            raise Stopped
        return step(self, *given, **named)

    def noted(self: feed.FeedPosition, reader: int, epoch: int, taken: int, unfit: dict[str, int]) -> None:
        trained.append((epoch, taken))
        follow(self, reader, epoch, taken, unfit)

    monkeypatch.setattr(StageOne, "training_step", stopping)
    monkeypatch.setattr(feed.FeedPosition, "follow", noted)
    stops: set[int] = set()
    undisturbed = fine_tune.train(whole)
    expected = list(trained)
    trained.clear()
    stops |= {3, 6}
    for _ in range(2):
        with pytest.raises(Stopped):
            fine_tune.train(stopped)
    assert_the_same(whole, stopped, undisturbed, fine_tune.train(stopped))
    assert trained == expected
    assert {path.name for path in (stopped.out / "checkpoints").glob("checkpoint-*")} == {"checkpoint-8"}


def test_an_incomplete_checkpoint_is_removed_and_the_one_before_is_kept(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset(tmp_path / "data", entries(4))
    options = chosen(tmp_path / "run", data, base("internvl"), steps=3, save_every=1, keep=1)
    checkpoints = options.out / "checkpoints"
    save = feed.FeedPosition.save

    def stopping(self: feed.FeedPosition, path: Path) -> None:
        if path.parent.name == "checkpoint-2":
            raise Stopped
        save(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(feed.FeedPosition, "save", stopping)
        with pytest.raises(Stopped):
            fine_tune.train(options)
    assert {path.name for path in checkpoints.glob("checkpoint-*")} == {"checkpoint-1", "checkpoint-2"}
    assert newest_checkpoint(checkpoints, 1) == checkpoints / "checkpoint-1"
    (checkpoints / "checkpoint-2").rename(checkpoints / "checkpoint-9")
    fine_tune.train(options)
    assert {path.name for path in checkpoints.glob("checkpoint-*")} == {"checkpoint-3"}


def test_a_frozen_part_stays_frozen_when_a_run_resumes(base: Base, tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", entries(4))
    values = settings(tmp_path / "out", data, base("qwen2.5-vl"), steps=1)
    values["rates"]["vision"] = 0.0
    fine_tune.train(load_options(written(tmp_path, values)))
    first = weights(tmp_path / "out")
    values["run"]["steps"] = 2
    done = fine_tune.train(load_options(written(tmp_path, values)))
    assert done.steps == 2
    for name, value in weights(tmp_path / "out").items():
        if "original_module" not in name:
            assert torch.equal(value, first[name]) == (".visual." in name and ".merger." not in name), name


def test_another_mixture_does_not_resume_an_old_run(base: Base, tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", entries(4))
    values = settings(tmp_path / "out", data, base("internvl"), steps=1, save_every=1)
    fine_tune.train(load_options(written(tmp_path, values)))
    values["data"]["sources"] = ["iqa-spider"]
    with pytest.raises(InputError, match="was started with data"):
        fine_tune.train(load_options(written(tmp_path, values)))


def test_another_number_of_processes_removes_nothing(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset(tmp_path / "data", entries(4))
    options = chosen(tmp_path / "run", data, base("internvl"), steps=1, save_every=1)
    fine_tune.train(options)
    record = options.out / "run.json"
    record.write_text(record.read_text().replace('"processes": 1', '"processes": 2'))
    checkpoint = options.out / "checkpoints" / "checkpoint-1"
    shutil.copy(checkpoint / "place-0.json", checkpoint / "place-1.json")
    (options.out / "adapter" / "training.json").unlink()
    with pytest.raises(InputError, match="was started with processes 2, now 1"):
        fine_tune.train(options)
    assert (checkpoint / "place-1.json").is_file()


def test_two_runs_do_not_share_a_folder(base: Base, tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", entries(4))
    options = chosen(tmp_path / "run", data, base("internvl"), steps=1)
    options.out.mkdir()
    program = (
        "import fcntl, sys; lock = open(sys.argv[1], 'ab'); fcntl.lockf(lock, fcntl.LOCK_EX); "
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(options.out / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BuildError, match="another process is training here"):
            fine_tune.train(options)
        other.communicate("")
    assert fine_tune.train(options).steps == 1


def test_an_output_that_cannot_be_a_folder(base: Base, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    data = dataset(tmp_path / "data", entries(4))
    values = settings(tmp_path / "file" / "out", data, base("internvl"))
    with pytest.raises(InputError, match="Not a directory; choose another place"):
        fine_tune.train(load_options(written(tmp_path, values)))


def test_a_position_that_cannot_be_read_is_refused(base: Base, tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", entries(4))
    values = settings(tmp_path / "out", data, base("internvl"), steps=1)
    fine_tune.train(load_options(written(tmp_path, values)))
    (tmp_path / "out" / "checkpoints" / "checkpoint-1" / "place-0.json").write_text("{}")
    values["run"]["steps"] = 2
    with pytest.raises(InputError, match="remove that checkpoint"):
        fine_tune.train(load_options(written(tmp_path, values)))
