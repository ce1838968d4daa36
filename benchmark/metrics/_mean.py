"""Metrics whose corpus value is the mean of one score a pair."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def rows(scores: Iterable[float]) -> np.ndarray:
    """Rows (score, 1), shape (pairs, 2)."""
    values = np.fromiter(scores, dtype=np.float64)
    return np.column_stack([values, np.ones_like(values)])


def mean(sums: np.ndarray, column: int = 0) -> np.ndarray:
    """A column of summed rows over their last column, which counts pairs; 0 where there are none."""
    total, count = sums[..., column], sums[..., -1]
    return np.divide(total, count, out=np.zeros_like(total, dtype=np.float64), where=count > 0)
