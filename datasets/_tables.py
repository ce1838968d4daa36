"""Tables of text cells from CSV files, gzipped or not, with errors that name the file."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmark.errors import UserError


def read_table(path: Path, columns: Sequence[str] | None = None, advice: str = "Fetch it again.") -> pd.DataFrame:
    """A CSV table as strings, empty cells as ''; of `columns` where given, else all.

    A comma at the end of each line shifts nothing; line ends may be of any system; a byte order mark is skipped.
    Raises UserError naming the file where it is no such table, is not UTF-8, or lacks a column.
    """
    try:
        table = pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            usecols=None if columns is None else lambda name: name in columns,
            # Otherwise a comma at the end of each line would shift all columns by one.
            index_col=False,
            encoding="utf-8-sig",
        )
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text{_guess(path)} ({error.reason}). Save it as UTF-8.") from None
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise UserError(f"{path} cannot be read as a CSV table: {error}. {advice}") from None
    missing = [column for column in columns or () if column not in table.columns]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}. Use the released table.")
    return table


def row_number(index: int) -> int:
    """The row of a file that a table's row came from: the header is row 1. (Cells with line breaks count once.)"""
    return index + 2


def find_table(folder: Path, stem: str) -> Path | None:
    """`stem`.csv.gz or `stem`.csv in a folder."""
    return next((path for suffix in ("csv.gz", "csv") if (path := folder / f"{stem}.{suffix}").is_file()), None)


def _guess(path: Path) -> str:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        head = file.read(2)
    return " but UTF-16" if head in (b"\xff\xfe", b"\xfe\xff") else ""
