"""Rows out of whatever table people have: CSV with any common delimiter, JSON Lines, JSON, R2Gen's and ReXrank's too.

Unlike `_tables`, which reads released files and refuses what differs from them, this is lenient about form: encodings,
line ends and delimiters. It is strict about content: a row that cannot be read is never guessed at, but kept with what
is wrong about it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import UserError

from ._own_rexrank import rexrank_cells

DELIMITERS = ",;\t|"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True)
class Row:
    """One row as it stands in the file."""

    where: str
    """`row 7` (the header is row 1, a cell with line breaks counts once), `line 7`, `entry 7`, `study s1`."""
    cells: Mapping[str, Any]
    """By column. Strings, or whatever JSON has."""
    fault: str = ""
    """A clause: why the row cannot be read."""


@dataclass(frozen=True)
class Table:
    """A file's rows."""

    path: Path
    form: str
    """In words."""
    columns: Sequence[str]
    rows: Sequence[Row]


def read_table(path: Path) -> Table:
    """The rows of a file; its suffix tells the form.

    Raises UserError, with the line where there is one, where it is not text, not of that form, or has no rows.
    """
    text = _text(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        form, rows = _json(path, text)
    elif suffix == ".jsonl":
        form, rows = "JSON Lines", _json_lines(text)
    else:
        form, rows = "CSV", _csv(path, text)
    if not rows:
        raise UserError(f"{path} has no rows. It needs one for each study or image.")
    columns = dict.fromkeys(column for row in rows for column in row.cells)
    return Table(path, form, tuple(columns), rows)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not {encoding.upper()[:6]} text. Save the table as UTF-8.") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(f"{path}, line {line}: not text (it has a zero byte). Save the table as UTF-8.")
    return text


# CSV ------------------------------------------------------------------------------------------------------------------


def _csv(path: Path, text: str) -> list[Row]:
    header_line = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(header_line), strict=True)
    records = [(at, record) for at, record in _records(path, reader) if any(cell.strip() for cell in record)]
    if not records:
        return []
    (_, header), *records = records
    columns = [name.strip() for name in header]
    if records and all(len(cells) == len(header) + 1 and not cells[-1].strip() for _, cells in records):
        columns.append("")  # a delimiter at the end of each line but the first
    twice = next((name for name in columns if name and columns.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path} has two columns '{twice}'. Rename or remove one.")
    return [_csv_row(columns, cells, f"row {at}") for at, cells in records]


def _delimiter(header: str) -> str:
    """The one that the header line has most of, outside quotes; of several the first of DELIMITERS."""
    unquoted = "".join(header.split('"')[::2])
    return max(DELIMITERS, key=unquoted.count)


def _records(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Numbered from 1, with blank lines counted, as spreadsheets do."""
    try:
        yield from enumerate(reader, 1)
    except csv.Error as error:
        raise UserError(
            f"{path}, line {reader.line_num}: {error}. A cell with a quote mark or a line break stands in quote marks, "
            "and a quote mark within it is doubled."
        ) from None


def _csv_row(columns: Sequence[str], cells: Sequence[str], where: str) -> Row:
    if len(cells) != len(columns):
        return Row(where, {}, f"has {len(cells)} cells where the header has {len(columns)}")
    return Row(where, {name: cell.strip() for name, cell in zip(columns, cells, strict=True) if name})


# JSON -----------------------------------------------------------------------------------------------------------------


def _json_lines(text: str) -> list[Row]:
    lines = [(at, line) for at, line in enumerate(text.split("\n"), 1) if line.strip()]
    rows = []
    for at, line in lines:
        try:
            rows.append(_object(_parsed(line), f"line {at}"))
        except ValueError as error:
            rows.append(Row(f"line {at}", {}, f"is not JSON ({_why(error)})"))
    return rows


def _json(path: Path, text: str) -> tuple[str, list[Row]]:
    try:
        content = _parsed(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not JSON ({error.msg}). Put it right there.") from None
    except ValueError as error:
        raise UserError(f"{path} is not sound JSON: {_why(error)}. Put it right there.") from None
    if isinstance(content, list):
        return "JSON", [_object(entry, f"entry {at}") for at, entry in enumerate(content, 1)]
    if isinstance(content, dict) and all(isinstance(entries, list) for entries in content.values()):
        return "R2Gen's JSON", [
            _object({"split": split, **entry} if isinstance(entry, dict) else entry, f"entry {at} of '{split}'")
            for split, entries in content.items()
            for at, entry in enumerate(entries, 1)
        ]
    if isinstance(content, dict):
        return "ReXrank's JSON", [
            _object(rexrank_cells(study, entry) if isinstance(entry, dict) else entry, f"study {study}")
            for study, entry in content.items()
        ]
    raise UserError(f"{path} holds neither a list of studies nor an object of them.")


def _object(entry: Any, where: str) -> Row:
    return Row(where, entry) if isinstance(entry, dict) else Row(where, {}, "is not a JSON object")


def _parsed(text: str) -> Any:
    try:
        found = json.loads(text, object_pairs_hook=_without_twins)
        if _SURROGATE.search(text):
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("it holds half a character, a lone surrogate") from None
    return found


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Plain `json` would keep the last of two equal keys and lose a study in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key '{next(name for name in names if names.count(name) > 1)}' stands there twice")
    return found


def _why(error: ValueError) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)
