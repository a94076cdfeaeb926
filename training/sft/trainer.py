"""TRL's SFTTrainer on this project's stream: learning rates by group, and resuming at the next row."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import torch
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from schemas.errors import BuildError
from schemas.folders import make_durable
from schemas.meter import Meter
from training.sft.feed import Collate, EvalRows, Feed, FeedPosition, make_loader
from training.sft.groups import ModelLayout, group_parameters
from training.sft.train_config import RatesConfig, TrainOptions

_LOWER = "lower the rates or run.clip; the same command resumes from the checkpoint before"


class MeterCallback(TrainerCallback):
    """Reports every step to a meter, and every log entry as a line."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._meter.step()

    def on_log(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        logs = named["logs"].items()
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in logs if isinstance(value, float))
        self._meter.note(f"step {state.global_step}: {numbers}")


class StageOne(SFTTrainer):
    """SFTTrainer whose batches come from a `Feed` and whose checkpoints record which rows were trained on.

    `begin` is the checkpoint that it resumes from. transformers restores the random number generators, which
    dropout draws from, only where it skips batches itself, so they are restored here at the first step.
    """

    def __init__(
        self, model: Any, args: SFTConfig, processor: Any, feed: Feed, held_out: EvalRows | None,
        position: FeedPosition, layout: ModelLayout, rates: RatesConfig, keep: int, begin: Path | None,
        meter: Meter,
    ) -> None:  # fmt: skip
        self._feed, self._held_out, self._position = feed, held_out, position
        self._layout, self._rates, self._keep, self._draws_of = layout, rates, keep, begin
        self._pad = int(processor.tokenizer.pad_token_id)
        seen_by_trl = datasets.IterableDataset.from_generator(_example_row)
        super().__init__(
            model=model, args=args, processing_class=processor, data_collator=Collate(self._pad),
            train_dataset=seen_by_trl, eval_dataset=seen_by_trl if held_out else None,
            callbacks=[MeterCallback(meter)],
        )  # fmt: skip
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """The feed's batches. Ranks already have different rows, so accelerate doesn't split them again."""
        args = self.args
        return make_loader(
            self._feed, args.per_device_train_batch_size, args.dataloader_num_workers, self._pad
        )

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[dict[str, Any]]:
        """The evaluation rows of this process."""
        assert self._held_out is not None
        return DataLoader(
            self._held_out, batch_size=self.args.per_device_eval_batch_size, collate_fn=Collate(self._pad)
        )

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW with a group for LoRA, vision and projector; each trained parameter is in exactly one."""
        if self.optimizer is None:
            chosen: Any = self.model if model is None else model
            groups = [
                {
                    "params": [parameter for _, parameter in parameters],
                    "lr": getattr(self._rates, name),
                    "weight_decay": self.args.weight_decay,
                    "name": name,
                }
                for name, parameters in group_parameters(chosen, self._layout).items()
                if parameters
            ]
            kind, settings = self.get_optimizer_cls_and_kwargs(self.args, chosen)
            self.optimizer = kind(groups, **settings)
        return self.optimizer

    def training_step(self, model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> torch.Tensor:
        position = inputs.pop("position")
        if self._draws_of is not None:
            self._load_rng_state(str(self._draws_of))
            self._draws_of = None
        loss: torch.Tensor = super().training_step(  # type: ignore[no-untyped-call]
            model, inputs, *rest, **named
        )
        if not torch.isfinite(loss):
            raise BuildError(f"the loss of step {self.state.global_step + 1} is {float(loss)}; {_LOWER}")
        self._position.follow(*position)
        return loss

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write everything, flush it to disk, write each process's position, and remove older checkpoints."""
        step = self.state.global_step
        trained: Any = self.model
        for name, parameter in trained.named_parameters():
            if parameter.requires_grad and not torch.isfinite(parameter).all():
                raise BuildError(f"{name} isn't finite after step {step}; {_LOWER}")
        super()._save_checkpoint(model, trial)  # type: ignore[no-untyped-call]
        checkpoints = Path(str(self.args.output_dir))
        folder = checkpoints / f"checkpoint-{step}"
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            make_durable(folder)
        self.accelerator.wait_for_everyone()
        self._position.save(folder / position_file(self.args.process_index))
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            for old in sorted(_checkpoints_by_step(checkpoints).items())[: -self._keep]:
                shutil.rmtree(old[1])

    def gather_weights(self) -> dict[str, Any] | None:
        """All weights by name where DeepSpeed spreads them over processes, else None.

        Every process must call this; the main one gets them, in the dtype of the arithmetic.
        """
        if not self.is_deepspeed_enabled:
            return None
        weights: dict[str, Any] = self.accelerator.get_state_dict(self.deepspeed)
        return weights

    def create_model_card(self, *rest: Any, **named: Any) -> None:
        """Write no model card in checkpoints: training.json records the run."""


def _example_row() -> Iterator[dict[str, Any]]:
    """A row that shows TRL the format of the dataset; not trained on."""
    yield {
        "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}],
        "images": [],
    }


def position_file(rank: int) -> str:
    """Name of the file in a checkpoint that holds the position of a process's readers."""
    return f"place-{rank}.json"


def newest_checkpoint(folder: Path, processes: int) -> Path | None:
    """The last complete checkpoint: each process's position is written after everything else."""
    whole = {
        step: path for step, path in _checkpoints_by_step(folder).items() if _is_complete(path, processes)
    }
    return whole[max(whole)] if whole else None


def remove_unfinished(folder: Path, processes: int) -> None:
    """Remove checkpoints whose writing was interrupted."""
    for path in _checkpoints_by_step(folder).values():
        if not _is_complete(path, processes):
            shutil.rmtree(path)


def _checkpoints_by_step(folder: Path) -> dict[int, Path]:
    """The checkpoints in a folder, by step."""
    named = {path.name.removeprefix("checkpoint-"): path for path in folder.glob("checkpoint-*")}
    return {int(name): path for name, path in named.items() if name.isdigit()}


def _is_complete(path: Path, processes: int) -> bool:
    return all((path / position_file(rank)).is_file() for rank in range(processes))


def training_arguments(options: TrainOptions, steps: int, evaluate: bool) -> SFTConfig:
    """TRL's and transformers' settings for a run."""
    run = options.run
    return SFTConfig(
        output_dir=str(options.out / "checkpoints"),
        max_steps=steps,
        per_device_train_batch_size=run.batch,
        per_device_eval_batch_size=run.batch,
        gradient_accumulation_steps=run.accumulation,
        learning_rate=options.rates.lora,
        lr_scheduler_type=run.schedule,
        warmup_steps=round(run.warmup * steps),
        weight_decay=run.weight_decay,
        max_grad_norm=run.clip,
        bf16=options.model.dtype == "bfloat16",
        gradient_checkpointing=run.checkpointing,
        logging_steps=run.log_every,
        save_steps=run.save_every,
        eval_strategy="steps" if evaluate else "no",
        eval_steps=run.eval_every,
        prediction_loss_only=True,
        seed=options.seed,
        dataloader_num_workers=options.data.workers,
        ignore_data_skip=True,
        remove_unused_columns=False,
        max_length=None,
        packing=False,
        report_to="tensorboard",
        disable_tqdm=True,
        use_cpu=run.device == "cpu",
        deepspeed=None if run.deepspeed is None else str(run.deepspeed),
    )
