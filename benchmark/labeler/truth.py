"""What reports say of drawn findings: the phantom's truth table against mentions."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UserError
from benchmark.labeler._scope import POSITIVE
from benchmark.labeler.label import Mention, mentions
from benchmark.schema import LABELS

GRADES = {"1": "mild", "2": "moderate", "3": "severe"}
TWO_GRADES = {"wide mediastinum": {"1": "mild", "2": "severe"}}
"""By form, where the phantom draws two grades alone and its readers write `mildly` and `markedly`."""
PROPERTIES = ("side", "location", "severity")
_COLUMNS = ("study_id", "label", "form", "side", "lobe", "grade")


@dataclass(frozen=True)
class Drawn:
    """One finding that is really there. Empty strings where a property does not apply."""

    study_id: str
    label: str
    side: str
    location: str
    severity: str


@dataclass(frozen=True)
class Accuracy:
    """How reports name the findings of one class."""

    label: str
    drawn: int
    """Findings that are there."""
    found: int
    """Of these, the ones that their report states as present."""
    invented: int
    """Reports that state the class as present where none is drawn."""
    shaped: Mapping[str, int]
    """By property (side, location, severity): findings that are there and have it."""
    right: Mapping[str, int]
    """By property: findings found whose report states it rightly."""
    stated: Mapping[str, int]
    """By property: findings found that have it and whose report states any, rightly or not."""


def read_truth(path: Path) -> list[Drawn]:
    """The rows of a truth table (CSV, gzipped or not). Raises UserError where it is none."""
    if not path.is_file():
        raise UserError(f"No such file: {path}. The phantom's truth table is phantom-truth.csv.gz in its folder.")
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a CSV table: {error}. Make the phantom again.") from None
    missing = [name for name in _COLUMNS if not rows or rows[0].get(name) is None]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}. Name the phantom's phantom-truth.csv.gz.")
    return [
        Drawn(
            row["study_id"],
            row["label"],
            row["side"],
            row["lobe"],
            TWO_GRADES.get(row["form"], GRADES).get(row["grade"], ""),
        )
        for row in rows
    ]


def accuracy(texts: Mapping[str, str], truth: Iterable[Drawn]) -> list[Accuracy]:
    """For each class drawn or named, how the reports (by study_id) name it. Rows of other studies are passed over.

    A property counts as right where one of the report's mentions of that class has it. The references' own accuracy is
    the ceiling: a radiologist does not word every property.
    """
    named = {study: [each for each in mentions(text) if each.value == POSITIVE] for study, text in texts.items()}
    drawn: dict[str, list[Drawn]] = {name: [] for name in LABELS}
    for finding in truth:
        if finding.study_id in named and finding.label in drawn:
            drawn[finding.label].append(finding)
    rows = [_accuracy(name, findings, named) for name, findings in drawn.items()]
    return [row for row in rows if row.drawn or row.invented]


def total(rows: Sequence[Accuracy]) -> Accuracy:
    """The rows added up, under the label `all`."""

    def added(field: str) -> dict[str, int]:
        return {key: sum(getattr(row, field)[key] for row in rows) for key in PROPERTIES}

    drawn, found, invented = (sum(getattr(row, field) for row in rows) for field in ("drawn", "found", "invented"))
    return Accuracy("all", drawn, found, invented, added("shaped"), added("right"), added("stated"))


def _accuracy(name: str, drawn: Sequence[Drawn], named: Mapping[str, Sequence[Mention]]) -> Accuracy:
    said = {study: [each for each in found if each.label == name] for study, found in named.items()}
    found = [finding for finding in drawn if said[finding.study_id]]
    shaped = {key: sum(bool(getattr(finding, key)) for finding in drawn) for key in PROPERTIES}
    right, stated = dict.fromkeys(PROPERTIES, 0), dict.fromkeys(PROPERTIES, 0)
    for finding in found:
        for key in PROPERTIES:
            words = {getattr(mention, key) for mention in said[finding.study_id]} - {""}
            true = getattr(finding, key)
            stated[key] += bool(true and words)
            right[key] += bool(true) and true in words
    there = {finding.study_id for finding in drawn}
    invented = sum(bool(mentioned) and study not in there for study, mentioned in said.items())
    return Accuracy(name, len(drawn), len(found), invented, shaped, right, stated)
