"""What the data ablation asks its runs beside the loss: the benchmark `spider` on their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from flows.evaluation import evaluate
from flows.evaluation.models_under_test import Setup
from schemas.meter import SILENT, Progress
from training.sft.saving import ADAPTER
from training.sft.train_config import TrainOptions

FOLDER = "evaluation"


def evaluate_mixture(
    options: TrainOptions, rows: int, max_tokens: int = 256, progress: Progress = SILENT
) -> Callable[[Path], Mapping[str, float]]:
    """An evaluation for `training.sft.ablation_table`: a run's folder to the measures of its answers.

    The run's adapter answers the first `rows` test rows of the run's dataset, each in `max_tokens` at most;
    replies and results are kept in `evaluation` in its folder, so what was answered isn't asked again.
    Measures that no row has are left out.
    Raises InputError.
    """

    def scores(folder: Path) -> dict[str, float]:
        setup = Setup(device=options.run.device, dtype=options.model.dtype, max_tokens=max_tokens)
        wanted = evaluate.Wanted(
            benchmark="spider",
            model=str(folder / ADAPTER),
            data=options.data.dataset,
            out=folder / FOLDER,
            setup=setup,
            limit=rows,
        )
        (done,) = evaluate.run(wanted, progress=progress)
        measured = ((f"{one.task}: {one.measure}", one.value) for one in done.summary.measured)
        return {name: value for name, value in measured if value is not None}

    return scores
