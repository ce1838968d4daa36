"""Commands about scores: score and leaderboard."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark import config
from benchmark.cli._app import app, end
from benchmark.cli._options import (
    AsJson,
    DataOptions,
    ExtraMetrics,
    MetricOptions,
    Missing,
    Split,
    check_metrics,
    check_protocols,
    grouped,
    key_value,
)
from benchmark.cli._tables import print_board, print_kept, print_protocols, print_published
from benchmark.cli.runs import conclude, under_protocols
from benchmark.console import say, table
from benchmark.errors import UserError


@app.command()
@grouped
def score(
    hypotheses: Annotated[
        Path,
        typer.Argument(help="Texts by study id (CSV, JSONL, JSON as of ReXrank or R2GenGPT), or a run folder."),
    ],
    source: DataOptions,
    scoring: MetricOptions,
    references: Annotated[Path | None, typer.Option("--references", help="Likewise; or a data set: --dataset.")] = None,
    split: Split = "val",
    section: Annotated[str, typer.Option("--section", help="findings, impression or report.")] = "",
    protocol: Annotated[
        str, typer.Option("--protocol", help="Names from `bench protocols`, divided by commas; else `default`.")
    ] = "",
    keep: Annotated[
        bool, typer.Option("--keep", help="Of a scored run folder: keep these numbers with its others, for the pages.")
    ] = False,
    missing: Missing = "fail",
    training_texts: Annotated[
        Path | None, typer.Option("--training-texts", help="For protocols with a vocabulary; else the data set's.")
    ] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file.")] = None,
    metric: ExtraMetrics = None,
) -> None:
    """Score texts against references, a data set or, of a run folder, its data set, under any protocols."""
    from benchmark import rescore

    context = scoring.context()
    names = check_protocols(protocol)
    extra = check_metrics(metric)
    order = rescore.Order(names or ["default"], section, missing, training_texts, context, extra)
    results = config.results_folder()
    _expect_writable(json_out)
    if keep and not (hypotheses.is_dir() and names):
        raise UserError("--keep is for a run folder and protocols: `bench score RUN --protocol NAME,… --keep`.")
    if hypotheses.is_dir():
        if references is not None or source.dataset is not None:
            raise UserError(
                f"{hypotheses} is a run folder, which is scored against its own data set: leave out --references and "
                f"--dataset, or score its {hypotheses / 'predictions.jsonl'}."
            )
        run, dataset = rescore.open_run(hypotheses, source.root, source.reports_root, results)
        if not names and not section:
            scores = rescore.score_folder(run, dataset, results, context, extra)
            conclude(run.path, scores, results, as_json=False)
            sections = scores["sections"]
            _write(json_out, {"sections": sections, "protocols": {"default": {"sections": sections}}})
            return
        if keep:
            scores, refused = under_protocols({}, run, dataset, results, order)
            print_kept(f"{run.path.parent.name} ({run.path.name[:6]})", scores["protocols"])
            _write(json_out, {"protocols": scores["protocols"]})
            end(refused)
        content: dict[str, Any] = rescore.score_run_under(run, dataset, order)
    elif references is not None and source.dataset is None:
        content = rescore.score_files(hypotheses, references, order)
    elif references is None and source.dataset is not None:
        content = rescore.score_against(hypotheses, source.open(), split, order)
    else:
        raise UserError("Name the references with --references FILE or a data set with --dataset NAME, one of the two.")
    print_protocols(hypotheses.name, content["protocols"])
    alone = list(content["protocols"].values())
    _write(json_out, {**(alone[0] if len(alone) == 1 else {}), **content})
    end(sum(bool(scored["refused"]) for scored in alone))


def _expect_writable(path: Path | None) -> None:
    """Raises UserError where the numbers could not be written: better before the scoring than after it."""
    if path is None:
        return
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"--json {path} cannot be written ({error.strerror}). Name another file.") from None


def _write(path: Path | None, content: dict[str, Any]) -> None:
    from benchmark.store import write_json

    if path is not None:
        write_json(path, content)


@app.command()
def leaderboard(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail where a file is not up to date.")] = False,
    published: Annotated[bool, typer.Option("--published", help="Show what others published, set apart.")] = False,
    site: Annotated[
        list[str] | None,
        typer.Option("--site", help="NAME=FOLDER of another site's aggregates, to show beside ours. Repeatable."),
    ] = None,
    metric: Annotated[str, typer.Option("--metric", help="With --site: the value that is shown.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make the leaderboards under results/ from the aggregated scores, and show them."""
    from benchmark import leaderboard as boards
    from benchmark import licence
    from benchmark import published as elsewhere

    results = config.results_folder()
    if site:
        _show_sites(site, metric or boards.RANKED_BY, as_json)
        return
    if check:
        wrong = boards.outdated(results)
        if wrong:
            names = ", ".join(map(str, wrong))
            raise UserError(f"Not what the scores under {results / 'scores'} give: {names}. Run `bench leaderboard`.")
        say("All leaderboards are what the scores give.")
        return
    found = boards.write(results)
    others = elsewhere.read(results) if published else []
    if not found and not others:
        if any(results.glob("runs/*/*/*/*/scores.json")):
            raise UserError(
                f"No scores under {results / 'scores'}, though runs in {results / 'runs'} are scored: values of fewer "
                f"than {licence.MIN_PATIENTS} patients, and of --limit, stay in the run folder (`bench score RUN`)."
            )
        raise UserError(f"No scores under {results / 'scores'} yet. Run `bench eval MODEL --split val` first.")
    if as_json:
        content = {board.name: board.rows for board in found} | ({"published": others} if published else {})
        print(json.dumps(content, indent=1, ensure_ascii=False))
        return
    for board in found:
        print_board(board)
        say(f"Wrote {results / board.name}.csv and .md")
        here = elsewhere.of_board(others, board.name)
        print_published(here)
        others = [row for row in others if row not in here]
    print_published(others)


def _show_sites(given: list[str], metric: str, as_json: bool) -> None:
    from benchmark import sites

    folders = {name: Path(folder) for name, folder in (key_value("--site", each) for each in given)}
    rows = sites.read(folders, config.results_folder())
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for section, shown in sites.tables(rows, metric).items():
        columns = {name: "left" if name in ("model", "preset") else "right" for name in shown[0]}
        table(f"{metric}, {section}", columns, shown, sites.EXPLANATION)
