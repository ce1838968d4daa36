"""`results/scores/<board>/pairs.json`: what paired tests found, so that a leaderboard needs no study-level file.

    {"groups": [{"section", "fingerprint", "signature", "n", "n_patients",
                 "pairs": [{"a", "b", "trials", "draws", "seed", "metrics": {key: {"difference", "p", …}}}]}]}

A group is what may be compared: one section, one fingerprint of the data, one signature. `a` and `b` are run ids;
`compare.Test` says what stands under a metric. p-values are not corrected here: the correction is for the pairs that a
table shows, and whoever shows one makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import statistics
from benchmark.errors import UserError
from benchmark.store import in_turn, read_json, write_json

NAME = "pairs.json"

Group = dict[str, Any]
Key = tuple[str, str, str]
"""Section, fingerprint and signature."""
Ids = tuple[str, str]
"""The run ids of a pair."""


@dataclass(frozen=True)
class Pairs:
    """The tests of one board by what was compared."""

    tests: Mapping[Key, Mapping[Ids, Mapping[str, Any]]]
    """By group and the run ids (a, b): the tests by metric."""

    def find(self, key: Key, a: str, b: str, metric: str) -> Mapping[str, Any] | None:
        """The test of `a` against `b`, in that order, or None where they were not compared."""
        here = self.tests.get(key, {})
        if (a, b) in here:
            return here[a, b].get(metric)
        test = here.get((b, a), {}).get(metric)
        return reversed_test(test) if test else None


def reversed_test(test: Mapping[str, Any]) -> dict[str, Any]:
    """The test of b against a, from that of a against b."""
    effect = test["effect"]
    return {
        **test,
        "difference": -test["difference"],
        "low": -test["high"],
        "high": -test["low"],
        "effect": None if effect is None else -effect,
        "wins": test["losses"],
        "losses": test["wins"],
    }


def corrected(
    tests: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]],
) -> dict[tuple[str, str], dict[str, float]]:
    """By pair and metric: p after Holm's correction for all of the pairs that were tested under that metric."""
    found: dict[Ids, dict[str, float]] = {ids: {} for ids in tests}
    for key in dict.fromkeys(key for by_key in tests.values() for key in by_key):
        p = {ids: by_key[key]["p"] for ids, by_key in tests.items() if key in by_key}
        for ids, adjusted in zip(p, statistics.holm(list(p.values())), strict=True):
            found[ids][key] = adjusted
    return found


def read(folder: Path) -> Pairs:
    """The tests of a board's folder; none where there is no file. Raises UserError for a damaged one."""
    path = folder / NAME
    try:
        return Pairs(
            {
                _key(group): {(pair["a"], pair["b"]): pair["metrics"] for pair in group["pairs"]}
                for group in _groups(path)
            }
        )
    except (KeyError, TypeError):
        raise UserError(f"{path} holds no comparisons. Remove it, and run `bench compare` again.") from None


def merge(folder: Path, new: Iterable[Group], run_ids: Callable[[], Collection[str]]) -> Path | None:
    """Add groups to a board's file; a pair that is compared again takes the place of the older comparison.

    Only pairs of `run_ids` are kept, the runs whose aggregates stand in `folder`: asked for while no other process
    writes the file, so that none drops what another has just added. Returns the file, or None where there is nothing to
    write.
    """
    with in_turn(folder.parents[1] / f".{folder.name}.lock"):
        return _merge(folder, new, set(run_ids()))


def _merge(folder: Path, new: Iterable[Group], run_ids: set[str]) -> Path | None:
    read(folder)  # A damaged file is not overwritten.
    groups: dict[Key, Group] = {}
    for group in (*_groups(folder / NAME), *new):
        known = groups.get(_key(group), {"pairs": []})["pairs"]
        merged = {frozenset((pair["a"], pair["b"])): pair for pair in (*known, *group["pairs"])}
        kept = [pair for ids, pair in merged.items() if len(ids) == 2 and ids <= run_ids]
        groups[_key(group)] = {**group, "pairs": sorted(kept, key=lambda pair: (pair["a"], pair["b"]))}
    filled = [group for _, group in sorted(groups.items()) if group["pairs"]]
    if not filled and not (folder / NAME).exists():
        return None
    write_json(folder / NAME, {"groups": filled}, dense=True)
    return folder / NAME


def _groups(path: Path) -> list[Group]:
    groups: list[Group] = read_json(path).get("groups", []) if path.exists() else []
    return groups


def _key(group: Mapping[str, Any]) -> Key:
    return group["section"], group["fingerprint"], group["signature"]
