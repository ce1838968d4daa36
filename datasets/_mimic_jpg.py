"""MIMIC-CXR-JPG's layout: tables, images and report files under a root.

Source of the layout: PhysioNet, mimic-cxr-jpg 2.0.0 and 2.1.0 (the tables keep the name 2.0.0 in both), and
mimic-cxr 2.0.0 for the report files.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.contracts import Problem
from benchmark.errors import UserError
from benchmark.schema import Reference, Study, View
from benchmark.sections import findings_and_impression, section_text

from ._chexpert import LABELS
from ._entries import NO_IMAGE, NO_SECTIONS, Entry, EntryDataset
from ._tables import find_table, read_table

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
NO_REPORT = "report file missing"
BAD_REPORT = "report is not UTF-8 text"
BAD_ROW = "malformed id in the split table"
NO_METADATA = "image not in the metadata table"


Row = dict[Hashable, Any]
"""An image's row of the joined tables: ids, split and position as strings."""


class MimicCXRJPG(EntryDataset):
    """Reads the layout; what is particular to a data set (name, licence) is the subclass's."""

    SPLITS = ("train", "validate", "test")
    DAMAGE = frozenset({NO_IMAGE, NO_REPORT, BAD_REPORT, BAD_ROW, NO_METADATA})
    TABLES = ("split", "metadata", "chexpert")

    def __init__(self, root: Path, reports_root: Path | None = None, options: Mapping[str, str] | None = None):
        # People name the folder with the tables, or files/ beside them.
        super().__init__(root.parent if root.name == "files" else root, reports_root, options)

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

    def attributes(self, study_id: str, view: View) -> dict[str, str]:
        """What results of this study can be sliced by."""
        return {"view": view.position}

    def read(self, split: str) -> Iterable[Entry]:
        images = self._images
        rows = images[images["split"] == split].sort_values("study_id", kind="stable").to_dict("records")
        for study_id, images_of_study in groupby(rows, key=itemgetter("study_id")):
            found = list(images_of_study)
            pair_or_reason = self._study(study_id, found, split)
            if isinstance(pair_or_reason, str):
                yield Entry(Study(study_id, found[0]["subject_id"], split), None, pair_or_reason)
            else:
                yield Entry(*pair_or_reason)

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
        labels = {"chexpert": self._labels[study_id]} if study_id in self._labels else {}
        return study, Reference(study_id, patient, findings, impression, labels)

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
        return read_table(path, columns)

    def _table_path(self, name: str) -> Path | None:
        return find_table(self.root, f"mimic-cxr-2.0.0-{name}")

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
