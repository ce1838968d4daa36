"""MIMIC-CXR-JPG's own layout: tables, `files/` with the images, report files there or elsewhere.

Source of the layout: PhysioNet, mimic-cxr-jpg 2.0.0 and 2.1.0, and mimic-cxr 2.0.0 for the report files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from benchmark.contracts import Problem
from benchmark.schema import View

from ._entries import Entry
from ._mimic_labels import Labels, read_labels
from ._mimic_layout import Counts, Layout, LayoutDataset
from ._mimic_reports import Reports, some_patients
from ._mimic_studies import DAMAGE, Row, Rules
from ._mimic_tables import Tables
from ._tables import find_table


def image_path(folder: Path, row: Row, suffix: str) -> Path:
    """`p10/p10000032/s50414267/<dicom_id>` under the folder that holds p10 … p19."""
    patient = row.subject_id
    # One join, because pathlib is slow and the real tables have 377,110 images.
    return folder / f"p{patient[:2]}/p{patient}/s{row.study_id}/{row.dicom_id}{suffix}"


def some_images(folder: Path, suffix: str) -> bool:
    """Whether the first few patients under the folder that holds p10 … p19 have an image with that suffix."""
    return any(next(patient.glob(f"s[0-9]*/*{suffix}"), None) for patient in some_patients(folder))


class JPG(Layout):
    """Reads the layout."""

    NAME = "jpg"

    def __init__(self, root: Path, reports_root: Path | None = None, options: Mapping[str, str] | None = None):
        super().__init__(root, reports_root, options)
        self.tables = Tables(self.root)
        self.reports = Reports(reports_root or self.root)

    @classmethod
    def recognise(cls, root: Path) -> bool:
        return find_table(root, "mimic-cxr-2.0.0-split") is not None

    def has_images(self) -> bool:
        return some_images(self.image_folder, ".jpg")

    @property
    def suffix(self) -> str:
        return ""

    @property
    def words(self) -> str:
        labelled = find_table(self.root, "mimic-cxr-2.1.0-test-set-labeled") is not None
        return f"MIMIC-CXR-JPG {'2.1.0' if labelled else '2.0.0'}"

    def problems(self) -> list[Problem]:
        problems = self.tables.problems("split", "metadata")
        if not problems and self.tables.path("chexpert") is None:
            what = f"{self.root} has no mimic-cxr-2.0.0-chexpert.csv.gz (or .csv): there are no labels by CheXpert."
            problems.append(Problem(what, fatal=False))
        if not self.image_folder.is_dir():
            problems.append(Problem(f"{self.root} has no folder files/ with the images.", fatal=True))
        return problems + self.reports.problems()

    def read(self, split: str) -> Iterable[Entry]:
        rules = Rules(self.image, self.reports.read, lambda: self.labels, self.attributes)
        for study_id, rows in self.tables.studies(split, self.tables.positions):
            yield rules.entry(study_id, rows, split)

    def image(self, row: Row) -> Path:
        return image_path(self.image_folder, row, ".jpg")

    def attributes(self, study_id: str, view: View) -> dict[str, str]:
        """What results of this study can be sliced by."""
        return {"view": view.position}

    @cached_property
    def image_folder(self) -> Path:
        return self.root / "files"

    @cached_property
    def labels(self) -> dict[str, Labels]:
        return read_labels(self.root)


class MimicCXRJPG(LayoutDataset):
    """A data set in this layout; what is particular to it (name, licence) is the subclass's."""

    SPLITS = JPG.SPLITS
    DAMAGE = DAMAGE

    @cached_property
    def form(self) -> Layout:
        return JPG(self.root, self.reports_root)

    @property
    def layout(self) -> str:
        return f"{self.VERSION}, laid out as MIMIC-CXR-JPG"

    @property
    def official(self) -> Counts:
        """None: MIMIC-CXR's own figures are told of its own releases alone."""
        return {}
