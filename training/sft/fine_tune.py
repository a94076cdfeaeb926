"""A training run from its options to the saved adapter; resumes automatically from the newest checkpoint."""

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
    describe_run,
    load_base,
    load_record,
    save_trained,
)
from training.sft.train_config import TrainOptions

if TYPE_CHECKING:
    from training.sft.encode_rows import ChatMarks
    from training.sft.feed import RowChange


@dataclass(frozen=True)
class Prepared:
    """A run's base (a hub name or a folder), its processor with pixel bounds set, and its chat marks."""

    base: str
    processor: Any
    marks: ChatMarks


@dataclass(frozen=True)
class TrainedRun:
    """A finished run: the adapter's folder, steps, the log's entries, and the rows left out by reason."""

    adapter: Path
    steps: int
    log: list[dict[str, float]]
    unfit: dict[str, int]


def prepare(options: TrainOptions) -> Prepared:
    """Create a tiny base if requested, load the processor, set its pixel bounds. Raises InputError."""
    from training.sft.encode_rows import find_marks

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
    return Prepared(base, processor, find_marks(processor))


def _limit_pixels(processor: Any, options: TrainOptions) -> None:
    """Set the bounds that Qwen's processors scale a picture's number of pixels into."""
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
        raise InputError(f"pixels: {kind} has no pixel bounds (it cuts tiles); leave the section out")
    images.size = {**size, **given}
    if images.size["shortest_edge"] > images.size["longest_edge"]:
        raise InputError(f"pixels: the processor's bounds would be {images.size}; set both min and max")


def train(options: TrainOptions, change: RowChange | None = None, progress: Progress = SILENT) -> TrainedRun:
    """Train, or resume from the newest complete checkpoint in `options.out`, and save.

    A finished run is returned as it is. Raises InputError, and BuildError when another process trains in
    `options.out` or a loss or weight isn't finite.
    """
    if os.environ.get("RANK", "0") != "0":
        return _train(options, change, SILENT)
    with _lock_folder(options.out):
        return _train(options, change, progress)


@contextmanager
def _lock_folder(out: Path) -> Iterator[None]:
    """Lock a run's folder for this process; the lock ends with it and isn't inherited by children (POSIX)."""
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
                f"{out}: another process is training here; wait for it, or give another 'out'"
            ) from error
        yield


def _train(options: TrainOptions, change: RowChange | None, progress: Progress) -> TrainedRun:
    from accelerate.utils import gather_object

    from training.sft.deepspeed import check_file, check_settings
    from training.sft.feed import EvalRows, Feed, FeedPosition, keep_unchanged, load_position, open_reader
    from training.sft.groups import add_adapters, find_layout, parameter_table
    from training.sft.trainer import (
        StageOne,
        newest_checkpoint,
        position_file,
        remove_unfinished,
        training_arguments,
    )

    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    data, run = options.data, options.run
    _check_device(options)
    check_file(run)
    rows = open_reader(data, data.split, options.seed, 0, 1).rows
    readers = max(data.workers, 1)
    if rows < readers * processes:
        raise InputError(f"{data.dataset}: {rows} rows for {readers * processes} readers; lower data.workers")
    steps = count_steps(options, rows, processes)
    arg = training_arguments(options, steps, data.eval_split is not None)
    sharding = arg.deepspeed_plugin
    if sharding is not None:
        check_settings(sharding.deepspeed_config, run.deepspeed or "DeepSpeed's settings")
    with arg.main_process_first(local=False):
        prepared = prepare(options)
        run_record = {**describe_run(options, prepared.base), "processes": processes}
        done = _load_finished(options, run_record, steps)
        if done is not None:
            return done
        checkpoints = options.out / "checkpoints"
        started_with = _processes_at_start(options, processes)
        checkpoint = newest_checkpoint(checkpoints, started_with)
        _check_same_run(options, run_record, started=checkpoint is not None, write=rank == 0)
        if rank == 0:
            remove_unfinished(checkpoints, started_with)
    processor, marks = prepared.processor, prepared.marks

    held_out = None
    if data.eval_split is not None:
        held_out = EvalRows(data, data.eval_split, processor, marks, run.max_tokens, rank, processes)
        if not held_out.rows:
            counts = ", ".join(f"{count} {reason}" for reason, count in held_out.unfit.items())
            what = f"{data.dataset}: no row of the split {data.eval_split!r} fits: {counts or 'too few'}"
            raise InputError(f"{what}; set data.eval_split")
    position = FeedPosition([(0, 0)] * readers)
    if checkpoint is not None:
        position = load_position(checkpoint / position_file(rank), readers)

    from transformers import set_seed

    set_seed(options.seed)
    base = load_base(options.model, prepared.base, options.model.dtype)
    layout = find_layout(base)
    model = add_adapters(base, options.lora, options.rates, sharding is None)
    feed = Feed(
        data,
        options.seed,
        processor,
        marks,
        run.max_tokens,
        rank,
        processes,
        position,
        change or keep_unchanged,
    )
    steps_done = 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])
    with progress("train", steps, steps_done, unit="steps", done="done") as meter:
        meter.note(parameter_table(model, layout, options.rates))
        trainer = StageOne(
            model,
            arg,
            processor,
            feed,
            held_out,
            position,
            layout,
            options.rates,
            run.keep,
            checkpoint,
            meter,
        )
        try:
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        except SpiderError as error:
            raise _unwrap_worker_error(error) from error
    folder = options.out / ADAPTER
    weights = trainer.gather_weights()
    unfit: Counter[str] = Counter()
    for counts in gather_object([position.unfit]):
        unfit.update(counts)
    step, log = trainer.state.global_step, trainer.state.log_history
    if rank == 0:
        whole = trainer.accelerator.unwrap_model(trainer.model)
        run_record = {**run_record, "steps": step, "left_out": dict(unfit)}
        save_trained(whole, processor, options.out, run_record, weights, log)
    trainer.accelerator.wait_for_everyone()
    return TrainedRun(folder, step, log, dict(unfit))


