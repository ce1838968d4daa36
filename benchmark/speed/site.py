"""How long the pages of a large leaderboard take, and what they weigh."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import leaderboard, pairs
from benchmark.errors import UserError
from benchmark.site.build import RUNS, build
from benchmark.store import read_json, write_json


@dataclass(frozen=True)
class Measured:
    """Pages of one leaderboard."""

    runs: int
    pairs: int
    pages: int
    seconds: float
    processor_s: float
    """Of that, the time of the processor: what it takes on a machine that does nothing else."""
    first_kb: float
    """Of the first page with its style and script."""
    board_kb: float
    """Likewise of the leaderboard's own page."""
    largest_kb: float
    """Of the largest page."""


def measure(results: Path, runs: int, scratch: Path) -> Measured:
    """Build the pages of the first leaderboard of a results folder, enlarged to so many runs, in `scratch`.

    Studies are shown as for any leaderboard, of the runs whose folders are here. Raises UserError without any.
    """
    folders = leaderboard.folders(results)
    if not folders:
        raise UserError(f"No scores under {results / 'scores'} yet. Run `bench eval MODEL --split val` first.")
    enlarged = scratch / "results"
    n_pairs = enlarge(results, folders[0].name, enlarged, runs)
    began, worked = time.perf_counter(), time.process_time()
    built = build(enlarged, scratch / "site")
    seconds, processor = time.perf_counter() - began, time.process_time() - worked
    shared = sum((built.folder / name).stat().st_size for name in ("site.css", "site.js"))
    weights = {path: path.stat().st_size for path in built.folder.rglob("*.html")}
    first, board = built.folder / "index.html", built.folder / folders[0].name / "index.html"
    return Measured(
        runs,
        n_pairs,
        built.n_pages,
        seconds,
        processor,
        (weights[first] + shared) / 1000,
        (weights[board] + shared) / 1000,
        max(weights.values()) / 1000,
    )


def enlarge(results: Path, board: str, target: Path, runs: int, tested: int | None = None) -> int:
    """Copy a leaderboard to another results folder, its runs again and again under other names until there are `runs`.

    Every two of the first `tested` runs (else of all) get the tests of the first two, and the first ones copies of the
    run folders, as many as a page of studies shows. Returns how many pairs there are.
    """
    source = results / "scores" / board
    entries = [entry for entry in leaderboard.read_entries(source) if not entry["control"]]
    copies = [_copy(entries[i % len(entries)], i) for i in range(runs)]
    for copy in copies:
        write_json(target / "scores" / board / f"{copy['run_id']}.json", copy)
    for entry, copy in zip(entries * runs, copies[:RUNS], strict=False):
        _copy_run(results, target, entry, copy)
    ids = list(itertools.combinations([copy["run_id"] for copy in copies[:tested]], 2))
    known = read_json(source / pairs.NAME)["groups"] if (source / pairs.NAME).exists() else []
    groups = [{**group, "pairs": [{**group["pairs"][0], "a": a, "b": b} for a, b in ids]} for group in known]
    pairs.merge(target / "scores" / board, groups, lambda: {run_id for pair in ids for run_id in pair})
    return len(ids) if groups else 0


def _copy(entry: Mapping[str, Any], number: int) -> dict[str, Any]:
    name = f"{entry['model']}-{number:02}"
    return {**entry, "model": name, "run_id": f"{number:04}{entry['run_id'][4:]}", "checkpoint_name": name}


def _copy_run(results: Path, target: Path, entry: Mapping[str, Any], copy: Mapping[str, Any]) -> None:
    """The run's folder, where it is here."""
    for folder in (results / "runs").glob(f"*/*/*/{entry['run_id']}"):
        there = target / "runs" / folder.parent.parent.relative_to(results / "runs") / copy["model"] / copy["run_id"]
        shutil.copytree(folder, there)
        record = read_json(there / "run.json")
        write_json(there / "run.json", {**record, "model": copy["model"], "run_id": copy["run_id"]})
