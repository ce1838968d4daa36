"""Choosing the best epoch by the reports that the model writes for the validation split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from benchmark import contracts, processes
from benchmark.contracts import Judge, TrainingJob
from benchmark.errors import UserError
from benchmark.schema import GenerationSettings, Study

from ._trainer import ReportTrainer

LOSS = "loss"


@dataclass(frozen=True)
class Selection:
    """What the best epoch is best in: a metric of written reports, or, without one, the validation loss."""

    name: str
    studies: Sequence[Study]
    """Of the validation split."""
    judge: Judge | None = None
    as_model: Callable[[PreTrainedModel], contracts.Model] | None = None

    @classmethod
    def of(
        cls,
        name: str,
        job: TrainingJob,
        as_model: Callable[[PreTrainedModel], contracts.Model] | None,
    ) -> Selection:
        """Raises UserError where the metric is unknown or cannot be computed here, or the model cannot be asked."""
        studies = [example.study for example in job.validation]
        if name == LOSS:
            return cls(name, studies)
        if as_model is None:
            raise UserError(f"This model cannot be chosen by {name} while it trains; only by {LOSS}.")
        if job.options.get("fsdp"):
            raise UserError(f"With fsdp no process has all of the model to write reports with: set select_by={LOSS}.")
        return cls(name, studies, job.judge(name), as_model)

    @property
    def column(self) -> str:
        """In history.csv."""
        return f"validation_{self.name}"

    @property
    def higher_is_better(self) -> bool:
        return self.judge is not None and self.judge.higher_is_better

    def score(self, trainer: ReportTrainer) -> float | None:
        """The metric of the model as it is, each study read by one of the processes; None for the loss.

        Reports are decoded greedily; a study whose image cannot be read has an empty one.
        """
        if self.judge is None or self.as_model is None:
            return None
        judge, settings = self.judge, GenerationSettings()
        model = self.as_model(trainer.accelerator.unwrap_model(trainer.model))
        batches = [self.studies[k : k + settings.batch_size] for k in range(0, len(self.studies), settings.batch_size)]
        written: dict[str, str] = {}
        with torch.no_grad(), trainer.compute_loss_context_manager():
            for batch in batches[processes.rank() :: processes.count()]:
                reports = model.generate(batch, settings, [0] * len(batch))
                written |= {study.study_id: report.text for study, report in zip(batch, reports, strict=True)}
        everything = {study: text for part in processes.gathered(written) for study, text in part.items()}
        return processes.by_first(lambda: judge([everything[study.study_id] for study in self.studies]))
