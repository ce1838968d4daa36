"""Baseline: the one training report that scores the best BLEU-4 on validation, for every image."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence

from benchmark.contracts import TrainingJob
from benchmark.errors import UserError
from benchmark.schema import GenerationSettings, Report, Study, scored_section, section_text
from benchmark.sections import split_output

from ._constant import TextBaseline, training_reports

CANDIDATES = 5_000
"""Distinct reports tried at most, drawn with the seed."""


class Model(TextBaseline):
    """Chosen on the validation split by corpus BLEU-4 of findings and impression, so its row there flatters it.

    On IU X-Ray such a constant beats a published model: a table without it proves nothing.
    """

    KIND = "best-constant"
    NOTE = "baseline: ignores the image; chosen on the validation split"

    @classmethod
    def train(cls, job: TrainingJob) -> None:
        candidates = sorted(set(training_reports(job.train)))
        if len(candidates) > CANDIDATES:
            candidates = random.Random(job.seed).sample(candidates, CANDIDATES)
        section = scored_section([example.reference for example in job.train])
        references = [text for e in job.validation if (text := e.reference.section(section))]
        if not references:
            raise UserError("No validation report has the sections of the training reports: no constant can be chosen.")
        hypotheses = [section_text(section, *split_output(text)) for text in candidates]
        tokens = job.tokenize(hypotheses + references)
        scores = constant_bleu4(tokens[: len(hypotheses)], tokens[len(hypotheses) :])
        best = max(range(len(candidates)), key=lambda i: (scores[i], candidates[i]))
        cls.save(job.output, candidates[best])

    def generate(self, studies: Sequence[Study], settings: GenerationSettings, seeds: Sequence[int]) -> list[Report]:
        return [Report(self.content) for _ in studies]


def constant_bleu4(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> list[float]:
    """Corpus BLEU-4 of each candidate given as the hypothesis for all references (one reference a study).

    For a constant the clipped matches of an n-gram that occurs c times are the sum over k = 1 … c of the number of
    references that hold it at least k times; with those numbers at hand a candidate costs its own length.
    Papineni et al. 2002; smoothing constants as in pycocoevalcap.
    """
    holding: list[Counter[tuple[tuple[str, ...], int]]] = [Counter() for _ in range(4)]
    for reference in references:
        for n, counter in enumerate(holding, 1):
            for gram, count in _ngrams(reference, n).items():
                counter.update((gram, k) for k in range(1, count + 1))
    reference_length = sum(map(len, references))
    return [_bleu4(candidate, holding, len(references), reference_length) for candidate in candidates]


def _bleu4(
    candidate: Sequence[str], holding: Sequence[Counter[tuple[tuple[str, ...], int]]], n: int, reference_length: int
) -> float:
    tiny, small = 1e-15, 1e-9
    log_precision = 0.0
    for order, counter in enumerate(holding, 1):
        grams = _ngrams(candidate, order)
        matches = sum(counter[gram, k] for gram, count in grams.items() for k in range(1, count + 1))
        guesses = n * max(0, len(candidate) - order + 1)
        log_precision += math.log((matches + tiny) / (guesses + small)) / 4
    ratio = (n * len(candidate) + tiny) / (reference_length + small)
    return math.exp(log_precision + min(0.0, 1 - 1 / ratio))


def _ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
