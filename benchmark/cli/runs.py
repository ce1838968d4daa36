"""Commands about scored runs: submit and slices; and what is said when a run has been scored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark import config
from benchmark.cli._app import app, end
from benchmark.cli._options import (
    AsJson,
    DataOptions,
    ExtraMetrics,
    MetricOptions,
    Missing,
    Protocols,
    Split,
    check_metrics,
    check_protocols,
    grouped,
)
from benchmark.cli._tables import print_kept, print_scores
from benchmark.cli.label import print_accuracy
from benchmark.console import say, table
from benchmark.errors import UserError, unknown

if TYPE_CHECKING:
    from benchmark import rescore
    from benchmark.contracts import Dataset
    from benchmark.scored_runs import ScoredRun
    from benchmark.store import RunFolder

SHOWN = ("bleu_4", "meteor", "rouge_l", "cider", "bertscore_f1", "label_f1_micro_14")
"""Values in tables where none are named."""


@dataclass(frozen=True)
class CardOptions:
    """What a submission declares of itself."""

    card: Annotated[Path | None, typer.Option("--card", help="JSON file of what the options below say.")] = None
    paper: Annotated[str | None, typer.Option("--paper")] = None
    url: Annotated[str | None, typer.Option("--url")] = None
    views: Annotated[int | None, typer.Option("--views", min=0, help="Images of a study that it reads.")] = None
    uses: Annotated[
        str | None, typer.Option("--uses", help="What else it is given, divided by commas: indication,prior.")
    ] = None
    trained_on: Annotated[str | None, typer.Option("--trained-on", help="In words.")] = None
    parameters: Annotated[int | None, typer.Option("--parameters", min=0)] = None
    seconds_per_report: Annotated[float | None, typer.Option("--seconds-per-report", min=0)] = None
    peak_memory_mb: Annotated[float | None, typer.Option("--peak-memory-mb", min=0)] = None
    note: Annotated[str | None, typer.Option("--note", help="What a reader of its row must know.")] = None

    def given(self) -> dict[str, Any]:
        found = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "card"}
        uses = None if self.uses is None else [word.strip() for word in self.uses.split(",") if word.strip()]
        return {**found, "uses": uses}


@app.command()
@grouped
def submit(
    predictions: Annotated[Path, typer.Argument(help="Reports by study id: CSV, JSONL, JSON as of ReXrank, …")],
    name: Annotated[str, typer.Option("--name", help="Of the system, as it shall stand on the leaderboard.")],
    source: DataOptions,
    scoring: MetricOptions,
    about: CardOptions,
    split: Split = "test",
    section: Annotated[
        str, typer.Option("--section", help="What texts without headings are: findings, impression or report.")
    ] = "",
    missing: Missing = "fail",
    metric: ExtraMetrics = None,
    protocol: Protocols = "",
    as_json: AsJson = False,
) -> None:
    """Make a run of reports that another program wrote: scored, with a card and a row of the leaderboard."""
    from benchmark import evaluate, rescore
    from benchmark import submit as stage

    results, extra, names = config.results_folder(), check_metrics(metric), check_protocols(protocol)
    if source.dataset is None:
        raise UserError("Say with --dataset which data the reports are of.")
    card = stage.Card.read(about.card, about.given())
    submission = stage.Submission(predictions, name, section, missing, card)
    data = source.open()
    folder, selection = stage.submit(submission, data, split, results)
    context = scoring.context()
    scores = evaluate.score_run(folder, selection, results, context, extra=extra)
    scores, refused = under_protocols(scores, folder, data, results, rescore.Order(names, context=context))
    conclude(folder.path, scores, results, as_json)
    say("Its row: `bench leaderboard`.")
    end(refused)


def under_protocols(
    scores: dict[str, Any], folder: RunFolder, dataset: Dataset, results: Path, order: rescore.Order
) -> tuple[dict[str, Any], int]:
    """A run's scores with those under further protocols, and how many of these refused, which is said."""
    from benchmark import rescore

    if not order.protocols:
        return scores, 0
    scores, refused = rescore.keep_protocols(folder, dataset, results, order)
    for reason in refused:
        say(f"Not kept: {reason}")
    return scores, len(refused)


def conclude(folder: Path, scores: Mapping[str, Any], results: Path, as_json: bool) -> None:
    """Tell what scoring a run found, what the system loses without its images, and bring the comparisons up to date."""
    from benchmark import compare
    from benchmark.scored_runs import open_run

    run = open_run(folder)
    gaps = [
        {"control": other.record["control"], "run_id": other.run_id, "sections": _gaps(own, other)}
        for own, other in compare.without_images(folder)
    ]
    if as_json:
        print(json.dumps({**scores, "without_images": gaps}, indent=1, ensure_ascii=False))
    else:
        print_scores(f"{run.words} on {run.record['dataset']}-{run.record['split']}", scores["sections"])
        print_truth(scores)
        if scores.get("protocols"):
            print_kept(f"{run.words} under other protocols", scores["protocols"])
        for gap in gaps:
            _print_gap(run, gap["control"], gap["sections"])
    say(f"Run: {folder}")
    if run.record["control"] and not gaps:
        say(
            f"What the scores lose under {run.record['control']} is told beside the run with the images: run the same "
            "`bench eval` without --control."
        )
    if not run.record["limited"]:
        compare.refresh(results, run.record["dataset"], run.record["split"])


