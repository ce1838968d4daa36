"""Trainings that differ in their seed alone: the mean of their scores, and how far they lie apart."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmark.provenance import digest

IDENTITY = ("model", "preset", "settings_id", "seed", "control", "fingerprint", "image_fingerprint")
"""Of an aggregate: what runs of one configuration share. `seed` is generation's."""


def spread(entries: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """By run id and section: `seeds`, how many trainings of the run's configuration there are, and where there are
    several `<key>_mean` and `<key>_deviation` (of the sample, n - 1) of each metric that all of them have.
    """
    alike: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries:
        alike[_configuration(entry)].append(entry)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for runs in alike.values():
        for section in runs[0]["sections"]:
            told = _of_section([run["sections"].get(section, {}) for run in runs], keys)
            found |= {(run["run_id"], section): {"seeds": len(runs), **told} for run in runs}
    return found


def _of_section(sections: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, float]:
    """Nothing where the values are of unlike signatures, or of one training."""
    if len(sections) < 2 or len({section.get("signature") for section in sections}) > 1:
        return {}
    found: dict[str, float] = {}
    for key in keys:
        values = [section["metrics"].get(key, {}).get("value") for section in sections]
        if None not in values:
            found |= {f"{key}_mean": statistics.fmean(values), f"{key}_deviation": statistics.stdev(values)}
    return found


def _configuration(entry: Mapping[str, Any]) -> str:
    """A submitted run is a configuration of its own: nobody knows how it was trained."""
    trained = entry.get("trained_on") or {}
    if entry.get("submitted") or "seed" not in trained:
        return str(entry["run_id"])
    return digest([*(entry[key] for key in IDENTITY), {k: v for k, v in trained.items() if k != "seed"}])
