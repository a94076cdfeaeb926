"""Scores a trained model on held-out answers: loss and accuracy per token, by task, with intervals."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from schemas.dataset import split_files
from schemas.hashing import rng
from schemas.row_group_reader import row_labels
from schemas.store import write_atomically
from training.epoch_mixture import Mixture
from training.photograph_bootstrap import Interval, percentile_interval, resample_totals, sum_by_photograph
from training.sft.saving import load_trained
from training.sft.train_config import DataConfig, TrainOptions
from training.streaming import stream

SCORES = "held-out.json"
OVERALL = "all"
RESAMPLES = 1000
_COLUMNS = ("id", "task", "source", "messages", "source_image")


@dataclass(frozen=True)
class RowScore:
    """One row: its answer tokens' summed loss in nats, their number, and how many are predicted right.

    `photograph` is the hash of the source picture, or the row's id where its dataset has none.
    """

    row_id: str
    task: str
    source: str
    photograph: str
    loss: float
    tokens: int
    right: int


@dataclass(frozen=True)
class HeldOutScores:
    """The scores of all held-out rows that fit, and the counts of those that don't, by reason."""

    scores: list[RowScore]
    left_out: dict[str, int]


def held_out_rows(data: DataConfig, split: str) -> Iterator[dict[str, Any]]:
    """`data.eval_rows` rows of the split, shared equally among its tasks, whatever the run's sources.

    The same dataset and options give the same rows. Raises InputError.
    """
    folder = data.dataset.resolve()
    labels = row_labels(path for path, _ in split_files(folder, split))
    tasks = {task for task, _ in labels.names if data.tasks is None or task in data.tasks}
    each = max(data.eval_rows // max(len(tasks), 1), 1)
    caps = Mixture(task_caps=dict.fromkeys(sorted(tasks), each))
    return iter(stream(folder, split, columns=_COLUMNS, tasks=data.tasks, mixture=caps))


def score_held_out(adapter: Path, options: TrainOptions, split: str) -> HeldOutScores:
    """The scores of a saved adapter, reused from `held-out.json` beside it when they match.

    Under torchrun the processes share the rows, and each gets all scores. Raises InputError.
    """
    from accelerate import PartialState
    from accelerate.utils import gather_object

    settings = {"split": split, "rows": options.data.eval_rows, "tasks": options.data.tasks}
    settings |= {"max_tokens": options.run.max_tokens, "pixels": options.pixels.model_dump()}
    path = adapter / SCORES
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["of"] == settings:
            return HeldOutScores([RowScore(**score) for score in found["scores"]], found["left_out"])
    scores, left_out = _score_rows(adapter, options, split)
    scores = sorted(gather_object(scores), key=lambda score: score.row_id)
    result = HeldOutScores(scores, left_out)
    if PartialState().is_main_process:
        write_atomically(path, json.dumps({"of": settings, **asdict(result)}).encode(), adapter)
    return result


def _score_rows(adapter: Path, options: TrainOptions, split: str) -> tuple[list[RowScore], dict[str, int]]:
    """This process's share of the scores, and the counts of all rows left out."""
    import torch
    from accelerate import PartialState

    from training.sft.encode_rows import UnfitRow, encode_row
    from training.sft.fine_tune import prepare

    state = PartialState(cpu=options.run.device == "cpu")
    prepared = prepare(options)
    model = load_trained(adapter, options.model.dtype).to(state.device)
    scores = []
    left_out: Counter[str] = Counter()
    for number, row in enumerate(held_out_rows(options.data, split)):
        try:
            example = encode_row(row, prepared.processor, prepared.marks, options.run.max_tokens)
        except UnfitRow as error:
            left_out[error.reason] += 1
            continue
        if number % state.num_processes == state.process_index:
            given = {name: value.to(state.device) for name, value in example.items()}
            with torch.no_grad():
                loss, tokens, right = _predict_answer(model, given)
            photograph = (row["source_image"] or {}).get("sha256") or row["id"]
            scores.append(RowScore(row["id"], row["task"], row["source"], photograph, loss, tokens, right))
    return scores, dict(left_out)


def _predict_answer(model: Any, example: dict[str, Any]) -> tuple[float, int, int]:
    """Summed loss in nats, tokens, and correctly predicted tokens of a row; makes only the labels' logits."""
    from torch.nn.functional import cross_entropy

    from training.sft.encode_rows import IGNORED

    labels = example.pop("labels")[0]
    at = (labels != IGNORED).nonzero()[:, 0]
    logits = model(**example, logits_to_keep=at - 1, use_cache=False).logits[0].float()
    wanted = labels[at]
    right = int((logits.argmax(-1) == wanted).sum())
    return float(cross_entropy(logits, wanted, reduction="sum")), len(at), right


@dataclass(frozen=True)
class TaskSummary:
    """The rows of a task: `loss` in nats per token, `accuracy` the share of tokens predicted correctly.

    `loss_difference` is this loss minus that of the compared run, on the same resampled photographs.
    """

    rows: int
    photographs: int
    loss: Interval
    accuracy: Interval
    loss_difference: Interval


def summarize_tasks(
    scores: Sequence[RowScore], compared: Sequence[RowScore], seed: int
) -> dict[str, TaskSummary]:
    """By task, "all" first. Photographs, not rows, are resampled: rows of one photograph aren't independent.

    `compared` are another model's scores of the same rows, in the same order. Percentile bootstrap.
    """
    found = {}
    for task in (OVERALL, *sorted({score.task for score in scores})):
        pairs = [
            (own, other) for own, other in zip(scores, compared, strict=True) if task in (OVERALL, own.task)
        ]
        values = [(own.loss, own.tokens, own.right, other.loss, other.tokens) for own, other in pairs]
        sums = sum_by_photograph(values, [own.photograph for own, _ in pairs])
        drawn = resample_totals(sums, RESAMPLES, rng(seed, "bootstrap", task))
        losses, tokens, right, other_losses, other_tokens = drawn.T
        loss = losses / tokens
        found[task] = TaskSummary(
            rows=len(pairs),
            photographs=len(sums),
            loss=percentile_interval(loss),
            accuracy=percentile_interval(right / tokens),
            loss_difference=percentile_interval(loss - other_losses / other_tokens),
        )
    return found
