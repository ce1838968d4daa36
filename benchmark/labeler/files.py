"""Reports out of a file of any plain form, and their labels into a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmark.errors import UserError
from benchmark.labeler.label import label
from benchmark.schema import LABELS
from benchmark.store import cell, read_jsonl

TEXT_COLUMNS = ("text", "report")
SECTIONS = ("findings", "impression")
ID_COLUMN = "study_id"
Report = tuple[str, str]
"""study_id and text."""


def read_reports(path: Path) -> list[Report]:
    """study_id and text of every report of a file, in its order, empty ones included.

    JSONL (`.jsonl`): objects with `study_id` and `text` (or `report`), or `findings` and `impression`. CSV or TSV
    (`.csv`, `.tsv`): columns of those names in any case; without a study_id column rows are numbered from 1. Any other
    file is one report a line, numbered from 1. Raises UserError for a file that cannot be read so, naming the line.
    """
    if not path.is_file():
        raise UserError(f"No such file: {path}. Name a JSONL, a CSV, or a text with one report a line.")
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        found = [_of_object(record, f"{path}, line {number}") for number, record in read_jsonl(path)]
    elif suffix in (".csv", ".tsv"):
        found = _of_table(path, "\t" if suffix == ".tsv" else ",")
    else:
        text = _text(path)
        lines = text.removesuffix("\n").split("\n") if text else []
        found = [(str(number), line) for number, line in enumerate(lines, 1)]
    if not found:
        raise UserError(f"{path} holds no report. Name a file with one report a line, row or object.")
    return found


def by_study(reports: Iterable[Report]) -> dict[str, str]:
    """Texts by study_id. Raises UserError for a study that stands there twice."""
    found: dict[str, str] = {}
    for study_id, text in reports:
        if study_id in found:
            raise UserError(f"Study {study_id} has two reports. Keep one report for each study.")
        found[study_id] = text
    return found


def table(reports: Iterable[Report]) -> str:
    """CSV of study_id and the 14 classes under CheXpert's names: 1 present, 0 denied, -1 uncertain, empty else."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((ID_COLUMN, *LABELS))
    for study_id, text in reports:
        labels = label(text)
        writer.writerow((cell(study_id), *(labels.get(name, "") for name in LABELS)))
    return out.getvalue()


def _of_object(record: dict[str, Any], where: str) -> Report:
    if record.get(ID_COLUMN) in (None, ""):
        raise UserError(f"{where}: no {ID_COLUMN}. Each line needs {ID_COLUMN} and text.")
    wrong = [key for key in (*TEXT_COLUMNS, *SECTIONS) if not isinstance(record.get(key, ""), str | None)]
    if wrong:
        raise UserError(f'{where}: {wrong[0]} is {record[wrong[0]]!r}, not a text. Write "" for an empty report.')
    names = _columns(record)
    if not names:
        raise UserError(f'{where}: no text, report, findings or impression. Write "" for an empty report.')
    return str(record[ID_COLUMN]), _joined(record, names)


def _of_table(path: Path, delimiter: str) -> list[Report]:
    csv.field_size_limit(1 << 27)  # The default refuses a report of 100,000 words.
    reader = csv.reader(io.StringIO(_text(path), newline=""), delimiter=delimiter, strict=True)
    found: list[Report] = []
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        names = _columns(header)
        if not names:
            raise UserError(
                f"{path} has no column text, report, findings or impression, only {', '.join(header) or 'none'}. "
                "Name the column of the reports so."
            )
        # With a single column a blank line is an empty report, with several it is no row.
        rows = (cells for cells in reader if cells or len(header) == 1)
        for number, cells in enumerate(rows, 1):
            if len(cells) > len(header):
                raise UserError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells, but {len(header)} columns. "
                    "Quote texts that hold a comma."
                )
            row = dict(zip(header, cells, strict=False))
            found.append((row.get(ID_COLUMN) or str(number), _joined(row, names)))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: no CSV ({error}). Quote texts that hold a comma.") from None
    return found


def _columns(names: Iterable[str]) -> list[str]:
    """The columns that hold the report: one of the whole text where there is one, else the sections."""
    there = set(names)
    whole = [name for name in TEXT_COLUMNS if name in there][:1]
    return whole or [name for name in SECTIONS if name in there]


def _joined(row: Any, names: Iterable[str]) -> str:
    return " ".join(part for name in names if (part := (row.get(name) or "").strip()))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
