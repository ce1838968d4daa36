"""Paired tests of systems, from the additive rows that metrics left."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmark import statistics
from benchmark.contracts import Metric

TRIALS = 10_000
"""Of the randomisation: the smallest p is 1 / 10,001."""
DRAWS = 1000
"""Of the bootstrap."""
SEED = 0
DIGITS = 6
"""Significant digits that are kept."""


@dataclass(frozen=True)
class Test:
    """System a against system b under one value of a metric."""

    difference: float
    """a's corpus value less b's."""
    low: float
    high: float
    """Ends of its 95 % interval, patients resampled."""
    p: float
    """Two-sided, of paired approximate randomisation; not corrected for the number of pairs."""
    p_bootstrap: float
    """Two-sided, of the paired bootstrap; not corrected either."""
    effect: float | None
    """The difference in standard deviations of one patient's part in it (`statistics.effect_size`)."""
    wins: float
    losses: float
    """Shares of studies whose own value is better, or worse, for a than for b."""

    def to_dict(self) -> dict[str, float | None]:
        return {key: None if x is None else float(f"{x:.{DIGITS}g}") for key, x in asdict(self).items()}


@dataclass(frozen=True)
class _System:
    """What tests need of one system's rows under one metric."""

    total: np.ndarray
    """Summed rows, shape (columns,)."""
    signed: np.ndarray
    """Shape (trials, columns), of `statistics.signed`."""
    value: Mapping[str, np.ndarray]
    """By key, like the two below: the corpus value."""
    drawn: Mapping[str, np.ndarray]
    """Values of resampled corpora, shape (draws,)."""
    own: Mapping[str, np.ndarray]
    """Each study's own value, shape (studies,)."""


def paired_tests(
    metrics: Mapping[str, Metric],
    systems: Sequence[Mapping[str, np.ndarray]],
    patients: Sequence[str],
    pairs: Collection[tuple[int, int]],
    trials: int = TRIALS,
    draws: int = DRAWS,
    seed: int = SEED,
) -> dict[tuple[int, int], dict[str, Test]]:
    """Tests by pair of systems (places in `systems`) and by the metrics' keys.

    A system is its rows by metric, shape (studies, columns), of the same studies in the same order for all; `patients`
    names the patient of each. Whole patients are drawn and swapped, the same for all systems and metrics.
    """
    # One matrix product for everything: drawing the patients costs more than summing their rows.
    stacked = np.hstack([system[name] for system in systems for name in metrics])
    signed = iter(_split(statistics.signed(stacked, patients, trials, seed), metrics, systems))
    drawn = iter(_split(statistics.bootstrap(stacked, patients, draws, seed), metrics, systems))
    prepared = [
        {name: _prepare(metric, rows[name], next(signed), next(drawn)) for name, metric in metrics.items()}
        for rows in systems
    ]
    clusters = statistics.effective_clusters(patients)
    found: dict[tuple[int, int], dict[str, Test]] = {}
    for a, b in pairs:
        found[a, b] = {}
        for name, metric in metrics.items():
            found[a, b].update(_tests(metric, prepared[a][name], prepared[b][name], patients, clusters))
    return found


def _prepare(metric: Metric, rows: np.ndarray, signed: np.ndarray, drawn: np.ndarray) -> _System:
    total = rows.sum(axis=0)
    return _System(total, signed, metric.aggregate(total), metric.aggregate(drawn), metric.aggregate(rows))


def _split(sums: np.ndarray, metrics: Iterable[str], systems: Sequence[Mapping[str, np.ndarray]]) -> list[np.ndarray]:
    """Columns of summed rows as they were stacked: by system, then by metric."""
    widths = [system[name].shape[1] for system in systems for name in metrics]
    return np.split(sums, np.cumsum(widths)[:-1], axis=-1)


def _tests(metric: Metric, a: _System, b: _System, patients: Sequence[str], clusters: float) -> dict[str, Test]:
    swapped_a, swapped_b = map(metric.aggregate, statistics.swapped(a.total, b.total, a.signed, b.signed))
    found = {}
    for key in metric.KEYS:
        value_a, value_b = float(a.value[key]), float(b.value[key])
        differences = a.drawn[key] - b.drawn[key]
        low, high = statistics.interval(differences, clusters=clusters)
        better = (a.own[key] - b.own[key]) * (1 if metric.HIGHER_IS_BETTER else -1)
        found[key] = Test(
            difference=value_a - value_b,
            low=low,
            high=high,
            p=statistics.randomisation_p(value_a, value_b, swapped_a[key], swapped_b[key]),
            p_bootstrap=statistics.bootstrap_p(differences),
            effect=statistics.effect_size(value_a - value_b, differences, patients),
            wins=float(np.mean(better > 0)),
            losses=float(np.mean(better < 0)),
        )
    return found
