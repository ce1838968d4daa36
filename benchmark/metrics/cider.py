"""CIDEr: n-grams weighed by how rare they are among the references (Vedantam et al., CVPR 2015).

Matches `pycocoevalcap.cider` (n = 1 to 4, sigma = 6, times 10), mean over studies.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from benchmark import contracts
from benchmark.metrics import _mean

ORDER = 4
SIGMA = 6.0


class Metric(contracts.Metric):
    """Rows, shape (pairs, 2): CIDEr of the pair, 1.

    Document frequencies are those of all references given, and rows keep them in slices and resamples. So a corpus of
    one pair scores 0: no n-gram is rarer than another.
    """

    KEYS: ClassVar[tuple[str, ...]] = ("cider",)
    INPUT: ClassVar[str] = "tokens"

    @property
    def signature(self) -> str:
        version = importlib.metadata.version("pycocoevalcap")
        return f"cider|order:{ORDER}|sigma:{SIGMA:g}|df:references|level:mean|impl:pycocoevalcap-{version}"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        from pycocoevalcap.cider.cider_scorer import CiderScorer

        scorer = CiderScorer(n=ORDER, sigma=SIGMA)
        for hypothesis, reference in zip(hypotheses, references, strict=True):
            scorer += (hypothesis, [reference])
        scorer.compute_doc_freq()
        return _mean.rows(scorer.compute_cider() if scorer.crefs else [])

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {"cider": _mean.mean(sums)}
