"""When a training validates, saves and stops, and what happens at each step."""

from __future__ import annotations

import math
import random
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from benchmark import processes
from benchmark.contracts import TrainingJob
from benchmark.errors import Diverged

from ._checkpoints import save_best
from ._selection import Selection
from ._trainer import ReportTrainer


class Schedule(TrainerCallback):
    """Validation, a checkpoint and the best weights at each epoch's end, checkpoints between, early stopping."""

    def __init__(self, trainer: ReportTrainer, job: TrainingJob, patience: int, selection: Selection):
        self.trainer = trainer
        self.history = trainer.history
        self.job = job
        self.patience = patience
        self.epochs: int = job.options["epochs"]
        self.selection = selection
        self.save_every: int = job.options["save_every"]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.steps_per_epoch = state.max_steps // state.num_train_epochs

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.trainer.batches.epoch = state.global_step // self.steps_per_epoch

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # Dropout's. Not the generator's saved state: this holds across versions and kinds of resumption.
        torch.manual_seed(random.Random(f"{args.seed}:{state.global_step}:{args.process_index}").getrandbits(63))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        loss_sum, targets = self.trainer.step_loss()
        if not math.isfinite(loss_sum):
            raise Diverged(
                f"The loss is {loss_sum / targets} at step {state.global_step} of {state.max_steps} (epoch "
                f"{len(self.history.rows) + 1})"
            )
        self.history.add(loss_sum, targets)
        self.job.on_step(state.global_step)
        # The checkpoint at an epoch's end comes after its validation, else a resumed training would skip that.
        ends_epoch = state.global_step % self.steps_per_epoch == 0
        control.should_save = state.global_step % self.save_every == 0 and not ends_epoch

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        control.should_evaluate = control.should_save = True

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        loss, learning_rate = kwargs["metrics"]["eval_loss"], kwargs["lr_scheduler"].get_last_lr()[0]
        if not math.isfinite(loss):
            raise Diverged(f"The validation loss is {loss} after epoch {len(self.history.rows) + 1}")
        row = self.history.close_epoch(loss, learning_rate, self.selection.score(self.trainer))
        if self.history.best_epoch == row["epoch"]:
            weights = self.trainer.whole_weights()
            if processes.first():
                save_best(kwargs["model"], self.trainer.folder / f"best-{row['epoch']}", weights)
        if processes.first():
            self.history.write_csv(self.job.output / "history.csv")
        if self.history.is_over(self.epochs, self.patience):
            control.should_training_stop = True
