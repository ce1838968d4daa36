"""Commands about scores: score and leaderboard, and how both are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark import config
from benchmark.cli._app import app
from benchmark.cli._options import AsJson, Encoder
from benchmark.console import say, table
from benchmark.errors import UserError


@app.command()
def score(
    hypotheses: Annotated[Path, typer.Argument(help="A JSONL of study_id and text, or a run folder.")],
    references: Annotated[Path | None, typer.Option("--references", help="A JSONL of study_id and text.")] = None,
    section: Annotated[
        str, typer.Option("--section", help="findings, impression or report, where lines have them.")
    ] = "",
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file.")] = None,
    root: Annotated[Path | None, typer.Option("--root", help="Of a run's data set, where it has moved.")] = None,
    reports_root: Annotated[Path | None, typer.Option("--reports-root", help="Likewise, of its reports.")] = None,
    bertscore_encoder: Encoder = "",
) -> None:
    """Score texts against references, or a run folder against its data set."""
    from benchmark import rescore
    from benchmark.contracts import MetricContext

    context = MetricContext(encoder=bertscore_encoder)
    if hypotheses.is_dir():
        sections = rescore.score_folder(hypotheses, root, reports_root, config.results_folder(), context)
        content: dict[str, Any] = {"sections": sections}
    else:
        if references is None:
            raise UserError("Name the references with --references (a JSONL of study_id and text).")
        scored = rescore.score_files(hypotheses, references, section, context)
        sections, content = {section or "text": scored}, scored
    print_scores(hypotheses.name, sections)
    if json_out is not None:
        from benchmark.store import write_json

        write_json(json_out, content)


@app.command()
def leaderboard(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail where a file is not up to date.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the leaderboards under results/ from the aggregated scores, and show them."""
    from benchmark import leaderboard as boards

    results = config.results_folder()
    if check:
        wrong = boards.outdated(results)
        if wrong:
            names = ", ".join(map(str, wrong))
            raise UserError(f"Not what the scores under {results / 'scores'} give: {names}. Run `bench leaderboard`.")
        say("All leaderboards are what the scores give.")
        return
    found = boards.write(results)
    if not found:
        raise UserError(f"No scores under {results / 'scores'} yet. Run `bench eval MODEL --split val` first.")
    if as_json:
        print(json.dumps({board.name: board.rows for board in found}, indent=1, ensure_ascii=False))
        return
    for board in found:
        print_board(board)
        say(f"Wrote {results / board.name}.csv and .md")


def print_scores(title: str, sections: dict[str, Any]) -> None:
    rows = []
    for section, scored in sections.items():
        for key, metric in scored["metrics"].items():
            value, low, high = metric["value"], metric.get("low"), metric.get("high")
            rows.append(
                {
                    "section": section,
                    "metric": key,
                    "value": "–" if value is None else f"{value:.4f}",
                    "95 % interval": "" if low is None or high is None else f"{low:.4f}–{high:.4f}",
                    "n": str(metric["n_scored"]),
                    "unscored": str(metric["n_unscored"]),
                    "signature": metric.get("reason") or metric["signature"],
                }
            )
    columns = {"section": "left", "metric": "left", "value": "right", "95 % interval": "right", "n": "right"}
    table(title, {**columns, "unscored": "right", "signature": "left"}, rows)


def print_board(board: Any) -> None:
    from benchmark import leaderboard as boards
    from benchmark.schema import SECTIONS

    words = {"model", "preset", "note"}
    columns = {heading: "left" if column in words else "right" for column, heading in boards.SHOWN.items()}
    for section in SECTIONS:
        rows = boards.shown_rows(board, section)
        if rows:
            table(f"{board.name}: {section}", columns, rows, boards.EXPLANATION)
