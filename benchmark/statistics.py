"""Intervals and paired tests from rows of additive statistics, patients taken whole.

The studies of one patient are not independent: a pacemaker or an effusion stands in all of them, and a model that reads
it wrongly once does so each time. So the bootstrap draws patients and the randomisation swaps patients, never studies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

BLOCK = 200
"""Draws made at a time, so that memory does not grow with their number."""

SAME = 1e-10
"""Two values of a metric that differ by less than this share of their size differ by rounding alone."""


def bootstrap(rows: np.ndarray, clusters: Sequence[str], draws: int, seed: int) -> np.ndarray:
    """Summed rows of resampled corpora, shape (draws, columns).

    Whole clusters are drawn with replacement, as many as there are (the cluster bootstrap: Davison and Hinkley,
    Bootstrap Methods and their Application, 1997, section 3.8). A draw is how often each cluster was taken, which is
    multinomial, so all sums are one matrix product.

    `rows` has shape (studies, columns), `clusters` names the patient of each study. The same clusters and seed give the
    same draws for any rows, so values of two models differ draw by draw. No rows give sums of 0.
    """
    (sums,) = bootstrap_groups(rows, clusters, [np.arange(len(rows))], draws, seed)
    return sums if len(rows) else np.zeros((draws, rows.shape[1]))


def bootstrap_groups(
    rows: np.ndarray, clusters: Sequence[str], groups: Sequence[np.ndarray], draws: int, seed: int
) -> list[np.ndarray]:
    """`bootstrap` for groups of the studies, from the draws of the whole: for each group shape (draws, columns).

    A group is places of rows. The size of a group varies from draw to draw as it would from sample to sample; draws
    that hold none of its clusters say nothing of it and are left out, so that a small group can have fewer.
    """
    if len(rows) != len(clusters):
        raise ValueError(f"{len(rows)} rows, but {len(clusters)} clusters")
    names, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    parts = [_summed(rows[group], index[group]) for group in groups]
    sums: list[list[np.ndarray]] = [[np.zeros((0, rows.shape[1]))] for _ in groups]
    generator = np.random.default_rng(seed)
    chances = np.full(len(names), 1 / max(len(names), 1))
    for size in _blocks(draws) if len(names) else ():
        taken = np.ascontiguousarray(generator.multinomial(len(names), chances, size=size).T, dtype=float)
        for found, (members, by_cluster) in zip(sums, parts, strict=True):
            times = taken[members]
            found.append((times.T @ by_cluster)[times.any(axis=0)])
    return [np.vstack(found) for found in sums]


def signed(rows: np.ndarray, clusters: Sequence[str], trials: int, seed: int) -> np.ndarray:
    """Summed rows where each cluster counts as plus or minus itself by a fair coin, shape (trials, columns).

    The same clusters and seed give the same coins for any rows, so `swapped` makes all pairs of many systems from one
    matrix product a system. Shapes are those of `bootstrap`.
    """
    by_cluster = _by_cluster(rows, clusters)
    generator = np.random.default_rng(seed)
    blocks = [np.zeros((0, rows.shape[1]))]
    for size in _blocks(trials):
        coins = generator.integers(0, 2, size=(size, len(by_cluster)), dtype=np.int8)
        blocks.append((2.0 * coins - 1) @ by_cluster)
    return np.vstack(blocks)


def swapped(a: np.ndarray, b: np.ndarray, signed_a: np.ndarray, signed_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Summed rows of two systems after their outputs were swapped for the clusters whose coin fell so.

    `a` and `b` are the sums as they are, shape (columns,); `signed_a` and `signed_b` come from `signed`. Both results
    have shape (trials, columns).
    """
    middle, half = (a + b) / 2, (signed_a - signed_b) / 2
    return middle + half, middle - half


def randomisation_p(a: float, b: float, swapped_a: np.ndarray, swapped_b: np.ndarray) -> float:
    """Two-sided p of paired approximate randomisation (Noreen, 1989): (count + 1) / (trials + 1), never 0.

    Counted are the trials, shape (trials,), whose difference is at least that of `a` and `b`. The hypothesis is that it
    is chance which system wrote which of a patient's two sets of reports.
    """
    least = abs(a - b) - SAME * max(abs(a), abs(b))
    count = int(np.count_nonzero(np.abs(swapped_a - swapped_b) >= least))
    return (count + 1) / (len(swapped_a) + 1)


def bootstrap_p(differences: np.ndarray) -> float:
    """Two-sided p of the paired bootstrap, shape (draws,): twice the share of differences beyond 0, never 0."""
    beyond = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return min(1.0, 2 * (int(beyond) + 1) / (len(differences) + 1))


def effect_size(difference: float, differences: np.ndarray, clusters: Sequence[str]) -> float | None:
    """The difference in standard deviations of one patient's part in it, like Cohen's d for pairs.

    The deviation is that of the bootstrap's `differences`, shape (draws,), times the root of the number of clusters;
    unlike p it does not grow with the size of the corpus. None where all draws are alike and the difference is not 0.
    """
    deviation = float(np.std(differences)) * math.sqrt(len(set(clusters)))
    if deviation > SAME * abs(difference):
        return difference / deviation
    return None if difference else 0.0


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm, 1979): below α they reject with a family-wise error of at most α."""
    adjusted, least = [1.0] * len(p), 0.0
    for place, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        least = max(least, min(1.0, (len(p) - place) * p[i]))
        adjusted[i] = least
    return adjusted


def effective_clusters(clusters: Sequence[str]) -> float:
    """How many clusters of equal size are worth these (Kish, Survey Sampling, 1965); 0 where there are none.

    `clusters` names the patient of each study. One patient with most of the studies leaves little to resample.
    """
    sizes = np.unique(np.asarray(clusters, dtype=str), return_counts=True)[1].astype(float)
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0


def interval(values: np.ndarray, level: float = 0.95, clusters: float = math.inf) -> tuple[float, float]:
    """Ends of the middle `level` of bootstrap values, shape (draws,), the tails made thinner for few clusters.

    The plain percentile interval is too narrow for few clusters, as a normal interval is beside Student's. `clusters`
    (see `effective_clusters`) widens it as Hesterberg does (What Teachers Should Know About the Bootstrap, 2015,
    section 5.3: the expanded percentile interval); with one it is all that was drawn. Raises ValueError for a level
    outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    tail = _expanded((1 - level) / 2, clusters)
    low, high = np.quantile(np.asarray(values, dtype=float), [tail, 1 - tail])
    return float(low), float(high)


def _expanded(tail: float, clusters: float) -> float:
    from scipy.special import ndtr, stdtrit

    if math.isinf(clusters):
        return tail
    if clusters <= 1:
        return 0.0
    return float(ndtr(math.sqrt(clusters / (clusters - 1)) * stdtrit(clusters - 1, tail)))


def _by_cluster(rows: np.ndarray, clusters: Sequence[str]) -> np.ndarray:
    """Rows summed within each cluster, in the order of their names; shape (clusters, columns)."""
    if len(rows) != len(clusters):
        raise ValueError(f"{len(rows)} rows, but {len(clusters)} clusters")
    return _summed(rows, np.unique(np.asarray(clusters, dtype=str), return_inverse=True)[1])[1]


def _summed(rows: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different numbers in `index`, ascending, and the rows summed for each; shape (numbers, columns)."""
    numbers, places = np.unique(index, return_inverse=True)
    sums = np.zeros((len(numbers), rows.shape[1]))
    np.add.at(sums, places, rows)
    return numbers, sums


def _blocks(total: int) -> Iterator[int]:
    for start in range(0, total, BLOCK):
        yield min(BLOCK, total - start)
