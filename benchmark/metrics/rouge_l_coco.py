"""ROUGE-L of the COCO caption evaluation: recall weighed by beta = 1.2, words as they are (Lin and Hovey, 2004).

Matches `pycocoevalcap.rouge`, mean over studies.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from benchmark import contracts
from benchmark.metrics import _mean


class Metric(contracts.Metric):
    """Rows, shape (pairs, 2): F-beta, 1."""

    KEYS: ClassVar[tuple[str, ...]] = ("rouge_l_coco",)
    INPUT: ClassVar[str] = "tokens"

    @property
    def signature(self) -> str:
        version = importlib.metadata.version("pycocoevalcap")
        return f"rouge_l_coco|measure:f|beta:1.2|stem:none|level:mean|impl:pycocoevalcap-{version}"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        from pycocoevalcap.rouge.rouge import Rouge

        rouge = Rouge()

        def score(hypothesis: str, reference: str) -> float:
            # Two empty texts would score 1 there, because "".split(" ") has one, empty, word.
            return rouge.calc_score([hypothesis], [reference]) if hypothesis and reference else 0.0

        return _mean.rows(score(*pair) for pair in zip(hypotheses, references, strict=True))

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {"rouge_l_coco": _mean.mean(sums)}
