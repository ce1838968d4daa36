"""Training on transformers' Trainer, so that a kill at any moment costs time and nothing else.

Order of the studies, augmentation and dropout are functions of the seed and the step, so no generator's state has
to outlive the process; weights, optimiser, schedule and history do, in `trainer/checkpoint-<step>`, which counts
once its last file, `history.json`, is there. On a CPU a resumed training ends with the very bytes of an
undisturbed one. Several processes (`benchmark.processes`) that call `fit` together train one model.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import PreTrainedModel

from benchmark import contracts, processes
from benchmark.contracts import TrainingJob
from benchmark.errors import Diverged, OutOfMemory, UserError

from ._batches import BatchPlan
from ._checkpoints import COMPLETE, check_disk, finished, move_best, newest_checkpoint
from ._data import Collate, ReportDataset
from ._history import History, write_atomically
from ._interruption import Interruption
from ._options import DEFAULTS, TrainedModel, arguments, check
from ._progress import ProgressCallback, TensorBoardCallback
from ._schedule import Schedule
from ._selection import Selection
from ._trainer import ReportTrainer
from ._vision_gpt2 import quiet

__all__ = ["TrainedModel", "finished", "fit"]

HALVED = "halved.json"
"""How often the batch was halved because memory ran out."""


def fit(
    job: TrainingJob,
    model: PreTrainedModel,
    train: ReportDataset,
    validation: ReportDataset,
    collate: Collate,
    save_more: Callable[[Path], Any],
    as_model: Callable[[PreTrainedModel], contracts.Model] | None = None,
    optimizer: Callable[..., tuple[Optimizer, LRScheduler]] | None = None,
) -> None:
    """Train, and leave the weights of the best epoch in `job.output`.

    Options read: learning_rate, weight_decay, warmup (a share of all steps), batch_size, accumulation, epochs, clip,
    save_every (steps), workers, and those of `_options.DEFAULTS`. A step sees batch_size × accumulation studies,
    however many processes share them. `save_more` writes what `load` needs besides weights and configuration;
    `as_model` makes of the network what writes reports, where an epoch may be chosen by them. The validation loss is
    the training loss, label smoothing included, over all of the validation split. `optimizer` makes, of the network and
    `steps_per_epoch`, what changes its weights, and how the learning rate goes; without it that is AdamW with a cosine
    schedule.

    Raises UserError where the disk is too small or an option is impossible, Diverged where the loss is no longer a
    number, and OutOfMemory where calling again goes on with smaller batches.
    """
    _refuse_shadowed_datasets()
    clear_device_cache(garbage_collection=True)
    options = {**DEFAULTS, **job.options}
    check(options)
    folder = job.output / "trainer"
    folder.mkdir(parents=True, exist_ok=True)
    resume = processes.by_first(lambda: newest_checkpoint(folder))
    halvings = _halvings(folder)
    plan = BatchPlan.of(options["batch_size"], options["accumulation"], processes.count(), halvings)
    processes.by_first(lambda: check_disk(model, folder))
    selection = Selection.of(options["select_by"], job, as_model)
    history = History(select_by=selection.column, higher_is_better=selection.higher_is_better)
    if resume:
        history = History.read(resume / COMPLETE)
    prepare(model, options)
    steps_per_epoch = math.ceil(len(train) / plan.studies)
    trainer = ReportTrainer(
        model=model,
        args=arguments(job, options, plan, len(train), folder, _blocks(model)),
        train_dataset=train,
        eval_dataset=validation,
        collate=collate,
        history=history,
        report=job.report,
        plan=plan,
        options=options,
        make_optimizer=functools.partial(optimizer, steps_per_epoch=steps_per_epoch) if optimizer else None,
    )
    trainer.add_callback(Schedule(trainer, job, options["patience"], selection))
    trainer.add_callback(TensorBoardCallback(history, job.output / "tensorboard"))
    if resume:
        job.report(f"Going on from step {resume.name.removeprefix('checkpoint-')}.")
    if not history.is_over(options["epochs"], options["patience"]):
        progress, interruption = ProgressCallback(history, job.report), Interruption()
        trainer.add_callback(progress)
        trainer.add_callback(interruption)
        with quiet(), _failures(options, plan, folder, halvings + 1), progress, interruption:
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    if processes.first():
        history.write_csv(job.output / "history.csv")
        save_more(job.output)
        move_best(folder / f"best-{history.best_epoch}", job.output)
        shutil.rmtree(folder)
    processes.wait()


def prepare(model: PreTrainedModel, options: dict[str, Any]) -> None:
    """What the options change of how the network computes; its weights stay as they are."""
    if options["channels_last"] and not options["fsdp"]:  # which divides no weights that lie in another order
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, call-arg]
    if options["freeze_batch_norm"]:
        # Trainer puts the model in training mode before each batch.
        model.register_forward_pre_hook(lambda module, _: _freeze_batch_norm(module))
    if options["gradient_checkpointing"]:
        _checkpoint_gradients(model)
    if options["compile"]:
        model.compile(dynamic=True)


def _checkpoint_gradients(model: PreTrainedModel) -> None:
    """Have what can be computed twice instead of kept be so. Raises UserError where there is no such part."""
    kind = {"use_reentrant": False}
    enablers: list[Any] = [functools.partial(model.gradient_checkpointing_enable, gradient_checkpointing_kwargs=kind)]
    enablers += [getattr(module, "set_grad_checkpointing", None) for module in model.modules()]  # timm's
    able = False
    for enable in filter(callable, enablers):
        with contextlib.suppress(ValueError, AssertionError):  # how transformers and timm say that it is not possible
            enable()
            able = True
    if not able:
        raise UserError("No part of this network can be computed twice: leave gradient_checkpointing out.")


def _freeze_batch_norm(model: torch.nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()


def _blocks(model: PreTrainedModel) -> list[str] | None:
    """Classes of the layers that transformers says must not be torn apart; None where it knows of none."""
    names = {name for module in model.modules() for name in getattr(module, "_no_split_modules", None) or ()}
    return sorted(names) or None


def _halvings(folder: Path) -> int:
    try:
        return int(json.loads((folder / HALVED).read_text("utf-8")))
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def _failures(options: dict[str, Any], plan: BatchPlan, folder: Path, halvings: int) -> Iterator[None]:
    """What a diverged training and full memory mean to the user. `halvings`: how often the next try halves the batch,
    however many processes run out of memory in this one.
    """
    try:
        yield
    except Diverged as error:
        newest = newest_checkpoint(folder) if processes.first() else None
        kept = f"The last good checkpoint, {newest}, is kept" if newest else "There is no checkpoint yet"
        smaller = options["learning_rate"] / 3
        raise Diverged(
            f"{error}: training has diverged. {kept}. Try a smaller learning rate, e.g. --set "
            f"learning_rate={smaller:.1g}."
        ) from None
    except (RuntimeError, MemoryError) as error:
        if not (isinstance(error, MemoryError) or should_reduce_batch_size(error)):
            raise
        if plan.micro == 1:
            twice = "" if options["gradient_checkpointing"] else "--set gradient_checkpointing=true, "
            raise UserError(
                f"Memory ran out with a single study at a time. Try {twice}a smaller image_size or max_tokens, or a "
                "lower precision."
            ) from None
        smaller_plan = BatchPlan.of(options["batch_size"], options["accumulation"], plan.processes, halvings)
        write_atomically(folder / HALVED, json.dumps(halvings))
        raise OutOfMemory(
            f"Memory ran out with {plan.micro} studies at a time. Going on with {smaller_plan.micro} and "
            f"{smaller_plan.accumulation} passes a step in place of {plan.accumulation}, so that a step still sees "
            f"{plan.studies} studies."
        ) from None


def _refuse_shadowed_datasets() -> None:
    """Raises UserError where `import datasets` finds this project's folder instead of Hugging Face's package."""
    found, ours = importlib.util.find_spec("datasets"), importlib.util.find_spec("benchmark.datasets")
    if found and ours and found.origin == ours.origin:
        raise UserError(
            "The project's folder is on Python's path, so its `datasets` hides Hugging Face's package. Call `bench` "
            "(not `python -m`), and take the folder out of PYTHONPATH."
        )
