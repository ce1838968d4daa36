"""The typer application, and what its commands share."""

from __future__ import annotations

import json

import typer

from benchmark.console import table

app = typer.Typer(
    name="bench",
    help="Benchmark for chest X-ray report generation: train, evaluate, compare.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Make and look at data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")

FINISHED_WITH_PROBLEMS = 3
"""Exit status where all was done but some input was broken, so that a script can tell."""

INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""


def listing(title: str, rows: list[dict[str, str]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        table(title, dict.fromkeys(rows[0] if rows else (), "left"), rows)


def end(problems: int) -> None:
    raise typer.Exit(FINISHED_WITH_PROBLEMS if problems else 0)
