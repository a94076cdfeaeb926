"""A training run from its options to the saved adapter; it goes on from its newest checkpoint by itself."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import BuildError, InputError, SpiderError
from schemas.meter import SILENT, Progress
from schemas.model_files import TRAINING_RECORD, load_processor
from schemas.store import wrap_disk_errors, write_atomically
from training.sft.saving import (
    ADAPTER,
    LOG,
    load_base,
    record,
    save_trained,
    saved_record,
)
from training.sft.train_config import TrainOptions

if TYPE_CHECKING:
    from training.sft.encode_rows import Marks
    from training.sft.feed import Change


@dataclass(frozen=True)
class Prepared:
    """A run's base (a hub name or a folder), its processor with the pixel limits set, and the marks."""

    base: str
    processor: Any
    marks: Marks


@dataclass(frozen=True)
class Trained:
    """What a run left: the adapter's folder, steps, the log's entries and the rows left out, by reason."""

    adapter: Path
    steps: int
    log: list[dict[str, float]]
    unfit: dict[str, int]


def prepare(options: TrainOptions) -> Prepared:
    """Make a tiny base where one is asked for, load the processor, set its limits. Raises InputError."""
    from training.sft.encode_rows import marks_of

    base = options.model.name
    if options.model.tiny is not None:
        from training.sft.tiny import save_tiny

        folder = (options.out / "base").resolve()
        if not (folder / "config.json").is_file():
            save_tiny(options.model.tiny, folder, options.seed)
        base = str(folder)
    assert base is not None
    processor = load_processor(base, options.model.revision)
    _limit_pixels(processor, options)
    return Prepared(base, processor, marks_of(processor))


def _limit_pixels(processor: Any, options: TrainOptions) -> None:
    """Set the bounds that Qwen's processors scale a picture's pixels into."""
    given = {
        key: value
        for key, value in (("shortest_edge", options.pixels.min), ("longest_edge", options.pixels.max))
        if value is not None
    }
    if not given:
        return
    images = processor.image_processor
    size = dict(images.size)
    if "longest_edge" not in size:
        kind = type(images).__name__
        raise InputError(f"pixels: {kind} has no bounds of pixels (it cuts tiles); leave the section out")
    images.size = {**size, **given}
    if images.size["shortest_edge"] > images.size["longest_edge"]:
        raise InputError(f"pixels: the processor's bounds become {images.size}; give min and max")


def train(options: TrainOptions, change: Change | None = None, progress: Progress = SILENT) -> Trained:
    """Train, or go on from the newest whole checkpoint in `options.out`, and save.

    A run that is finished is taken as it is. Raises InputError, and BuildError when another process trains in
    `options.out` or a loss or weight is no number.
    """
    if os.environ.get("RANK", "0") != "0":
        return _train(options, change, SILENT)
    with _held(options.out):
        return _train(options, change, progress)


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """Hold a run's folder for this process; the lock ends with it and isn't its children's (POSIX)."""
    with wrap_disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".lock").open("ab")
    with lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            raise BuildError(
                f"{out}: another process trains here; wait for it, or give another 'out'"
            ) from error
        yield


def _train(options: TrainOptions, change: Change | None, progress: Progress) -> Trained:
    from accelerate.utils import gather_object

    from training.sft.deepspeed import check_file, check_settings
    from training.sft.feed import EvalRows, Feed, Place, reader_of, saved_place, unchanged
    from training.sft.groups import adapted, layout_of, table
    from training.sft.trainer import StageOne, arguments, newest_checkpoint, place_file, remove_unfinished

    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    data, run = options.data, options.run
    _check_device(options)
    check_file(run)
    rows = reader_of(data, data.split, options.seed, 0, 1).rows
    readers = max(data.workers, 1)
    if rows < readers * processes:
        raise InputError(f"{data.dataset}: {rows} rows for {readers * processes} readers; use fewer workers")
    steps = steps_of(options, rows, processes)
    arg = arguments(options, steps, data.eval_split is not None)
    sharding = arg.deepspeed_plugin
    if sharding is not None:
        check_settings(sharding.deepspeed_config, run.deepspeed or "DeepSpeed's settings")
    with arg.main_process_first(local=False):
        prepared = prepare(options)
        said = {**record(options, prepared.base), "processes": processes}
        done = _finished(options, said, steps)
        if done is not None:
            return done
        checkpoints = options.out / "checkpoints"
        begun = _begun_by(options, processes)
        checkpoint = newest_checkpoint(checkpoints, begun)
        _hold_against(options, said, begun=checkpoint is not None, write=rank == 0)
        if rank == 0:
            remove_unfinished(checkpoints, begun)
    processor, marks = prepared.processor, prepared.marks

    held_out = None
    if data.eval_split is not None:
        held_out = EvalRows(data, data.eval_split, processor, marks, run.max_tokens, rank, processes)
        if not held_out.rows:
            counts = ", ".join(f"{count} {reason}" for reason, count in held_out.unfit.items())
            what = f"{data.dataset}: no row of the split {data.eval_split!r} fits: {counts or 'too few'}"
            raise InputError(f"{what}; set data.eval_split")
    place = Place([(0, 0)] * readers)
    if checkpoint is not None:
        place = saved_place(checkpoint / place_file(rank), readers)

    from transformers import set_seed

    set_seed(options.seed)
    base = load_base(options.model, prepared.base, options.model.dtype)
    layout = layout_of(base)
    model = adapted(base, options.lora, options.rates, sharding is None)
    feed = Feed(
        data, options.seed, processor, marks, run.max_tokens, rank, processes, place, change or unchanged
    )
    stood = 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])
    with progress("train", steps, stood, unit="steps", done="done") as meter:
        meter.note(table(model, layout, options.rates))
        trainer = StageOne(
            model, arg, processor, feed, held_out, place, layout, options.rates, run.keep, checkpoint, meter
        )
        try:
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        except SpiderError as error:
            raise _one_line(error) from error
    folder = options.out / ADAPTER
    weights = trainer.gathered()
    unfit: Counter[str] = Counter()
    for counts in gather_object([place.unfit]):
        unfit.update(counts)
    step, log = trainer.state.global_step, trainer.state.log_history
    if rank == 0:
        whole = trainer.accelerator.unwrap_model(trainer.model)
        said = {**said, "steps": step, "left_out": dict(unfit)}
        save_trained(whole, processor, options.out, said, weights, log)
    trainer.accelerator.wait_for_everyone()
    return Trained(folder, step, log, dict(unfit))


