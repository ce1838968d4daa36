"""Baseline: the commonest training report, for every image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmark.contracts import TrainingJob
from benchmark.schema import GenerationSettings, Report, Study

from ._constant import TextBaseline, training_reports


class Model(TextBaseline):
    """Ties go to the report that comes first in alphabetical order, so that the choice needs no seed."""

    KIND = "most-frequent"
    NOTE = "baseline: ignores the image"

    @classmethod
    def train(cls, job: TrainingJob) -> None:
        counts = Counter(training_reports(job.train))
        cls.save(job.output, min(counts, key=lambda text: (-counts[text], text)))

    def generate(self, studies: Sequence[Study], settings: GenerationSettings, seeds: Sequence[int]) -> list[Report]:
        return [Report(self.content) for _ in studies]
