"""The command plot: the results as figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark import config
from benchmark.cli._app import app
from benchmark.console import say


@app.command()
def plot(
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write; else results/plots.")] = None,
    board: Annotated[str, typer.Option("--board", help="One leaderboard, such as phantom-val; else all.")] = "",
    section: Annotated[
        list[str] | None, typer.Option("--section", help="findings, impression or report; else all. Repeatable.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="What is drawn, such as cider; else the usual. Repeatable.")
    ] = None,
) -> None:
    """Draw leaderboards, groups of studies, protocols and trainings as SVG and PNG, from aggregates alone."""
    from benchmark.plots.write import write

    results = config.results_folder()
    folder = out or results / "plots"
    files = write(results, folder, board, section or [], metric or [])
    say(f"Wrote {len(files)} files to {folder}.")
