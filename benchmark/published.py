"""What others published, from `results/published.csv`: shown beside what was measured here, never ranked with it.

Columns: system, dataset, split, n and unit of a row, protocol (a name of `bench protocols` where the scores were made
alike), the values, source, and what keeps them from being compared. An empty cell was not published.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import UserError

NAME = "published.csv"
ALWAYS = ("system", "dataset", "split", "n", "unit", "protocol", "source", "not_comparable")
"""Columns that the file must have; the others are values."""

EXPLANATION = "Published elsewhere and not measured here: what one column holds was counted in several ways."

Row = dict[str, str]


def read(results: Path) -> list[Row]:
    """The published rows, from the results folder or else from this project's own.

    Raises UserError where there is no such file, a column is missing, or a value is no number.
    """
    places = (results / NAME, Path(__file__).parents[1] / "results" / NAME)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise UserError(f"{places[0]} is missing. Take it from the project's repository.")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = set(ALWAYS) - set(reader.fieldnames or ())
        if missing:
            raise UserError(f"{path} has no column {', '.join(sorted(missing))}. Add it.")
        rows = []
        for row in reader:
            _check(row, f"{path}, row {reader.line_num}")
            rows.append(row)
    return rows


def _check(row: Row, where: str) -> None:
    if None in row or None in row.values():
        raise UserError(f"{where}: more or fewer cells than columns. Put texts with commas in quotes.")
    for column, cell in row.items():
        if column not in ALWAYS and cell and not _is_number(cell):
            raise UserError(f"{where}: {column} is no number: '{cell}'.")


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def of_board(rows: Sequence[Row], board: str) -> list[Row]:
    """Rows of a board's data set and split, in whatever form the data set was read (`mimic-cxr-r2gen-test`)."""
    return [row for row in rows if board.startswith(f"{row['dataset']}-") and board.endswith(f"-{row['split']}")]


def tables(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by data set, split and protocol, in words, each with the columns alone that hold something there."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(f"{row['dataset']}-{row['split']}, {row['protocol'] or 'other'}", []).append(row)
    return {name: _filled(group) for name, group in found.items()}


def _filled(rows: Sequence[Row]) -> list[Row]:
    told = {"dataset", "split", "protocol"}
    columns = [column for column in rows[0] if column not in told and any(row[column] for row in rows)]
    return [{column: row[column] for column in columns} for row in rows]