def _gaps(own: ScoredRun, other: ScoredRun) -> dict[str, Any]:
    """By section: the tests of a run with its images against one without, by metric."""
    from benchmark import compare

    shared = [name for name in own.scores["sections"] if name in other.scores["sections"]]
    return {
        name: compare.compare([own, other], name)["pairs"][0]["metrics"]
        for name in shared
        if own.signature(name) == other.signature(name) and own.studies(name)[0]
    }


def _print_gap(run: ScoredRun, control: str, sections: Mapping[str, Any]) -> None:
    rows = [
        {
            "section": section,
            "metric": key,
            "lost": f"{tests[key]['difference']:+.4f}",
            "95 % interval": f"{tests[key]['low']:+.4f} to {tests[key]['high']:+.4f}",
            "p": f"{tests[key]['p']:.4f}",
        }
        for section, tests in sections.items()
        for key in SHOWN
        if key in tests
    ]
    words = {"shuffle": "the images are shuffled among the studies", "blank": "the images are black"}[control]
    columns = {"section": "left", "metric": "left", **dict.fromkeys(("lost", "95 % interval", "p"), "right")}
    caption = "lost: with its own images, less without. p: paired randomisation of patients, two-sided, not corrected."
    table(f"{run.record['model']}: what is lost when {words}", columns, rows, caption)


def print_truth(scores: Mapping[str, Any]) -> None:
    """How reports, and the references, name what was drawn; nothing where that is not known."""
    from benchmark.labeler.truth import Accuracy

    for name, rows in (scores.get("truth") or {}).items():
        print_accuracy(f"{name} against what was drawn", [Accuracy(**row) for row in rows])


@app.command()
def slices(
    run: Annotated[str, typer.Argument(help="Run folder, beginning of a run id, or a model with one run.")],
    section: Annotated[str, typer.Option("--section", help="findings, impression or report.")] = "report",
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Such as cider; else the usual. Repeatable.")
    ] = None,
    by: Annotated[
        list[str] | None, typer.Option("--by", help="Such as finding, view, sex, age, length. Repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a run's scores by finding, view, sex, age, length and whatever else the data carry, with intervals."""
    from benchmark.scored_runs import find_run

    found = find_run(run, config.results_folder())
    found.signature(section)  # a section that was not scored is said
    whole = found.scores["sections"][section]
    if "slices" not in whole:
        raise UserError(f"{found.words} was scored by an earlier version, without slices. {found.advice}")
    chosen = {name: each for name, each in whole["slices"].items() if not by or each["attribute"] in by}
    known = {each["attribute"] for each in whole["slices"].values()}
    for attribute in by or ():
        if attribute not in known:
            raise unknown("attribute", attribute, known)
    for key in metric or ():
        if key not in whole["metrics"]:
            raise unknown("metric", key, whole["metrics"])
    keys = metric or [key for key in SHOWN if key in whole["metrics"]]
    everything = {"all": {**whole, "n": whole["n"] - whole["n_unscored"], "few": False}, **chosen}
    if as_json:
        shown = {
            name: {
                **{key: each[key] for key in ("n", "n_patients", "few")},
                "metrics": {key: each["metrics"][key] for key in metric or whole["metrics"] if key in each["metrics"]},
            }
            for name, each in everything.items()
        }
        about = {"run_id": found.run_id, "section": section, "labelled_by": found.scores["labelled_by"]}
        print(json.dumps({**about, "slices": shown, "truth": found.scores["truth"]}, indent=1, ensure_ascii=False))
        return
    _print_slices(f"{found.words}: {section}", everything, keys, found.scores["labelled_by"])
    print_truth(found.scores)


def _print_slices(title: str, slices: Mapping[str, Any], keys: Sequence[str], labelled_by: str) -> None:
    from benchmark.slices import FEW

    rows = [
        {
            "slice": name,
            "n": f"{each['n']}{' !' if each['few'] else ''}",
            "patients": str(each["n_patients"]),
            **{key: _interval(each["metrics"].get(key, {})) for key in keys},
        }
        for name, each in slices.items()
    ]
    columns = {"slice": "left", **dict.fromkeys(("n", "patients", *keys), "right")}
    caption = (
        f"With 95 % intervals, patients resampled. !: fewer than {FEW} studies, too few to speak. Findings and "
        f"normal, abnormal by the labels of: {labelled_by}. CIDEr weighs words by the whole split."
    )
    table(title, columns, rows, caption)


def _interval(score: Mapping[str, Any]) -> str:
    value, low, high = (score.get(key) for key in ("value", "low", "high"))
    if value is None:
        return "–"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f}\n{low:.3f}–{high:.3f}"
