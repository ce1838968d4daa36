"""MIMIC-CXR 2.x in DICOM: the record list, `files/…/<dicom_id>.dcm`, and the report files.

The release has neither a split nor view positions in a table: the split comes from MIMIC-CXR-JPG's split table, laid
beside the record list or the reports, the positions from its metadata table if that lies there, too, else from the
images' headers.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.console import progress
from benchmark.contracts import Problem
from benchmark.errors import UserError

from ._entries import NO_IMAGE, Entry
from ._mimic_jpg import image_path, some_images
from ._mimic_layout import Layout
from ._mimic_reports import Reports
from ._mimic_studies import Row, Rules
from ._mimic_tables import Tables, view_of_code
from ._tables import find_table, read_table

RECORDS = "cxr-record-list"
NO_SPLIT = "image not in the split table"
NO_RECORD = "image not in the record list"
BAD_HEADER = "DICOM header cannot be read"
DAMAGE = frozenset({NO_SPLIT, NO_RECORD, BAD_HEADER})

_UNREADABLE = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What pydicom raises on damaged headers."""


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
        self._headers: dict[str, tuple[str | None, str]] = {}

    @classmethod
    def recognise(cls, root: Path) -> bool:
        return find_table(root, RECORDS) is not None

    def has_images(self) -> bool:
        return some_images(self.image_folder, ".dcm")

    @property
    def words(self) -> str:
        return "MIMIC-CXR 2.x in DICOM"

    @cached_property
    def split_table(self) -> Tables | None:
        return self._holding("split")

    @cached_property
    def metadata_table(self) -> Tables | None:
        return self._holding("metadata")

    def _holding(self, name: str) -> Tables | None:
        """Where a table of MIMIC-CXR-JPG lies: in the root, or with the reports; None where in neither."""
        folders = [Tables(folder) for folder in (self.root, self.reports_root) if folder]
        return next((tables for tables in folders if tables.path(name)), None)

    def problems(self) -> list[Problem]:
        problems = []
        if find_table(self.root, RECORDS) is None:
            problems.append(Problem(f"{self.root} has no {RECORDS}.csv.gz (or .csv).", fatal=True))
        if self.split_table is None:
            what = (
                f"{self.root} has no split: MIMIC-CXR in DICOM brings none. Lay mimic-cxr-2.0.0-split.csv.gz of "
                "MIMIC-CXR-JPG beside the record list."
            )
            problems.append(Problem(what, fatal=True))
        if not self.image_folder.is_dir():
            problems.append(Problem(f"{self.root} has no folder files/ with the images.", fatal=True))
        return problems + self.reports.problems()

    def read(self, split: str) -> Iterable[Entry]:
        assert self.split_table is not None  # `problems` has seen to it
        studies = list(self.split_table.studies(split, self._table_positions))
        if self.metadata_table is None:
            self._read_headers([row for _, rows in studies for row in rows])
        rules = Rules(self.image, self.reports.read, dict)
        for study_id, rows in studies:
            yield rules.entry(study_id, [self._placed(row) for row in rows], split)

    def unassigned(self) -> Mapping[str, Sequence[str]]:
        assert self.split_table is not None  # `problems` has seen to it
        assigned = set(self.split_table.split["dicom_id"])
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

    @property
    def _table_positions(self) -> Mapping[str, str]:
        return {} if self.metadata_table is None else self.metadata_table.positions

    def _placed(self, row: Row) -> Row:
        """The row with its view position, or why it cannot be known."""
        if row.dicom_id not in self._records:
            return replace(row, position=None, unknown=NO_RECORD)
        if self.metadata_table is None and row.dicom_id in self._headers:
            position, reason = self._headers[row.dicom_id]
            return replace(row, position=position, unknown=reason)
        return row

    def _read_headers(self, rows: Sequence[Row]) -> None:
        wanted = self._records.keys() - self._headers.keys()
        unread = [row for row in rows if row.sound and row.dicom_id in wanted]
        if not unread:
            return
        read = _header_reader()
        with progress("Reading view positions", len(unread)) as advance, ThreadPoolExecutor() as pool:
            for row, found in zip(unread, pool.map(read, map(self.image, unread)), strict=True):
                self._headers[row.dicom_id] = found
                advance(1)


def _header_reader() -> Any:
    """A function from a DICOM file to its view position (empty where it says none), or None and why it is not known."""
    try:
        import pydicom
    except ImportError:
        raise UserError(
            'Reading DICOM files needs pydicom: pip install "cxr-report-bench[dicom]", or lay '
            "mimic-cxr-2.0.0-metadata.csv.gz of MIMIC-CXR-JPG beside the record list."
        ) from None
    # It warns of every odd value; what matters here raises.
    warnings.filterwarnings("ignore", module="pydicom")

    tags = ["ViewPosition", "ViewCodeSequence", "Rows"]

    def position(path: Path) -> tuple[str | None, str]:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
            if not header.Rows:  # it comes after the view: a header cut short may lack both
                return None, BAD_HEADER
            stated = str(header.get("ViewPosition") or "").strip().upper()
            codes = header.get("ViewCodeSequence") or []
            return stated or view_of_code(str(codes[0].get("CodeMeaning") or "") if len(codes) else ""), ""
        except FileNotFoundError:
            return None, NO_IMAGE
        except (pydicom.errors.InvalidDicomError, pydicom.errors.BytesLengthException, *_UNREADABLE):
            return None, BAD_HEADER

    return position
