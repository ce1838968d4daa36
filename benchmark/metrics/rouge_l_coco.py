"""ROUGE-L of the COCO caption evaluation: recall weighed by beta = 1.2, words as they are (Lin and Hovey, 2004).

Matches `pycocoevalcap.rouge`, mean over studies, with the longest common subsequence of rapidfuzz, which counts it
bit-parallel (Hyyrö, 2004).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from benchmark import contracts
from benchmark.metrics import _mean, _pairs

BETA = 1.2


class Metric(contracts.Metric):
    """Rows, shape (pairs, 2): F-beta, 1."""

    KEYS: ClassVar[tuple[str, ...]] = ("rouge_l_coco",)
    INPUT: ClassVar[str] = "tokens"

    @property
    def signature(self) -> str:
        version = importlib.metadata.version("pycocoevalcap")
        return f"rouge_l_coco|measure:f|beta:{BETA:g}|stem:none|level:mean|impl:pycocoevalcap-{version}"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        return _pairs.each_once(hypotheses, references, lambda pairs: _mean.rows(_score(*pair) for pair in pairs))

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {"rouge_l_coco": _mean.mean(sums)}


def _score(hypothesis: str, reference: str) -> float:
    from rapidfuzz.distance import LCSseq

    # Two empty texts would score 1 in pycocoevalcap, because "".split(" ") has one, empty, word.
    if not hypothesis or not reference:
        return 0.0
    written, expected = hypothesis.split(" "), reference.split(" ")
    common = LCSseq.similarity(written, expected)
    precision, recall = common / len(written), common / len(expected)
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision) if common else 0.0
