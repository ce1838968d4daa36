"""MIMIC-CXR-JPG's layout: tables, images and report files under a root.

Source of the layout: PhysioNet, mimic-cxr-jpg 2.0.0 and 2.1.0 (the tables keep the name 2.0.0 in both), and
mimic-cxr 2.0.0 for the report files.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.contracts import Dataset, Problem
from benchmark.errors import UserError
from benchmark.schema import Reference, Study, View
from benchmark.sections import findings_and_impression, section_text

from ._chexpert import LABELS

FRONTAL = ("PA", "AP")
"""Frontal view positions in the order in which one is chosen; ties go by dicom_id."""

VIEW_NAMES = {"postero-anterior": "PA", "antero-posterior": "AP", "lateral": "LATERAL", "left lateral": "LL"}
"""ViewCodeSequence_CodeMeaning, for images whose ViewPosition is empty."""

_ID = {
    "subject_id": re.compile(r"[0-9]{8}"),
    "study_id": re.compile(r"[0-9]{8}"),
    "dicom_id": re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{8}){4}"),
}
"""Ids become paths, so nothing else is let through."""

NO_FRONTAL = "no frontal (PA or AP) image"
NO_IMAGE = "image file missing"
NO_REPORT = "report file missing"
BAD_REPORT = "report is not UTF-8 text"
NO_SECTIONS = "report has neither findings nor impression"
BAD_ROW = "malformed id in the split table"
NO_METADATA = "image not in the metadata table"


Row = dict[Hashable, Any]
"""An image's row of the joined tables: ids, split and position as strings."""


@dataclass(frozen=True)
class _Split:
    studies: tuple[Study, ...]
    references: tuple[Reference, ...]
    left_out: Mapping[str, Sequence[str]]


