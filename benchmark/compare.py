"""Scored runs to paired tests: which differences between systems are more than chance.

Read are the rows that scoring left in the run folders, so nothing is scored again.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark import leaderboard, licence, paired, pairs, score
from benchmark.console import say
from benchmark.contracts import Metric, MetricContext
from benchmark.errors import UserError
from benchmark.registry import METRICS
from benchmark.schema import SECTIONS
from benchmark.scored_runs import ScoredRun, open_run
from benchmark.store import read_json


def refuse_unlike(runs: Sequence[ScoredRun], section: str) -> None:
    """Raises UserError where runs are not of the same studies or were not scored alike."""
    first = runs[0]
    for run in runs[1:]:
        both = f"{first.words} and {run.words}"
        if run.scores["fingerprint"] != first.scores["fingerprint"]:
            one, other = _data(first), _data(run)
            data = f"{one} and {other}" if one != other else f"two states of {one}"
            raise UserError(f"{both} are of different data: {data}. Run both on the same studies.")
        if run.signature(section) != first.signature(section):
            parts = zip(first.signature(section).split(" "), run.signature(section).split(" "), strict=False)
            odd = next((f"{a} and {b}" for a, b in parts if a != b), "one has more metrics")
            raise UserError(
                f"{both} were scored with different signatures in {section}: {odd}. Score both folders with the same "
                "options of `bench score`."
            )
        if run.studies(section) != first.studies(section):
            raise UserError(f"{both} hold rows of different studies in {section}. Run `bench score` on both folders.")


def _data(run: ScoredRun) -> str:
    return " ".join(str(run.record[key]) for key in ("dataset", "dataset_version", "split", "n")) + " studies"


def compare(
    runs: Sequence[ScoredRun],
    section: str,
    *,
    wanted: Collection[tuple[str, str]] | None = None,
    trials: int = paired.TRIALS,
    draws: int = paired.DRAWS,
    seed: int = paired.SEED,
) -> pairs.Group:
    """A group of `pairs.json`: the pairs of run ids that are `wanted` (else all), under all metrics.

    Raises UserError where the runs cannot be compared or the section has no scored study.
    """
    if len(runs) < 2:
        raise UserError("A comparison needs at least two runs.")
    refuse_unlike(runs, section)
    study_ids, patients = runs[0].studies(section)
    if not study_ids:
        raise UserError(f"No study has a reference in the section '{section}', so there is nothing to compare.")
    every = itertools.combinations(range(len(runs)), 2)
    places = [(i, j) for i, j in every if wanted is None or (runs[i].run_id, runs[j].run_id) in wanted]
    metrics = _metrics(_shared(runs, section))
    rows = [{name: run.rows(section, name) for name in metrics} for run in runs]
    tests = paired.paired_tests(metrics, rows, patients, places, trials, draws, seed)
    how = {"trials": trials, "draws": draws, "seed": seed}
    return {
        "section": section,
        "fingerprint": runs[0].scores["fingerprint"],
        "signature": runs[0].signature(section),
        "n": len(study_ids),
        "n_patients": len(set(patients)),
        "pairs": [
            {
                "a": runs[i].run_id,
                "b": runs[j].run_id,
                **how,
                "metrics": {key: test.to_dict() for key, test in by_key.items()},
            }
            for (i, j), by_key in tests.items()
        ],
    }


def _shared(runs: Sequence[ScoredRun], section: str) -> list[str]:
    """The metrics that all runs have alike: those of the protocol, and what users added to all."""
    first = runs[0].extra(section)
    return [
        name
        for name in runs[0].metrics(section)
        if all(name in run.metrics(section) and run.extra(section).get(name) == first.get(name) for run in runs)
    ]


def _metrics(names: Iterable[str]) -> dict[str, Metric]:
    """By name: as runs are scored with them, by the default protocol or, where it has none, as they are."""
    context = MetricContext()
    usual = {score.metric_name(metric): metric for metric in score.load_metrics(context)}
    return {name: usual.get(name) or METRICS.load(name.replace("_", "-"))(context) for name in names}


def corrected(group: Mapping[str, Any]) -> pairs.Group:
    """The group with `p_holm` beside each p: corrected for the pairs of the group, metric by metric."""
    adjusted = pairs.corrected({(pair["a"], pair["b"]): pair["metrics"] for pair in group["pairs"]})

    def shown(pair: Mapping[str, Any]) -> dict[str, Any]:
        p = adjusted[pair["a"], pair["b"]]
        return {**pair, "metrics": {key: {**test, "p_holm": p[key]} for key, test in pair["metrics"].items()}}

    return {**group, "pairs": [shown(pair) for pair in group["pairs"]]}


def keep(groups: Sequence[pairs.Group], runs: Sequence[ScoredRun], results: Path) -> Path | None:
    """Add comparisons of the runs to the `pairs.json` of their board, for the ranks of the leaderboard.

    Left out are pairs of runs without an aggregate there (limited or suppressed ones) and, where the data set keeps
    single values, sections of too few patients. Returns the file, or None where nothing is to be kept.
    """
    record = runs[0].record
    folder = results / "scores" / f"{record['dataset']}-{record['split']}"
    by_section = {group["section"]: group for group in groups}
    few = licence.suppressed(record["may_leave"], by_section)
    for section in few:
        say(f"{section}: fewer than {licence.MIN_PATIENTS} patients, so its comparisons are not kept.")
    kept = [group for section, group in by_section.items() if section not in few]
    return pairs.merge(folder, kept, lambda: _run_ids(folder))


def _run_ids(folder: Path) -> set[str]:
    return {str(entry["run_id"]) for entry in leaderboard.read_entries(folder)}


def refresh(results: Path, dataset: str, split: str) -> Path | None:
    """Compare all runs that a board shows and whose folders are here, and keep the tests in its `pairs.json`.

    `dataset` and `split` are as in result paths. Runs that were scored otherwise than the others are compared among
    themselves; a run with a control only with the same run without. Pairs whose tests are there already are not tested
    again. Returns the file, or None where no two runs can be compared.
    """
    folder = results / "scores" / f"{dataset}-{split}"
    known = pairs.read(folder)
    shown = {str(entry["run_id"]) for entry in leaderboard.newest_entries(leaderboard.read_entries(folder))}
    runs = []
    for path in sorted((results / "runs" / dataset / split).glob("*/*/run.json")):
        if path.parent.name in shown:
            try:
                runs.append(open_run(path.parent))
            except UserError as error:
                say(f"Not compared: {error}")
    for section in SECTIONS:
        alike: dict[tuple[str, str], list[ScoredRun]] = {}
        for run in runs:
            if run.scores["sections"].get(section, {}).get("metrics"):
                alike.setdefault((run.scores["fingerprint"], run.signature(section)), []).append(run)
        for (fingerprint, signature), members in alike.items():
            tested = known.tests.get((section, fingerprint, signature), {})
            new = {
                (a.run_id, b.run_id)
                for a, b in itertools.combinations(members, 2)
                if _of_interest(a, b) and not {(a.run_id, b.run_id), (b.run_id, a.run_id)} & tested.keys()
            }
            involved = [run for run in members if any(run.run_id in pair for pair in new)]
            if new and members[0].studies(section)[0]:
                keep([compare(involved, section, wanted=new)], involved, results)
    return pairs.merge(folder, [], lambda: _run_ids(folder))


def without_images(folder: Path) -> list[tuple[ScoredRun, ScoredRun]]:
    """Of a run, the pairs of what the system wrote from its own images and what it wrote under a control.

    One pair for a run with a control, one for each control of a run without; none where the other has not been scored.
    """
    run = open_run(folder)
    found = []
    for path in sorted(folder.parent.glob("*/run.json")):
        other = read_json(path)
        if _same_system(run.record, other) and bool(other["control"]) != bool(run.record["control"]):
            try:
                pair = (run, open_run(path.parent))
            except UserError:
                continue
            found.append(pair if other["control"] else pair[::-1])
    return found


def _of_interest(a: ScoredRun, b: ScoredRun) -> bool:
    """Systems with one another; a control with its own system, which is the grounding gap."""
    if not a.record["control"] and not b.record["control"]:
        return True
    return _same_system(a.record, b.record) and not (a.record["control"] and b.record["control"])


def _same_system(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two runs differ in their control alone, if at all."""
    return all(a[key] == b[key] for key in ("model", "checkpoint", "settings", "seed", "fingerprint"))
