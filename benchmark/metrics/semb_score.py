"""SembScore: similarity of CheXbert's vectors of two reports (Yu et al., Patterns 2023).

Matches CXR-Report-Metric: the cosine of BERT's last states of [CLS]. Needs CheXbert's weights (`bench fetch chexbert`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from benchmark import contracts
from benchmark.annotators.chexbert import CheXbert
from benchmark.annotators.once import annotate_once
from benchmark.metrics import _mean


class Metric(contracts.Metric):
    """Rows, shape (pairs, 2): similarity, 1. An empty text is like no other: 0."""

    KEYS: ClassVar[tuple[str, ...]] = ("semb_score",)
    INPUT: ClassVar[str] = "text"
    IN_DEFAULT: ClassVar[bool] = False
    FETCH: ClassVar[tuple[str, ...]] = ("chexbert",)

    @cached_property
    def annotator(self) -> CheXbert:
        """Raises Unavailable where its weights are not here."""
        return CheXbert(self.context)

    @property
    def signature(self) -> str:
        return f"semb_score|vector:{self.annotator.identity}|similarity:cosine|level:mean|empty:0"

    def rows(self, hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
        read = annotate_once(self.annotator, [*hypotheses, *references])
        vectors = {text: _unit(reading.vector) for text, reading in read.items()}
        pairs = zip(hypotheses, references, strict=True)
        return _mean.rows(vectors[h] @ vectors[r] if h in vectors and r in vectors else 0.0 for h, r in pairs)

    def aggregate(self, sums: np.ndarray) -> dict[str, np.ndarray]:
        return {"semb_score": _mean.mean(sums)}


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector.astype(float) / max(float(np.linalg.norm(vector.astype(float))), 1e-12)
