"""The command site: the results as pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark import config
from benchmark.cli._app import app
from benchmark.console import say


@app.command()
def site(
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write; else results/site.")] = None,
    runs: Annotated[int, typer.Option("--runs", min=0, help="Runs on a page of studies, at most; 0 for none.")] = 8,
    private: Annotated[
        bool, typer.Option("--private", help="The data are mine, and what is written stays with me.")
    ] = False,
) -> None:
    """Write the leaderboards as a folder of pages that open from disk, and studies where the data allow it."""
    from benchmark.site.build import build

    results = config.results_folder()
    built = build(results, out or results / "site", private, runs)
    for board, has_studies in built.boards.items():
        say(f"{board}: {'with' if has_studies else 'without'} a page of studies")
    say(f"Wrote {built.n_pages} pages: open {built.folder / 'index.html'}")
