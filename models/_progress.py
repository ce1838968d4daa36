"""What people see while a model trains: a bar on a terminal, a line now and then elsewhere, TensorBoard events."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ._history import History

LINE_EVERY_SECONDS = 30.0


class ProgressCallback(TrainerCallback):
    """Step, loss and time left. `report` tells the user a line. Use as a context manager, so that the bar goes away."""

    def __init__(self, history: History, report: Callable[[str], None]):
        self.history = history
        self.report = report
        self.bar: Any = None
        self.began = self.last = 0.0
        self.first_step = 0

    def __enter__(self) -> ProgressCallback:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.began = self.last = time.monotonic()
        self.first_step = state.global_step
        if state.is_world_process_zero and sys.stderr.isatty():
            self.bar, self.handle = _bar(state.max_steps, state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        epoch = len(self.history.rows) + 1
        if self.bar is not None:
            text = f"epoch {epoch} of {state.num_train_epochs}, loss {self.history.train_loss:.3f}"
            self.bar.update(self.handle, completed=state.global_step, description=text)
        elif state.is_world_process_zero and time.monotonic() - self.last >= LINE_EVERY_SECONDS:
            self.last = time.monotonic()
            each = (self.last - self.began) / (state.global_step - self.first_step)
            left = _duration(each * (state.max_steps - state.global_step))
            self.report(
                f"Epoch {epoch} of {state.num_train_epochs}, step {state.global_step} of {state.max_steps}: "
                f"loss {self.history.train_loss:.3f}, about {left} left"
            )

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        row = self.history.rows[-1]
        if state.is_world_process_zero:
            self.report(
                f"Epoch {row['epoch']} of {state.num_train_epochs}: training loss {row['train_loss']:.4f}, "
                f"validation loss {row['validation_loss']:.4f}, {_duration(row['seconds'])}"
            )


class TensorBoardCallback(TrainerCallback):
    """Losses and learning rate as TensorBoard events, where tensorboard is installed; else nothing."""

    def __init__(self, history: History, folder: Path):
        self.history = history
        self.folder = folder
        self.writer: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        with contextlib.suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            # Events that a killed process wrote beyond this step are dropped.
            self.writer = SummaryWriter(str(self.folder), purge_step=state.global_step or None)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.writer is not None:
            self.writer.add_scalar("loss/train", self.history.step_loss, state.global_step)
            self.writer.add_scalar("learning_rate", kwargs["lr_scheduler"].get_last_lr()[0], state.global_step)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.writer is not None:
            self.writer.add_scalar("loss/validation", self.history.rows[-1]["validation_loss"], state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.writer is not None:
            self.writer.close()


def _bar(total: int, done: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    bar.start()
    return bar, bar.add_task("training", total=total, completed=done)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
