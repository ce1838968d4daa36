"""The slices of an aggregate as they stand in its file: numbers in rows, under keys that are named once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ENDS = ("value", "low", "high")


def pack(slices: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`{"metrics": keys, "groups": {name: {…, "rows": [[value, low, high], …]}}}`; a row is None where a slice lacks
    the metric.
    """
    keys = list(dict.fromkeys(key for each in slices.values() for key in each["metrics"]))
    groups = {}
    for name, each in slices.items():
        found = [each["metrics"].get(key) for key in keys]
        rows = [metric and [metric[end] for end in ENDS] for metric in found]
        groups[name] = {**{key: value for key, value in each.items() if key != "metrics"}, "rows": rows}
    return {"metrics": keys, "groups": groups}


def unpack(packed: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What `pack` was given."""
    slices = {}
    for name, each in packed["groups"].items():
        found = zip(packed["metrics"], each["rows"], strict=True)
        metrics = {key: dict(zip(ENDS, row, strict=True)) for key, row in found if row is not None}
        slices[name] = {**{key: value for key, value in each.items() if key != "rows"}, "metrics": metrics}
    return slices
