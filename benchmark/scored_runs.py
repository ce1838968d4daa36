"""Scored run folders: found by path, run id or model, and their rows of statistics by study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmark import provenance
from benchmark.errors import UserError
from benchmark.store import RunFolder, read_json, read_jsonl

SHORTEST_ID = 4
"""Characters of a run id that stand for the whole."""


@dataclass(frozen=True)
class ScoredRun:
    """A run folder whose predictions are scored as they are now."""

    folder: Path
    record: Mapping[str, Any]
    """Of `run.json`."""
    scores: Mapping[str, Any]
    """Of `scores.json`."""

    @property
    def run_id(self) -> str:
        return str(self.record["run_id"])

    @property
    def words(self) -> str:
        """Its name in tables and messages."""
        control = f", {self.record['control']}" if self.record["control"] else ""
        return f"{self.record['model']} ({self.run_id[:6]}{control})"

    def signature(self, section: str) -> str:
        """Raises UserError where the section was not scored."""
        if section not in self.scores["sections"]:
            raise UserError(f"{self.words} has no scores of the section '{section}'. {self.advice}")
        return str(self.scores["sections"][section]["signature"])

    def studies(self, section: str) -> tuple[list[str], list[str]]:
        """Ids and patients of the studies scored, in the order of their ids."""
        here = self._scored(section)
        return [line["study_id"] for line in here], [line["patient_id"] for line in here]

    def rows(self, section: str, metric: str) -> np.ndarray:
        """A metric's additive statistics, shape (studies scored, columns), in the order of `studies`."""
        return np.array([line[section]["rows"][metric] for line in self._scored(section)], dtype=float)

    def metrics(self, section: str) -> list[str]:
        """Names of the metrics that have rows."""
        here = self._scored(section)
        return list(here[0][section]["rows"]) if here else []

    def extra(self, section: str) -> dict[str, str]:
        """By name: the signatures of the metrics that the user added to those of the protocol."""
        metrics = self.scores["sections"].get(section, {}).get("metrics", {})
        return {m["metric"]: m["signature"] for m in metrics.values() if m.get("extra")}

    @property
    def advice(self) -> str:
        return f"Run `bench score {self.folder}`."

    def _scored(self, section: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get(section)]

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        lines = [line for _, line in read_jsonl(RunFolder(self.folder).per_study)]
        if not all("study_id" in line and "patient_id" in line for line in lines):
            raise UserError(f"{self.folder} was scored by an earlier version, which kept no patients. {self.advice}")
        return sorted(lines, key=lambda line: line["study_id"])


def open_run(folder: Path) -> ScoredRun:
    """Raises UserError where the folder is no run, or its predictions are not scored as they are now."""
    files = RunFolder(folder)
    if not files.record.exists():
        raise UserError(f"{folder} is no run folder: it has no run.json.")
    scores = read_json(files.scores) if files.scores.exists() and files.per_study.exists() else {}
    predictions = provenance.file_hash(files.predictions) if files.predictions.exists() else ""
    if not predictions or scores.get("predictions") != predictions:
        raise UserError(f"The predictions in {folder} are not scored as they are now. Run `bench score {folder}`.")
    return ScoredRun(folder, read_json(files.record), scores)


def find_run(name: str, results: Path) -> ScoredRun:
    """The run that a folder, the beginning of a run id, or the name of a model with a single run stands for.

    A model's name stands for its run without a control. Raises UserError where there is none or more than one.
    """
    if Path(name).is_dir():
        return open_run(Path(name))
    runs = results / "runs"
    folders = sorted(path.parent for path in runs.glob("*/*/*/*/run.json"))
    found = [folder for folder in folders if len(name) >= SHORTEST_ID and folder.name.startswith(name)]
    if not found:
        named = [folder for folder in folders if folder.parent.name == name]
        found = [folder for folder in named if not read_json(RunFolder(folder).record)["control"]]
    if not found:
        raise UserError(f"No run '{name}' under {runs}. Name a run folder, the beginning of a run id, or a model.")
    if len(found) > 1:
        shown = ", ".join(str(folder.relative_to(runs)) for folder in found[:6])
        raise UserError(f"'{name}' stands for {len(found)} runs ({shown}). Name one by its run id.")
    return open_run(found[0])
