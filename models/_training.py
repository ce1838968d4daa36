"""Training on transformers' Trainer, so that a kill at any moment costs time and nothing else.

Order of the studies, augmentation and dropout are functions of the seed and the step, so no generator's state has
to outlive the process; weights, optimiser, schedule and history do, in `trainer/checkpoint-<step>`, which counts
once its last file, `history.json`, is there. On a CPU a resumed training ends with the very bytes of an
undisturbed one.
"""

from __future__ import annotations

import importlib.util
import math
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from benchmark.contracts import TrainingJob
from benchmark.errors import UserError

from ._checkpoints import COMPLETE, check_disk, drop_all_but, move_best, newest_checkpoint, save_best
from ._data import Collate, EpochSampler, ReportDataset
from ._history import History
from ._progress import ProgressCallback, TensorBoardCallback
from ._vision_gpt2 import IGNORED, count_targets, quiet, token_losses

MakeOptimizer = Callable[..., tuple[Optimizer, LRScheduler]]
"""From a model and `steps_per_epoch` to what changes its weights, and how the learning rate goes."""


def fit(
    job: TrainingJob,
    model: PreTrainedModel,
    train: ReportDataset,
    validation: ReportDataset,
    collate: Collate,
    save_more: Callable[[Path], Any],
    optimizer: MakeOptimizer | None = None,
) -> None:
    """Train, and leave the weights of the epoch with the smallest validation loss in `job.output`.

    Options read: learning_rate, weight_decay, warmup (a share of all steps), batch_size, accumulation, epochs, clip,
    save_every (steps), workers. `save_more` writes what `load` needs besides weights and configuration. The
    validation loss is the training loss, label smoothing included, over all of the validation split. Without an
    `optimizer` it is AdamW with a cosine schedule.

    Raises UserError where the disk is too small or the loss is no longer a number.
    """
    _refuse_shadowed_datasets()
    folder = job.output / "trainer"
    folder.mkdir(parents=True, exist_ok=True)
    resume = newest_checkpoint(folder)
    history = History.read(resume / COMPLETE) if resume else History()
    check_disk(model, folder)
    trainer = ReportTrainer(
        model=model,
        args=_arguments(job, len(train), folder),
        train_dataset=train,
        eval_dataset=validation,
        data_collator=collate,
        history=history,
        report=job.report,
        optimizers=optimizer(model, steps_per_epoch=_steps_per_epoch(job, len(train))) if optimizer else (None, None),
    )
    trainer.add_callback(_Schedule(trainer, job))
    trainer.add_callback(TensorBoardCallback(history, job.output / "tensorboard"))
    if resume:
        job.report(f"Going on from step {resume.name.removeprefix('checkpoint-')}.")
    if len(history.rows) < job.options["epochs"]:
        with quiet(), ProgressCallback(history, job.report) as progress:
            trainer.add_callback(progress)
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    if trainer.is_world_process_zero():
        history.write_csv(job.output / "history.csv")
        save_more(job.output)
        move_best(folder / f"best-{history.best_epoch}", job.output)
        shutil.rmtree(folder)
    trainer.accelerator.wait_for_everyone()


class ReportTrainer(Trainer):
    """Trainer with an exact token mean as validation loss, its own order of studies, and complete checkpoints."""

    def __init__(self, history: History, report: Callable[[str], None], **kwargs: Any):
        super().__init__(compute_metrics=_mean_loss, **kwargs)
        self.remove_callback(PrinterCallback)
        self.history = history
        self.report = report
        self.label_smoothing: float = kwargs["model"].config.label_smoothing
        self.folder = Path(kwargs["args"].output_dir)
        self.sampler = EpochSampler(len(kwargs["train_dataset"]), self.args.seed)
        self.step_losses: list[torch.Tensor] = []
        """Sum of the losses and number of targets of each batch since the last step."""
        self.unreadable: set[str] = set()

    def _get_train_sampler(self, *_: Any) -> EpochSampler:
        return self.sampler

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        self._tell_unreadable(inputs)
        targets = count_targets(inputs["labels"])
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        # The outputs are as the model made them; only `loss` is scaled by Trainer for the number of processes.
        divisor = targets if num_items_in_batch is None else num_items_in_batch
        self.step_losses.append(torch.stack([outputs["text_loss"].detach().float() * divisor, targets.float()]))
        return (loss, outputs) if return_outputs else loss

    @torch.no_grad()
    def prediction_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[None, torch.Tensor, torch.Tensor]:
        """Each study's summed loss and its number of targets, for `_mean_loss`."""
        self._tell_unreadable(inputs)
        inputs = self._prepare_inputs(inputs)
        labels = inputs.pop("labels")
        losses = token_losses(model(**inputs).logits, labels, self.label_smoothing)
        return None, losses.sum(dim=1), labels[:, 1:].ne(IGNORED).sum(dim=1)

    def _tell_unreadable(self, inputs: dict[str, Any]) -> None:
        for sentence in inputs.pop("unreadable", ()):
            if sentence not in self.unreadable:
                self.unreadable.add(sentence)
                self.report(f"Left out of training: {sentence}")

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        target = self.folder / f"checkpoint-{self.state.global_step}"
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            self.history.save(target / COMPLETE)
            drop_all_but(target.parent, target.name, f"best-{self.history.best_epoch}")


