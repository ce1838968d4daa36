"""Runs under several protocols: a table each, and how far the values of one run's texts lie apart.

Numbers of different protocols are never ranked with one another; within one, rows were not tested in pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark import leaderboard, pairs
from benchmark.ranking import RANKED_BY, Row, ranked
from benchmark.schema import SECTIONS

DEFAULT = "default"
"""The protocol that a leaderboard is made under."""

RANKING = (RANKED_BY, "bleu_4", "bleu_2")
"""By the first of these that a protocol has, its rows are ranked, else by the first of its metrics."""

EXPLANATION = (
    "The same reports under another protocol: its own cleaning, unit and metrics, so its numbers compare with nothing "
    "but each other. Places follow the value with the interval; ?: rows were not tested against one another."
)

Entry = Mapping[str, Any]


def sections(entry: Entry, protocol: str) -> Mapping[str, Any]:
    """An aggregate's scores by section under a protocol; none where it was not scored under it."""
    found: Mapping[str, Any] = (
        entry["sections"] if protocol == DEFAULT else entry.get("protocols", {}).get(protocol, {})
    )
    return found


def protocols(entries: Iterable[Entry]) -> list[str]:
    """The protocols that aggregates have scores under, `default` first."""
    return [DEFAULT, *sorted({name for entry in entries for name in entry.get("protocols", {})})]


@dataclass(frozen=True)
class Table:
    """One section under one protocol, best first."""

    section: str
    ranked_by: str
    """Key of a metric."""
    metrics: Sequence[str]
    """Keys of the others."""
    rows: Sequence[Row]
    """As those of a leaderboard, with the interval of what they are ranked by as `low` and `high`."""


def tables(entries: Sequence[Entry], protocol: str) -> list[Table]:
    """The sections that were scored under a protocol other than `default`."""
    found = []
    for section in SECTIONS:
        here = [
            (entry, sections(entry, protocol)[section]) for entry in entries if section in sections(entry, protocol)
        ]
        keys = _keys([scored for _, scored in here])
        by = next((key for key in (*RANKING, *keys) if key in keys), None)
        if by is not None:
            rows = [_row(entry, section, scored, keys, by) for entry, scored in here]
            others = [key for key in keys if key != by]
            found.append(Table(section, by, others, ranked(rows, pairs.Pairs({}), by)))
    return found


def _keys(scored: Iterable[Mapping[str, Any]]) -> list[str]:
    """The metrics that have a value and are better the more, in the order of leaderboards; then what is better less."""
    found = {key: metric for each in scored for key, metric in each["metrics"].items() if metric["value"] is not None}
    known = [key for key in leaderboard.METRICS if key in found]
    others = [key for key in found if key not in known]
    return sorted([*known, *others], key=lambda key: not found[key]["higher_is_better"])


def _row(entry: Entry, section: str, scored: Mapping[str, Any], keys: Sequence[str], by: str) -> Row:
    values = scored["metrics"]
    return {
        **{key: entry[key] for key in ("model", "preset", "run_id", "fingerprint", "date", "note")},
        "n_skipped": entry.get("n_skipped", 0),
        "distinct_reports": entry["reports"]["distinct_reports"],
        "section": section,
        "signature": scored["signature"],
        "n": scored["n"] - scored["n_unscored"],
        **{key: values.get(key, {}).get("value") for key in keys},
        **{end: values.get(by, {}).get(end) for end in ("low", "high")},
    }


def values(entry: Entry, section: str, key: str) -> dict[str, Mapping[str, Any]]:
    """By protocol: the metric of a run's section, with its interval, where it has a value."""
    found = {
        name: sections(entry, name).get(section, {}).get("metrics", {}).get(key, {}) for name in protocols([entry])
    }
    return {name: metric for name, metric in found.items() if metric.get("value") is not None}


def shared(entries: Sequence[Entry], section: str) -> list[str]:
    """The metrics that some run has under several protocols, in the order of leaderboards."""
    return [key for key in leaderboard.METRICS if any(len(values(entry, section, key)) > 1 for entry in entries)]
