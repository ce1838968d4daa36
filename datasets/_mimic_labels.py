"""Label tables of MIMIC-CXR-JPG: by CheXpert, by NegBio, and of the test split by a radiologist (2.1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from benchmark.errors import UserError
from benchmark.schema import LABELS

from ._tables import find_table, read_table, row_number

Labels = Mapping[str, Mapping[str, float]]
"""By study_id and class: 1 positive, 0 negative, -1 uncertain."""

TABLES = {
    "chexpert": "mimic-cxr-2.0.0-chexpert",
    "negbio": "mimic-cxr-2.0.0-negbio",
    "radiologist": "mimic-cxr-2.1.0-test-set-labeled",
}
RADIOLOGIST_NAMES = {"Airspace Opacity": "Lung Opacity"}
"""The radiologist's table calls this class otherwise; the official notebook renames it, too."""

_VALUES = {"1": 1.0, "1.0": 1.0, "0": 0.0, "0.0": 0.0, "-1": -1.0, "-1.0": -1.0, "": None}


def read_labels(root: Path) -> dict[str, Labels]:
    """Labels by the source's name; a table that is not there is left out.

    Blank cells (not mentioned) are left out. Raises UserError, with file and row, for a value that is no label and for
    a study that stands twice.
    """
    paths = {source: find_table(root, stem) for source, stem in TABLES.items()}
    return {source: _read(path) for source, path in paths.items() if path is not None}


def _read(path: Path) -> Labels:
    table = read_table(path).rename(columns=RADIOLOGIST_NAMES)
    missing = [column for column in ("study_id", *LABELS) if column not in table.columns]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}. Use the released table.")
    for name in LABELS:
        for cell in set(table[name]) - _VALUES.keys():
            at = table[name].tolist().index(cell)
            raise UserError(
                f"{path}, row {row_number(at)}: {name} is '{cell}', not 1, 0, -1 or empty. Use the released table."
            )
    doubled = table.index[table["study_id"].duplicated()]
    if len(doubled):
        study = table["study_id"][doubled[0]]
        raise UserError(f"{path}, row {row_number(doubled[0])}: the study {study} stands there twice. Remove one row.")
    rows = zip(*(table[name].tolist() for name in LABELS), strict=True)
    return dict(zip(table["study_id"].tolist(), map(_labels, rows), strict=True))


@cache
def _labels(cells: tuple[str, ...]) -> Mapping[str, float]:
    """The labels of a row. Cached, since 227,827 studies share few patterns: that saves time and memory."""
    values = zip(LABELS, (_VALUES[cell] for cell in cells), strict=True)
    return {name: value for name, value in values if value is not None}
