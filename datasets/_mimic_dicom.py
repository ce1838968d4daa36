"""MIMIC-CXR 2.x in DICOM: the record list, `files/…/<dicom_id>.dcm`, and the report files.

The release has neither a split nor view positions in a table: the split comes from MIMIC-CXR-JPG's split table, laid
beside the record list, the positions from its metadata table if that lies there, too, else from the images' headers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.console import progress
from benchmark.contracts import Problem
from benchmark.errors import UserError

from ._entries import Entry
from ._mimic_jpg import image_path
from ._mimic_layout import Layout
from ._mimic_reports import Reports
from ._mimic_studies import Row, Rules
from ._mimic_tables import VIEW_NAMES, Tables
from ._tables import find_table, read_table

RECORDS = "cxr-record-list"
NO_SPLIT = "image not in the split table"


class Dicom(Layout):
    """Reads the layout."""

    NAME = "dicom"
    LIMITS = (
        "MIMIC-CXR in DICOM has no labels: they come with MIMIC-CXR-JPG.",
        "It has no split of its own: MIMIC-CXR-JPG's split table is read.",
        "Its images are not histogram-equalised, as MIMIC-CXR-JPG's are: never mix the two.",
    )

    def __init__(self, root: Path, reports_root: Path | None = None, options: Mapping[str, str] | None = None):
        super().__init__(root, reports_root, options)
        self.reports = Reports(reports_root or self.root)
        self._headers: dict[str, str] = {}

    @classmethod
    def recognise(cls, root: Path) -> bool:
        return find_table(root, RECORDS) is not None

    @property
    def words(self) -> str:
        return "MIMIC-CXR 2.x in DICOM"

    @cached_property
    def tables(self) -> Tables:
        """Where the split table lies: in the root, or with the reports."""
        folders = [Tables(folder) for folder in (self.root, self.reports_root) if folder]
        return next((tables for tables in folders if tables.path("split")), folders[0])

    def problems(self) -> list[Problem]:
        problems = []
        if find_table(self.root, RECORDS) is None:
            problems.append(Problem(f"{self.root} has no {RECORDS}.csv.gz (or .csv).", fatal=True))
        if self.tables.path("split") is None:
            what = (
                f"{self.root} has no split: MIMIC-CXR in DICOM brings none. Lay mimic-cxr-2.0.0-split.csv.gz of "
                "MIMIC-CXR-JPG beside the record list."
            )
            problems.append(Problem(what, fatal=True))
        if not self.image_folder.is_dir():
            problems.append(Problem(f"{self.root} has no folder files/ with the images.", fatal=True))
        return problems + self.reports.problems()

    def read(self, split: str) -> Iterable[Entry]:
        studies = list(self.tables.studies(split, {}))
        positions = self._positions([row for _, rows in studies for row in rows])
        rules = Rules(self.image, self.reports.read, dict)
        for study_id, rows in studies:
            found = [Row(r.dicom_id, r.study_id, r.subject_id, positions.get(r.dicom_id)) for r in rows]
            yield rules.entry(study_id, found, split)

    def unassigned(self) -> Mapping[str, Sequence[str]]:
        assigned = set(self.tables.split["dicom_id"])
        studies = [study for dicom_id, study in self._records.items() if dicom_id not in assigned]
        return {NO_SPLIT: sorted(set(studies))} if studies else {}

    def image(self, row: Row) -> Path:
        return image_path(self.image_folder, row, ".dcm")

    @cached_property
    def image_folder(self) -> Path:
        return self.root / "files"

    @cached_property
    def _records(self) -> Mapping[str, str]:
        """study_id by dicom_id, as the record list has them."""
        path = find_table(self.root, RECORDS)
        assert path is not None  # `problems` has seen to it
        table = read_table(path, ["study_id", "dicom_id"])
        return dict(zip(table["dicom_id"].tolist(), table["study_id"].tolist(), strict=True))

    def _positions(self, rows: Sequence[Row]) -> Mapping[str, str]:
        """View positions by dicom_id; images that the record list lacks are left out."""
        recorded = [row for row in rows if row.dicom_id in self._records]
        if self.tables.path("metadata") is not None:
            return {row.dicom_id: self.tables.positions.get(row.dicom_id, "") for row in recorded}
        unread = [row for row in recorded if row.sound and row.dicom_id not in self._headers]
        if unread:
            read = _header_reader()
            with progress("Reading view positions", len(unread)) as advance, ThreadPoolExecutor() as pool:
                for row, position in zip(unread, pool.map(read, map(self.image, unread)), strict=True):
                    self._headers[row.dicom_id] = position
                    advance(1)
        return {row.dicom_id: self._headers.get(row.dicom_id, "") for row in recorded}


def _header_reader() -> Any:
    """A function from a DICOM file to its view position; empty where the file is missing or says none."""
    try:
        import pydicom
        from pydicom.errors import InvalidDicomError
    except ImportError:
        raise UserError(
            'Reading DICOM files needs pydicom: pip install "cxr-report-bench[dicom]", or lay '
            "mimic-cxr-2.0.0-metadata.csv.gz of MIMIC-CXR-JPG beside the record list."
        ) from None

    def position(path: Path) -> str:
        try:
            header = pydicom.dcmread(
                path, stop_before_pixels=True, specific_tags=["ViewPosition", "ViewCodeSequence"], force=False
            )
        except (OSError, InvalidDicomError, EOFError, ValueError, KeyError, AttributeError):
            return ""
        stated = str(header.get("ViewPosition") or "").strip().upper()
        codes = header.get("ViewCodeSequence") or []
        meaning = str(codes[0].get("CodeMeaning") or "") if len(codes) else ""
        return stated or VIEW_NAMES.get(meaning.strip().lower(), "")

    return position
