"""The command compare: which differences between runs are more than chance."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from benchmark import config
from benchmark.cli._app import app
from benchmark.cli._options import AsJson
from benchmark.console import say, table
from benchmark.errors import UserError, unknown
from benchmark.schema import SECTIONS

CAPTION = (
    "difference: the first run less the second, with its 95 % interval (patients resampled). p: paired approximate "
    "randomisation, patients swapped whole, two-sided; Holm: corrected for the pairs of this table, metric by metric. "
    "effect: the difference in standard deviations of one patient's part in it. better, worse: share of studies where "
    "the first run's own value is so."
)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(help="Run folders, beginnings of run ids, or models with one run.")],
    section: Annotated[str, typer.Option("--section", help="findings, impression or report.")] = "report",
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Such as cider; else all. Repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Test runs of the same studies against one another, pair by pair, and keep the tests for the leaderboard."""
    from benchmark import compare as stage
    from benchmark.scored_runs import find_run

    if section not in SECTIONS:
        raise UserError(f"--section takes {', '.join(SECTIONS)}, not '{section}'.")
    results = config.results_folder()
    found = [find_run(name, results) for name in runs]
    group = stage.compare(found, section)
    kept = stage.keep([group], found, results)
    shown = _chosen(stage.corrected(group), metric)
    if as_json:
        names = [{key: run.record[key] for key in ("run_id", "model", "preset", "control")} for run in found]
        print(json.dumps({**shown, "runs": names}, indent=1, ensure_ascii=False))
    else:
        _print(shown, {run.run_id: run.words for run in found})
    if kept is not None:
        say(f"Kept in {kept}; `bench leaderboard` reads it.")


def _chosen(group: dict[str, Any], keys: list[str] | None) -> dict[str, Any]:
    """The group with the metrics named alone. Raises UserError for one that the runs were not scored with."""
    known = group["pairs"][0]["metrics"]
    for key in keys or ():
        if key not in known:
            raise unknown("metric", key, known)
    chosen = [{**p, "metrics": {key: p["metrics"][key] for key in keys or known}} for p in group["pairs"]]
    return {**group, "pairs": chosen}


def _print(group: dict[str, Any], words: dict[str, str]) -> None:
    rows = [
        {
            "metric": key,
            "run": words[pair["a"]],
            "against": words[pair["b"]],
            "difference": f"{test['difference']:+.4f}",
            "95 % interval": f"{test['low']:+.4f} to {test['high']:+.4f}",
            "p": f"{test['p']:.4f}",
            "Holm": f"{test['p_holm']:.4f}",
            "effect": "" if test["effect"] is None else f"{test['effect']:+.2f}",
            "better": f"{test['wins']:.0%}",
            "worse": f"{test['losses']:.0%}",
        }
        for key in group["pairs"][0]["metrics"]
        for pair in group["pairs"]
        for test in (pair["metrics"][key],)
    ]
    words_of = {"metric", "run", "against"}
    columns = {name: "left" if name in words_of else "right" for name in rows[0]}
    table(f"{group['section']}: {group['n']} studies of {group['n_patients']} patients", columns, rows, CAPTION)
