"""The split and metadata tables of MIMIC-CXR-JPG (they keep the name 2.0.0 in release 2.1.0)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import pandas as pd

from benchmark.contracts import Problem
from benchmark.errors import UserError

from ._mimic_studies import Row
from ._tables import find_table, read_table, row_number

SPLITS = ("train", "validate", "test")
VIEW_NAMES = {"postero-anterior": "PA", "antero-posterior": "AP", "lateral": "LATERAL", "left lateral": "LL"}
"""ViewCodeSequence_CodeMeaning, for images whose ViewPosition is empty."""
PROCEDURE_WORDS = {"PA": "PA", "AP": "AP", "LAT": "LATERAL", "LATERAL": "LATERAL"}
"""What names a view in PerformedProcedureStepDescription, for images that state theirs nowhere else."""
_VIEW_WORD = re.compile(r"\b(?:PA|AP|LAT|LATERAL|OBL\w*|DECUB\w*|LORDOTIC)\b")


def view_of_code(meaning: str) -> str:
    """`postero-anterior` → `PA`; empty for what is no known view."""
    return VIEW_NAMES.get(meaning.strip().lower(), "")


def view_of_procedure(description: str) -> str:
    """`CHEST (PORTABLE AP)` → `AP`; empty unless it is of the chest and names exactly one view."""
    text = description.upper()
    words = set(_VIEW_WORD.findall(text))
    return PROCEDURE_WORDS.get(words.pop(), "") if len(words) == 1 and "CHEST" in text else ""


class Tables:
    """The tables under one folder. Raises UserError, with file and row, for what cannot be read."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, name: str) -> Path | None:
        return find_table(self.folder, f"mimic-cxr-2.0.0-{name}")

    def problems(self, *names: str) -> list[Problem]:
        return [
            Problem(f"{self.folder} has no mimic-cxr-2.0.0-{name}.csv.gz (or .csv).", fatal=True)
            for name in names
            if self.path(name) is None
        ]

    @cached_property
    def split(self) -> pd.DataFrame:
        """dicom_id, study_id, subject_id, split; every image once, every study in one split."""
        path = self.path("split")
        assert path is not None  # `problems` has seen to it
        split = read_table(path, ["dicom_id", "study_id", "subject_id", "split"])
        wrong = split.index[~split["split"].isin(SPLITS)]
        if len(wrong):
            raise UserError(
                f"{path}, row {row_number(wrong[0])}: the split is '{split['split'][wrong[0]]}', "
                "not train, validate or test. Use the released table."
            )
        doubled = split.index[split["dicom_id"].duplicated()]
        if len(doubled):
            raise UserError(
                f"{path}, row {row_number(doubled[0])}: the image {split['dicom_id'][doubled[0]]} "
                "stands there twice. Remove one row."
            )
        pairs = split[["study_id", "split"]].drop_duplicates()
        shared = pairs["study_id"][pairs["study_id"].duplicated()]
        if len(shared):
            raise UserError(f"{path}: the study {shared.iloc[0]} is in two splits. Use the released table.")
        return split

    @cached_property
    def positions(self) -> Mapping[str, str]:
        """View position by dicom_id: ViewPosition, else the view code, else the procedure, else empty."""
        path = self.path("metadata")
        assert path is not None  # `problems` has seen to it, or the caller
        fallbacks = {
            "ViewCodeSequence_CodeMeaning": view_of_code,
            "PerformedProcedureStepDescription": view_of_procedure,
        }
        table = read_table(path, ["dicom_id", "ViewPosition", *fallbacks])
        position = table["ViewPosition"].str.strip().str.upper()
        for column, view in fallbacks.items():
            known = {text: view(text) for text in table[column].unique()}
            position = position.where(position != "", table[column].map(known))
        return dict(zip(reversed(table["dicom_id"].tolist()), reversed(position.tolist()), strict=True))

    def studies(self, split: str, positions: Mapping[str, str]) -> Iterator[tuple[str, list[Row]]]:
        """Rows by study. An image that `positions` lacks has None."""
        here = self.split[self.split["split"] == split]
        columns = (here[name].tolist() for name in ("dicom_id", "study_id", "subject_id"))
        rows = [
            Row(dicom, study, subject, positions.get(dicom)) for dicom, study, subject in zip(*columns, strict=True)
        ]
        rows.sort(key=attrgetter("study_id"))
        for study_id, of in groupby(rows, key=attrgetter("study_id")):
            yield study_id, list(of)
