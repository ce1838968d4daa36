"""The command label: CheXpert classes that reports state, by rules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli._app import app
from benchmark.console import say, table

if TYPE_CHECKING:
    from benchmark.labeler.truth import Accuracy


@app.command()
def label(
    file: Annotated[
        Path,
        typer.Argument(help="JSONL or CSV of study_id and text (or findings, impression), or one report a line."),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Write the CSV to this file; else print it.")] = None,
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="The phantom's phantom-truth.csv.gz: print how the reports name what was drawn."),
    ] = None,
) -> None:
    """Label reports with the 14 CheXpert classes: 1 present, 0 denied, -1 uncertain, empty where not mentioned."""
    from benchmark.labeler import files
    from benchmark.labeler.truth import accuracy, read_truth

    reports = files.read_reports(file)
    if truth is not None:
        print_accuracy(file.name, accuracy(files.by_study(reports), read_truth(truth)))
    elif out is None:
        print(files.table(reports), end="")
    if out is not None:
        from benchmark.store import write_text

        write_text(out, files.table(reports))
        say(f"Wrote the labels of {len(reports)} reports to {out}.")


def print_accuracy(title: str, rows: list[Accuracy]) -> None:
    """A table with a row for each class: what was drawn, what the reports found of it, and what they say of it."""
    properties = list(rows[0].right) if rows else []
    columns = {"finding": "left", **dict.fromkeys(("drawn", "found", "not there", *properties), "right")}
    shown = [
        {
            "finding": row.label,
            "drawn": str(row.drawn),
            "found": _share(row.found, row.drawn),
            "not there": str(row.invented),
            **{name: _share(row.right[name], row.stated[name]) for name in properties},
        }
        for row in rows
    ]
    table(title, columns, shown, "found: of those drawn; side, location, severity: of those found and so described")


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} {part / whole:.1%}" if whole else ""
