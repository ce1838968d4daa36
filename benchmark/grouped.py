"""From rows of additive statistics to values with intervals: of all studies, and of groups of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark import statistics
from benchmark.contracts import Metric
from benchmark.slices import FEW

Value = tuple[float, float | None, float | None]
"""A corpus value and the ends of its interval; None without draws."""

LEVEL = 0.95
"""Confidence level of the intervals."""
DIGITS = 6
"""Significant digits that are kept of a slice's values."""


@dataclass(frozen=True)
class GroupScores:
    """All values of a group of studies."""

    attribute: str
    """What a slice is a value of (`slices.Slice`); empty for all studies."""
    n: int
    n_patients: int
    n_patients_beside: int
    """Those of the studies that are not in the group; a patient with several may be on both sides."""
    metrics: Mapping[str, Value]
    """By key; none for a group without studies."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON types. `few`: too few studies to speak."""
        return {
            "attribute": self.attribute,
            "n": self.n,
            "n_patients": self.n_patients,
            "n_patients_beside": self.n_patients_beside,
            "few": self.n < FEW,
            "metrics": {
                key: dict(zip(("value", "low", "high"), map(_rounded, value), strict=True))
                for key, value in self.metrics.items()
            },
        }


def score(
    rows: Mapping[Metric, np.ndarray], patients: Sequence[str], groups: Iterable[np.ndarray], draws: int, seed: int
) -> list[GroupScores]:
    """Values of all studies, and of each group of places among them, with their intervals from the same draws.

    `rows` are of shape (studies, columns), `patients` names the patient of each study.
    """
    places = [np.arange(len(patients)), *groups]
    stacked = np.hstack([np.zeros((len(patients), 0)), *rows.values()])
    ends = np.cumsum([each.shape[1] for each in rows.values()])[:-1]
    drawn = statistics.bootstrap_groups(stacked, patients, places, draws, seed)
    found = []
    for group, sums in zip(places, drawn, strict=True):
        here = [patients[i] for i in group]
        beside = np.delete(np.asarray(patients), group)
        metrics: dict[str, Value] = {}
        if here and rows:
            clusters = statistics.effective_clusters(here)
            parts = zip(rows, np.split(stacked[group].sum(axis=0), ends), np.split(sums, ends, axis=1), strict=True)
            for metric, total, resampled in parts:
                metrics |= _values(metric, total, resampled, clusters)
        found.append(GroupScores("", len(here), len(set(here)), len(set(beside.tolist())), metrics))
    return found


def _values(metric: Metric, total: np.ndarray, resampled: np.ndarray, clusters: float) -> dict[str, Value]:
    corpus, drawn = metric.aggregate(total), metric.aggregate(resampled)
    found: dict[str, Value] = {}
    for key in metric.KEYS:
        low, high = statistics.interval(drawn[key], LEVEL, clusters) if len(resampled) else (None, None)
        found[key] = float(corpus[key]), low, high
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")
