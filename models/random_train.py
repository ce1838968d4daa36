"""Baseline: a training report drawn at random for each study."""

from __future__ import annotations

import random
from collections.abc import Sequence

from benchmark.contracts import TrainingJob
from benchmark.schema import GenerationSettings, Report, Study

from ._constant import TextBaseline, training_reports


class Model(TextBaseline):
    """Right length and vocabulary, nothing of the image."""

    KIND = "random-train"
    CONTENT = list
    NOTE = "baseline: ignores the image"

    @classmethod
    def train(cls, job: TrainingJob) -> None:
        cls.save(job.output, training_reports(job.train))

    def generate(self, studies: Sequence[Study], settings: GenerationSettings, seeds: Sequence[int]) -> list[Report]:
        return [Report(random.Random(seed).choice(self.content)) for seed in seeds]
