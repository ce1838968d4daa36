"""Corpus BLEU-1 to BLEU-4 as the COCO caption evaluation counts it: closest reference length, no smoothing.

Papineni et al., ACL 2002; matches `pycocoevalcap.bleu` (its scorer's `option="closest"`).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from benchmark import contracts
from benchmark.metrics import _mean, _pairs

ORDER = 4
TINY, SMALL = 1e-15, 1e-9
"""Added by the COCO scorer to numerators and denominators so that nothing is divided by zero."""


class Metric(contracts.Metric):
    """Rows, shape (pairs, 10): matches (orders 1–4), n-grams written (1–4), words written, words of the reference.

    At level `mean`, the mean of each pair's own BLEU instead: rows, shape (pairs, 5): BLEU (orders 1–4), 1.
    """

    KEYS: ClassVar[tuple[str, ...]] = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")
    INPUT: ClassVar[str] = "tokens"

    def __init__(self, context: contracts.MetricContext, level: str = "corpus"):
        super().__init__(context)
        self.level = level

    @property
    def signature(self) -> str:
        version = importlib.metadata.version("pycocoevalcap")
        return f"bleu|order:{ORDER}|smooth:none|len:closest|level:{self.level}|impl:pycocoevalcap-{version}"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        rows = _pairs.each_once(hypotheses, references, _count)
        if self.level == "corpus":
            return rows
        return np.column_stack([*_bleu(rows), np.ones(len(rows))])

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        if self.level == "corpus":
            return dict(zip(self.KEYS, _bleu(sums), strict=True))
        return {key: _mean.mean(sums, column) for column, key in enumerate(self.KEYS)}


def _count(pairs: Sequence[_pairs.Pair]) -> np.ndarray:
    from pycocoevalcap.bleu.bleu_scorer import cook_refs, cook_test

    rows = np.zeros((len(pairs), 2 * ORDER + 2))
    for row, (hypothesis, reference) in zip(rows, pairs, strict=True):
        counts = cook_test(hypothesis, cook_refs([reference], n=ORDER), eff="closest", n=ORDER)
        row[:] = *counts["correct"], *counts["guess"], counts["testlen"], counts["reflen"]
    return rows


def _bleu(sums: np.ndarray) -> list[np.ndarray]:
    """BLEU-1 to BLEU-4 of summed counts.

    Brevity penalty exp(1 - reference length / length written) where less is written; 0 where nothing is.
    """
    matches, guesses = sums[..., :ORDER], sums[..., ORDER : 2 * ORDER]
    written, reference = sums[..., -2], sums[..., -1]
    precision = np.cumprod((matches + TINY) / (guesses + SMALL), axis=-1)
    ratio = (written + TINY) / (reference + SMALL)
    brevity = np.where(written > 0, np.exp(np.minimum(0.0, 1 - 1 / ratio)), 0.0)
    return [precision[..., k] ** (1 / (k + 1)) * brevity for k in range(ORDER)]
