"""Ceiling: what a second radiologist wrote about the same images, where the data set brings it along."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.contracts import Dataset, TrainingJob
from benchmark.schema import GenerationSettings, Report, Study

from ._constant import TextBaseline


class Model(TextBaseline):
    """How far two readers agree is as far as a model can be expected to get."""

    KIND = "second-reader"
    CONTENT = dict
    NOTE = "ceiling: a second reader of the same images"
    NEEDS = ("second readings",)

    @classmethod
    def skip(cls, dataset: Dataset) -> str:
        return "" if dataset.SECOND_READER else "the data set has no second reader"

    @classmethod
    def train(cls, job: TrainingJob) -> None:
        cls.save(job.output, dict(job.second_readings))

    def generate(self, studies: Sequence[Study], settings: GenerationSettings, seeds: Sequence[int]) -> list[Report]:
        return [self._report(study.study_id) for study in studies]

    def _report(self, study_id: str) -> Report:
        text = self.content.get(study_id)
        return Report(text) if text else Report("", error="the second reader did not read this study")