def _check_device(options: TrainOptions) -> None:
    """Raise InputError where bfloat16 is asked of a machine without a GPU for it: transformers would end in
    the midst of things.
    """
    from transformers.utils.import_utils import is_torch_bf16_gpu_available, is_torch_xla_available

    can = is_torch_bf16_gpu_available() or is_torch_xla_available()
    if options.model.dtype == "bfloat16" and options.run.device == "auto" and not can:
        raise InputError(
            "run.device: no GPU that computes in bfloat16 is found here; set run.device: cpu (slow), or "
            "model.dtype: float32"
        )


def steps_of(options: TrainOptions, rows: int, processes: int) -> int:
    """How many steps a run takes over so many rows an epoch; rows that are left out count."""
    run = options.run
    return run.steps or math.ceil(rows * (run.epochs or 0) / (run.batch * run.accumulation * processes))


def _finished(options: TrainOptions, said: dict[str, Any], steps: int) -> Trained | None:
    """What is saved in `options.out` when it is just the run that is asked for; None to train."""
    folder = options.out / ADAPTER
    if not all((folder / name).is_file() for name in (TRAINING_RECORD, LOG)):
        return None
    saved = saved_record(folder)
    wanted = {name: said[name] for name in ("base", "options", "dataset", "processes")} | {"steps": steps}
    if any(saved.get(name) != value for name, value in wanted.items()):
        return None
    log = json.loads((folder / LOG).read_text(encoding="utf-8"))
    return Trained(folder, steps, log, saved["left_out"])


def _begun_by(options: TrainOptions, processes: int) -> int:
    """By how many processes the run in `options.out` was begun; `processes` when there is none."""
    path = options.out / "run.json"
    return int(json.loads(path.read_text(encoding="utf-8"))["processes"]) if path.is_file() else processes


def _hold_against(options: TrainOptions, said: dict[str, Any], begun: bool, write: bool) -> None:
    """A begun run goes on only with what decides its weights and rows as it was; its length may change."""
    path = options.out / "run.json"
    if begun and path.is_file():
        before = _deciding(json.loads(path.read_text(encoding="utf-8")))
        for what, new in _deciding(said).items():
            old = before.get(what)
            if old != new:
                was = f"the run in {options.out} was begun with {what} {old!r:.90}, now {new!r:.90}"
                raise InputError(f"{was}; give another 'out' to begin anew")
    if write:
        options.out.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(said, indent=2) + "\n").encode(), options.out)


def _deciding(said: dict[str, Any]) -> dict[str, Any]:
    """Of a run's record, what a run that goes on must share with its beginning."""
    options = json.loads(json.dumps(said["options"]))
    where = ("dataset", "workers", "eval_split", "eval_rows")
    return {
        "the dataset": said["dataset"]["digest"],
        "processes": said["processes"],
        **{name: options[name] for name in ("seed", "model", "lora", "rates", "pixels")},
        "data": {name: value for name, value in options["data"].items() if name not in where},
        "run": {name: options["run"][name] for name in ("batch", "accumulation", "max_tokens")},
    }


def _one_line(error: SpiderError) -> SpiderError:
    """An error of ours as it was raised: a loader's worker puts its traceback around it."""
    text = str(error)
    if "Original Traceback" not in text:
        return error
    last = text.strip().splitlines()[-1]
    return type(error)(last.split(": ", 1)[-1])