def _check_device(options: TrainOptions) -> None:
    """Raise InputError for bfloat16 without a GPU that supports it, before transformers fails."""
    from transformers.utils.import_utils import is_torch_bf16_gpu_available, is_torch_xla_available

    can = is_torch_bf16_gpu_available() or is_torch_xla_available()
    if options.model.dtype == "bfloat16" and options.run.device == "auto" and not can:
        raise InputError(
            "run.device: found no GPU that computes in bfloat16; set run.device: cpu (slow), or "
            "model.dtype: float32"
        )


def count_steps(options: TrainOptions, rows: int, processes: int) -> int:
    """Number of steps of a run with `rows` rows per epoch, including rows that will be left out."""
    run = options.run
    return run.steps or math.ceil(rows * (run.epochs or 0) / (run.batch * run.accumulation * processes))


def _load_finished(options: TrainOptions, run_record: dict[str, Any], steps: int) -> TrainedRun | None:
    """The run saved in `options.out` when it is the requested one; None to train."""
    folder = options.out / ADAPTER
    if not all((folder / name).is_file() for name in (TRAINING_RECORD, LOG)):
        return None
    saved = load_record(folder)
    wanted = {name: run_record[name] for name in ("base", "options", "dataset", "processes")} | {
        "steps": steps
    }
    if any(saved.get(name) != value for name, value in wanted.items()):
        return None
    log = json.loads((folder / LOG).read_text(encoding="utf-8"))
    return TrainedRun(folder, steps, log, saved["left_out"])


def _processes_at_start(options: TrainOptions, processes: int) -> int:
    """Number of processes that the run in `options.out` started with; `processes` when there is none."""
    path = options.out / "run.json"
    return int(json.loads(path.read_text(encoding="utf-8"))["processes"]) if path.is_file() else processes


def _check_same_run(options: TrainOptions, run_record: dict[str, Any], started: bool, write: bool) -> None:
    """Raise InputError when what decides weights and rows has changed since the start; the length may."""
    path = options.out / "run.json"
    if started and path.is_file():
        before = _resume_identity(json.loads(path.read_text(encoding="utf-8")))
        for what, new in _resume_identity(run_record).items():
            old = before.get(what)
            if old != new:
                was = f"the run in {options.out} was started with {what} {old!r:.90}, now {new!r:.90}"
                raise InputError(f"{was}; give another 'out' to start over")
    if write:
        options.out.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(run_record, indent=2) + "\n").encode(), options.out)


def _resume_identity(run_record: dict[str, Any]) -> dict[str, Any]:
    """The part of a run's record that must not change when it resumes."""
    options = json.loads(json.dumps(run_record["options"]))
    where = ("dataset", "workers", "eval_split", "eval_rows")
    return {
        "the dataset": run_record["dataset"]["digest"],
        "processes": run_record["processes"],
        **{name: options[name] for name in ("seed", "model", "lora", "rates", "pixels")},
        "data": {name: value for name, value in options["data"].items() if name not in where},
        "run": {name: options["run"][name] for name in ("batch", "accumulation", "max_tokens")},
    }


def _unwrap_worker_error(error: SpiderError) -> SpiderError:
    """Our error as it was raised, without the traceback that a loader's worker wraps around it."""
    text = str(error)
    if "Original Traceback" not in text:
        return error
    last = text.strip().splitlines()[-1]
    return type(error)(last.split(": ", 1)[-1])
