"""Bootstrap intervals from rows of additive statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BLOCK = 200
"""Draws made at a time, so that memory does not grow with their number."""


def bootstrap(rows: np.ndarray, clusters: Sequence[str], draws: int, seed: int) -> np.ndarray:
    """Summed rows of resampled corpora, shape (draws, columns).

    Whole clusters are drawn with replacement, as many as there are, because the studies of one patient are not
    independent (the cluster bootstrap: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section
    3.8). A draw is how often each cluster was taken, which is multinomial, so all sums are one matrix product.

    `rows` has shape (studies, columns), `clusters` names the patient of each study. The same clusters and seed give the
    same draws for any rows, so values of two models differ draw by draw. No rows give sums of 0.
    """
    if len(rows) != len(clusters):
        raise ValueError(f"{len(rows)} rows, but {len(clusters)} clusters")
    sums = np.zeros((draws, rows.shape[1]))
    if not len(rows):
        return sums
    names, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    by_cluster = np.zeros((len(names), rows.shape[1]))
    np.add.at(by_cluster, index, rows)
    generator = np.random.default_rng(seed)
    chances = np.full(len(names), 1 / len(names))
    for start in range(0, draws, BLOCK):
        taken = generator.multinomial(len(names), chances, size=min(BLOCK, draws - start))
        sums[start : start + BLOCK] = taken @ by_cluster
    return sums


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval (Efron, 1981): ends of the middle `level` of bootstrap values, shape (draws,).

    Raises ValueError for a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    tail = (1 - level) / 2
    low, high = np.quantile(np.asarray(values, dtype=float), [tail, 1 - tail])
    return float(low), float(high)