class _Schedule(TrainerCallback):
    """When to save and to validate, and what happens at each step."""

    def __init__(self, trainer: ReportTrainer, job: TrainingJob):
        self.trainer = trainer
        self.history = trainer.history
        self.output = job.output
        self.save_every: int = job.options["save_every"]
        smaller = job.options["learning_rate"] / 3
        self.advice = f"training has diverged. Try a smaller learning rate, e.g. --set learning_rate={smaller:.1g}."

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.steps_per_epoch = state.max_steps // state.num_train_epochs

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.trainer.sampler.epoch = state.global_step // self.steps_per_epoch

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # Dropout's. Not the generator's saved state: this holds across versions and kinds of resumption.
        torch.manual_seed(random.Random(f"{args.seed}:{state.global_step}:{args.process_index}").getrandbits(63))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        loss_sum, targets = torch.stack(self.trainer.step_losses).double().cpu().sum(dim=0).tolist()
        self.trainer.step_losses.clear()
        if not math.isfinite(loss_sum):
            raise UserError(
                f"The loss is {loss_sum / targets} at step {state.global_step} of {state.max_steps} (epoch "
                f"{len(self.history.rows) + 1}): {self.advice}"
            )
        self.history.add(loss_sum, int(targets))
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
            raise UserError(f"The validation loss is {loss} after epoch {len(self.history.rows) + 1}: {self.advice}")
        row = self.history.close_epoch(loss, learning_rate)
        if state.is_world_process_zero:
            self.history.write_csv(self.output / "history.csv")
            if self.history.best_epoch == row["epoch"]:
                save_best(kwargs["model"], self.trainer.folder / f"best-{row['epoch']}")


def _mean_loss(prediction: Any) -> dict[str, float]:
    return {"loss": float(prediction.predictions.sum(dtype="float64") / prediction.label_ids.sum())}


def _steps_per_epoch(job: TrainingJob, n: int) -> int:
    batches = math.ceil(n / (job.options["batch_size"] * int(os.environ.get("WORLD_SIZE", "1"))))
    return math.ceil(batches / job.options["accumulation"])


def _arguments(job: TrainingJob, n: int, folder: Path) -> TrainingArguments:
    options, device = job.options, torch.device(job.device)
    steps = _steps_per_epoch(job, n) * options["epochs"]
    precise = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if device.index is not None:
        os.environ.setdefault("ACCELERATE_TORCH_DEVICE", str(device))
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=options["batch_size"],
        per_device_eval_batch_size=options["batch_size"],
        gradient_accumulation_steps=options["accumulation"],
        num_train_epochs=options["epochs"],
        learning_rate=options["learning_rate"],
        weight_decay=options["weight_decay"],
        max_grad_norm=options["clip"],
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(options["warmup"] * steps),
        seed=job.seed,
        use_cpu=device.type == "cpu",
        bf16=precise,
        fp16=device.type == "cuda" and not precise,
        dataloader_num_workers=options["workers"],
        dataloader_persistent_workers=options["workers"] > 0,
        dataloader_pin_memory=device.type == "cuda",
        remove_unused_columns=False,
        label_names=["labels"],
        logging_strategy="no",
        logging_nan_inf_filter=False,
        eval_strategy="no",  # _Schedule decides when to validate and to save
        save_strategy="no",
        disable_tqdm=True,
        report_to=[],
    )
    # One process drives one device; Trainer would spread a batch over all that it sees with DataParallel.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def _refuse_shadowed_datasets() -> None:
    """Raises UserError where `import datasets` finds this project's folder instead of Hugging Face's package."""
    found, ours = importlib.util.find_spec("datasets"), importlib.util.find_spec("benchmark.datasets")
    if found and ours and found.origin == ours.origin:
        raise UserError(
            "The project's folder is on Python's path, so its `datasets` hides Hugging Face's package. Call `bench` "
            "(not `python -m`), and take the folder out of PYTHONPATH."
        )
