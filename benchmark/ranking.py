"""Rows of a leaderboard to places.

A new place begins where every row above differs from every row from there on, by a paired test (`pairs.json`) whose p,
after Holm's correction for all tested pairs of the ranked rows, is below ALPHA; the rank is 1 plus the number of rows
in the places above (the clusters of Koehn, IWSLT 2012). So a row in between that differs from neither holds two in one
place that differ from each other: `beats` counts the rows that one is tested to be better than. Rows that were not
tested against one another stand in places of their own unless their values are equal, and `rank_basis` says `untested`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from benchmark import pairs, statistics
from benchmark.schema import SECTIONS

RANKED_BY = "cider"
"""CIDEr, because it weighs what is rare: a constant report gets little of it, while its BLEU can pass for a model's."""

ALPHA = 0.05
"""Two rows differ where the corrected p of their test is below this."""

Row = dict[str, Any]


def group(row: Row) -> pairs.Key:
    return row["section"], row["fingerprint"], row["signature"]


def ranked(rows: Iterable[Row], tests: pairs.Pairs, by: str = RANKED_BY) -> list[Row]:
    """Rows by section and score. Only rows of the newest data and signatures are ranked; what differs says so.

    `by` is the key of a metric of which more is better.
    """
    ordered: list[Row] = []
    rows = list(rows)
    for section in SECTIONS:
        here = [row for row in rows if row["section"] == section]
        if not here:
            continue
        latest = max(here, key=_standing)
        reasons = [_why_not_ranked(row, latest, by) for row in here]
        alike = [row for row, reason in zip(here, reasons, strict=True) if not reason]
        ordered += _placed(sorted(alike, key=partial(_worst_last, by=by)), tests, by)
        others = [(row, reason) for row, reason in zip(here, reasons, strict=True) if reason]
        for row, reason in sorted(others, key=lambda pair: _worst_last(pair[0], by)):
            note = "; ".join(filter(None, (row["note"], f"not ranked: {reason}")))
            ordered.append({**row, "rank": None, "note": note})
    return ordered


def _placed(rows: Sequence[Row], tests: pairs.Pairs, by: str) -> list[Row]:
    """The rows, best first, with `rank`, `rank_basis` and `beats` (see the head of this file)."""
    p = {}
    for i, j in itertools.combinations(range(len(rows)), 2):
        test = tests.find(group(rows[i]), rows[i]["run_id"], rows[j]["run_id"], by)
        if test is not None:
            p[i, j] = test["p"]
    corrected = dict(zip(p, statistics.holm(list(p.values())), strict=True))

    def apart(i: int, j: int) -> bool:
        return rows[i][by] != rows[j][by] and corrected.get((i, j), 0.0) < ALPHA

    placed: list[Row] = []
    for k, row in enumerate(rows):
        begins = all(apart(i, j) for i in range(k) for j in range(k, len(rows)))
        tested = all((min(i, k), max(i, k)) in p for i in range(len(rows)) if i != k)
        rank = k + 1 if begins else placed[-1]["rank"]
        beats = sum(apart(k, j) for j in range(k + 1, len(rows)) if (k, j) in p)
        placed.append({**row, "rank": rank, "rank_basis": "tested" if tested else "untested", "beats": beats})
    return placed


def _standing(row: Row) -> tuple[bool, bool, str, str]:
    """The row that is greatest says which data and signatures are ranked: the newest that is whole."""
    return not row["n_skipped"], ":unavailable" not in row["signature"], row["date"], row["run_id"]


def _why_not_ranked(row: Row, latest: Row, by: str) -> str:
    if row["n_skipped"]:
        return f"{row['n_skipped']} studies skipped"
    if row["fingerprint"] != latest["fingerprint"]:
        return "other data"
    if row["signature"] != latest["signature"]:
        return "other signatures"
    return f"no {by}" if row[by] is None else ""


def _worst_last(row: Row, by: str) -> tuple[float, str]:
    value = row[by]
    return (float("inf") if value is None else -value, row["model"])
