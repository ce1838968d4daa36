"""Mean of each report's own BLEU-2, as CXR-Report-Metric and ReXrank count it.

Papineni et al., ACL 2002, smoothed by method 1 of Chen and Cherry, WMT 2014. Matches `nltk`'s `sentence_bleu` with
weights (0.5, 0.5) and `SmoothingFunction(epsilon=0.1).method1`, which `fast_bleu` computes for CXR-Report-Metric.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from benchmark import contracts
from benchmark.metrics import _mean, _pairs

ORDER = 2
EPSILON = 0.1
"""Takes the place of a count of no match."""


class Metric(contracts.Metric):
    """Rows, shape (pairs, 2): BLEU-2, 1. Tokens are divided by single spaces."""

    KEYS: ClassVar[tuple[str, ...]] = ("bleu_2",)
    INPUT: ClassVar[str] = "tokens"
    IN_DEFAULT: ClassVar[bool] = False

    @property
    def signature(self) -> str:
        return f"sentence_bleu|order:{ORDER}|smooth:method1|epsilon:{EPSILON:g}|level:mean|version:1"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        def score(pairs: Sequence[_pairs.Pair]) -> np.ndarray:
            return _mean.rows(_bleu(_words(hypothesis), _words(reference)) for hypothesis, reference in pairs)

        return _pairs.each_once(hypotheses, references, score)

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {"bleu_2": _mean.mean(sums)}


def _words(text: str) -> list[str]:
    return [word for word in text.split(" ") if word]


def _bleu(hypothesis: list[str], reference: list[str]) -> float:
    """0 where no word is shared."""
    logarithms = []
    for n in range(1, ORDER + 1):
        written, expected = _ngrams(hypothesis, n), _ngrams(reference, n)
        matches: float = (written & expected).total()
        if n == 1 and not matches:
            return 0.0
        logarithms.append(math.log((matches or EPSILON) / max(1, written.total())))
    brevity = min(0.0, 1 - len(reference) / len(hypothesis))
    return math.exp(brevity + sum(logarithms) / ORDER)


def _ngrams(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
