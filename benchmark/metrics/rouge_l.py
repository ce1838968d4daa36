"""ROUGE-L F1 of the package rouge-score, words stemmed (Lin, 2004).

Matches `rouge_score.rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)`, mean over studies. Its tokenizer keeps
`a-z0-9` only, so text in another script scores 0.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from benchmark import contracts
from benchmark.metrics import _mean


class Metric(contracts.Metric):
    """Rows, shape (pairs, 2): F1, 1."""

    KEYS: ClassVar[tuple[str, ...]] = ("rouge_l",)
    INPUT: ClassVar[str] = "text"

    @property
    def signature(self) -> str:
        version = importlib.metadata.version("rouge-score")
        return f"rouge_l|measure:f1|stem:porter|tok:rouge-score|level:mean|impl:rouge-score-{version}"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(["rougeL"], use_stemmer=True)
        pairs = zip(hypotheses, references, strict=True)
        return _mean.rows(scorer.score(reference, hypothesis)["rougeL"].fmeasure for hypothesis, reference in pairs)

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {"rouge_l": _mean.mean(sums)}
