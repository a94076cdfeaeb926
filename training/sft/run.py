"""A training run from its options to the saved adapter; it goes on from its newest checkpoint by itself."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import InputError, SpiderError
from training.sft.options import TrainOptions
from training.sft.saving import load_base, load_processor, record, save_trained

if TYPE_CHECKING:
    from training.sft.feed import Change
    from training.sft.rows import Marks


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
    from training.sft.rows import marks_of

    base = options.model.name
    if options.model.tiny is not None:
        from training.sft.tiny import save_tiny

        folder = options.out / "base"
        if not (folder / "config.json").is_file() and os.environ.get("RANK", "0") == "0":
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


def train(options: TrainOptions, change: Change | None = None) -> Trained:
    """Train, or go on from the newest whole checkpoint in `options.out`, and save. Raises InputError.

    `change` is made of each training row before it is encoded.
    """
    from training.sft.feed import EvalRows, Feed, Place, reader_of, saved_place, unchanged
    from training.sft.groups import adapted, layout_of, table
    from training.sft.trainer import StageOne, arguments, newest_checkpoint, place_file

    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    data, run = options.data, options.run
    rows = reader_of(data, data.split, options.seed, 0, 1).rows
    readers = max(data.workers, 1)
    if rows < readers * processes:
        raise InputError(f"{data.dataset}: {rows} rows for {readers * processes} readers; use fewer workers")
    steps = run.steps or math.ceil(rows * (run.epochs or 0) / (run.batch * run.accumulation * processes))
    prepared = prepare(options)
    processor, marks = prepared.processor, prepared.marks
    said = {**record(options, prepared.base), "processes": processes}
    checkpoint = newest_checkpoint(options.out / "checkpoints", processes)
    _hold_against(options, said, begun=checkpoint is not None, write=rank == 0)

    held_out = None
    if data.eval_split is not None:
        held_out = EvalRows(data, data.eval_split, processor, marks, run.max_tokens, rank, processes)
        if not held_out.rows:
            raise InputError(
                f"{data.dataset}: no row of the split {data.eval_split!r} fits; set data.eval_split"
            )
    arg = arguments(options, steps, held_out is not None)
    place = Place([(0, 0)] * readers)
    if checkpoint is not None:
        place = saved_place(checkpoint / place_file(rank), readers)

    from transformers import set_seed

    set_seed(options.seed)
    base = load_base(options.model, prepared.base, options.model.dtype)
    layout = layout_of(base)
    model = adapted(base, options.lora, options.rates)
    if rank == 0:
        print(table(model, layout, options.rates), flush=True)
    feed = Feed(
        data, options.seed, processor, marks, run.max_tokens, rank, processes, place, change or unchanged
    )
    trainer = StageOne(model, arg, processor, feed, held_out, place, layout, options.rates)
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except SpiderError as error:
        raise _one_line(error) from error
    folder = options.out / "adapter"
    if rank == 0:
        said = {**said, "steps": trainer.state.global_step, "left_out": place.unfit}
        save_trained(trainer.accelerator.unwrap_model(trainer.model), processor, options.out, said)
    return Trained(folder, trainer.state.global_step, trainer.state.log_history, place.unfit)


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
        path.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


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