class MimicCXRJPG(Dataset):
    """Reads the layout; what is particular to a data set (name, licence) is the subclass's."""

    SPLITS = ("train", "validate", "test")
    DAMAGE = frozenset({NO_IMAGE, NO_REPORT, BAD_REPORT, BAD_ROW, NO_METADATA})
    TABLES = ("split", "metadata", "chexpert")

    def __init__(self, root: Path, reports_root: Path | None = None):
        # People name the folder with the tables, or files/ beside them.
        super().__init__(root.parent if root.name == "files" else root, reports_root)
        self._loaded: dict[str, _Split] = {}

    def check(self) -> list[Problem]:
        problems = [
            Problem(f"{self.root} has no mimic-cxr-2.0.0-{table}.csv.gz (or .csv).", fatal=table != "chexpert")
            for table in self.TABLES
            if self._table_path(table) is None
        ]
        if not self._image_folder.is_dir():
            problems.append(Problem(f"{self.root} has no folder files/ with the images.", fatal=True))
        if self._report_folder is None:
            problems.append(
                Problem(
                    f"No report files (files/p10/p1…/s….txt) under {self.reports_root or self.root}. "
                    "MIMIC-CXR-JPG brings none: unpack mimic-cxr-reports.zip of MIMIC-CXR and name its folder with "
                    "--reports-root or MIMIC_CXR_REPORTS_ROOT.",
                    fatal=True,
                )
            )
        return problems

    def studies(self, split: str) -> Sequence[Study]:
        return self._load(split).studies

    def references(self, split: str) -> Sequence[Reference]:
        return self._load(split).references

    def left_out(self, split: str) -> Mapping[str, Sequence[str]]:
        return self._load(split).left_out

    def attributes(self, study_id: str, view: View) -> dict[str, str]:
        """What results of this study can be sliced by."""
        return {"view": view.position}

    def _load(self, split: str) -> _Split:
        if split not in self._loaded:
            fatal = [problem.what for problem in self.check() if problem.fatal]
            if fatal:
                raise UserError(f"{self.root} is not in MIMIC-CXR-JPG's layout: {' '.join(fatal)}")
            self._loaded[split] = self._read(split)
        return self._loaded[split]

    def _read(self, split: str) -> _Split:
        images = self._images
        rows = images[images["split"] == split].sort_values("study_id", kind="stable").to_dict("records")
        left_out: dict[str, list[str]] = {}
        pairs: list[tuple[Study, Reference]] = []
        for study_id, images_of_study in groupby(rows, key=itemgetter("study_id")):
            pair_or_reason = self._study(study_id, list(images_of_study), split)
            if isinstance(pair_or_reason, str):
                left_out.setdefault(pair_or_reason, []).append(study_id)
            else:
                pairs.append(pair_or_reason)
        return _Split(tuple(s for s, _ in pairs), tuple(r for _, r in pairs), dict(sorted(left_out.items())))

    def _study(self, study_id: str, rows: list[Row], split: str) -> tuple[Study, Reference] | str:
        """A study and its reference, or the reason why it is left out."""
        patients = {row["subject_id"] for row in rows}
        if len(patients) > 1 or any(not form.fullmatch(row[key]) for row in rows for key, form in _ID.items()):
            return BAD_ROW
        if any(row["position"] is None for row in rows):
            return NO_METADATA
        patient = patients.pop()
        folder = Path(f"p{patient[:2]}") / f"p{patient}"
        frontal = sorted(
            (r for r in rows if r["position"] in FRONTAL), key=lambda r: (FRONTAL.index(r["position"]), r["dicom_id"])
        )
        if not frontal:
            return NO_FRONTAL
        others = sorted((r for r in rows if r["position"] not in FRONTAL), key=lambda r: r["dicom_id"])
        views = tuple(
            View(
                self._image_folder / folder / f"s{study_id}" / f"{row['dicom_id']}.jpg",
                row["position"],
                row["dicom_id"],
            )
            for row in frontal + others
        )
        if not views[0].path.exists():
            return NO_IMAGE
        assert self._report_folder is not None  # `check` has seen to it
        report = self._report_folder / folder / f"s{study_id}.txt"
        if not report.exists():
            return NO_REPORT
        try:
            text = report.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return BAD_REPORT
        findings, impression = findings_and_impression(text, study_id)
        if not findings and not impression:
            return NO_SECTIONS
        context = _context(text)
        study = Study(study_id, patient, split, views, context, self.attributes(study_id, views[0]))
        return study, Reference(study_id, patient, findings, impression, self._labels.get(study_id, {}))

    @cached_property
    def _images(self) -> pd.DataFrame:
        """One row an image: dicom_id, study_id, subject_id, split, position (None where metadata lack the image)."""
        split = self._table("split", ["dicom_id", "study_id", "subject_id", "split"])
        known = {"train", "validate", "test"}
        wrong = split.loc[~split["split"].isin(known)]
        if len(wrong):
            row = wrong.index[0] + 2  # the header is row 1
            raise UserError(
                f"{self._table_path('split')}, row {row}: the split is '{wrong['split'].iloc[0]}', "
                "not train, validate or test. Use the released table."
            )
        doubled = split.loc[split["dicom_id"].duplicated()]
        if len(doubled):
            raise UserError(
                f"{self._table_path('split')}, row {doubled.index[0] + 2}: the image {doubled['dicom_id'].iloc[0]} "
                "stands there twice. Remove one row."
            )
        per_study = split.groupby("study_id")["split"].nunique()
        if (per_study > 1).any():
            study = per_study.index[per_study > 1][0]
            raise UserError(f"{self._table_path('split')}: the study {study} is in two splits. Use the released table.")
        metadata = self._table("metadata", ["dicom_id", "ViewPosition", "ViewCodeSequence_CodeMeaning"])
        named = metadata["ViewCodeSequence_CodeMeaning"].str.strip().str.lower().map(VIEW_NAMES).fillna("")
        position = metadata["ViewPosition"].str.strip().str.upper()
        position = position.where(position != "", named).astype(object)
        position.index = metadata["dicom_id"].to_numpy()
        split["position"] = split["dicom_id"].map(position[~position.index.duplicated()]).astype(object)
        split["position"] = split["position"].where(split["position"].notna(), None)
        return split

    @cached_property
    def _labels(self) -> dict[str, dict[str, float]]:
        """CheXpert labels by study. Blank cells (not mentioned) are left out; without a table there are none."""
        if self._table_path("chexpert") is None:
            return {}
        table = self._table("chexpert", ["study_id", *LABELS])
        values = table[list(LABELS)].apply(pd.to_numeric, errors="coerce")
        found: dict[str, dict[str, float]] = {}
        for study, row in zip(table["study_id"], values.to_numpy().tolist(), strict=True):
            found[study] = {name: value for name, value in zip(LABELS, row, strict=True) if value == value}
        return found

    def _table(self, name: str, columns: list[str]) -> pd.DataFrame:
        """Columns of a table as strings, empty cells as ''. Raises UserError naming the file."""
        path = self._table_path(name)
        assert path is not None  # `check` has seen to it, or the caller
        try:
            # Without `index_col` a comma at the end of each line would shift all columns by one.
            table = pd.read_csv(
                path,
                dtype=str,
                keep_default_na=False,
                usecols=lambda c: c in columns,
                index_col=False,
                encoding="utf-8",
            )
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise UserError(f"{path} cannot be read as a CSV table: {error}. Fetch it again.") from None
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise UserError(f"{path} has no column {', '.join(missing)}. Use the released table.")
        return table

    def _table_path(self, name: str) -> Path | None:
        stem = self.root / f"mimic-cxr-2.0.0-{name}.csv"
        return next((path for path in (stem.with_name(f"{stem.name}.gz"), stem) if path.is_file()), None)

    @cached_property
    def _image_folder(self) -> Path:
        return self.root / "files"

    @cached_property
    def _report_folder(self) -> Path | None:
        """The folder whose `p10/p1…/s….txt` are the reports: under the reports root, with or without `files/`."""
        base = self.reports_root or self.root
        for folder in (base / "files", base / "mimic-cxr-reports" / "files", base):
            if next(folder.glob("p[0-9][0-9]/p[0-9]*/s[0-9]*.txt"), None) is not None:
                return folder
        return None


def _context(text: str) -> dict[str, str]:
    """What the radiologist knew beforehand, out of the report's own sections; white space runs to one space."""
    sections, names, _ = section_text(text)
    wanted = ("indication", "history", "comparison")
    return {name: " ".join(section.split()) for name, section in zip(names, sections, strict=True) if name in wanted}
