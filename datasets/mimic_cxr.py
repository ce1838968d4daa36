"""MIMIC-CXR in any of five forms: 227,835 studies of 65,379 patients, with the official split."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path

from benchmark.contracts import Problem
from benchmark.errors import unknown

from . import _mimic_kaggle, _mimic_studies
from ._entries import NO_IMAGE
from ._mimic_dicom import Dicom
from ._mimic_jpg import JPG
from ._mimic_kaggle import Kaggle
from ._mimic_layout import Layout, LayoutDataset
from ._mimic_mapped import Mapped
from ._mimic_r2gen import OUTSIDE, R2Gen

LAYOUTS: Mapping[str, type[Layout]] = {form.NAME: form for form in (Mapped, Dicom, JPG, Kaggle, R2Gen)}
"""In the order in which they are recognised: the more particular mark first."""


class Dataset(LayoutDataset):
    """MIMIC-CXR (Johnson et al. 2019), as MIMIC-CXR-JPG, in DICOM, or as one of the copies in circulation."""

    VERSION = "2.x"
    LICENCE = "PhysioNet Credentialed Health Data License 1.5.0"
    SPLITS = JPG.SPLITS
    MAY_LEAVE = frozenset[str]()
    DAMAGE = _mimic_studies.DAMAGE | _mimic_kaggle.DAMAGE | {NO_IMAGE, OUTSIDE}
    OPTIONS = {
        "layout": f"The form of the copy, where it is not to be recognised: {', '.join(sorted(LAYOUTS))}.",
        "pairing": "Kaggle's copy: `order` pairs a patient's i-th study with the i-th report, which nobody proved.",
        "augmented": "Kaggle's copy: `yes` trains on its back-translated reports, too. They are never references.",
    }

    def __init__(self, root: Path, reports_root: Path | None = None, options: Mapping[str, str] | None = None):
        super().__init__(root, reports_root, options)
        if self.options.get("layout", "jpg") not in LAYOUTS:
            raise unknown("layout", self.options["layout"], LAYOUTS)

    @property
    def name(self) -> str:
        return f"mimic-cxr{self.form.suffix}"

    def check(self) -> list[Problem]:
        if self._recognised is None:
            what = (
                f"{self.root} holds MIMIC-CXR in no known form: MIMIC-CXR-JPG has mimic-cxr-2.0.0-split.csv.gz, "
                "mimic-cxr-2.0.0-metadata.csv.gz and files/; DICOM cxr-record-list.csv.gz; Kaggle's copy "
                "mimic_cxr_aug_train.csv; R2Gen's annotation.json; any other copy a mapping.toml."
            )
            return [Problem(what, fatal=True)]
        return self.form.problems()

    @cached_property
    def form(self) -> Layout:
        return (self._recognised or JPG)(self.root, self.reports_root, self.options)

    @cached_property
    def _recognised(self) -> type[Layout] | None:
        if "layout" in self.options:
            return LAYOUTS[self.options["layout"]]
        found = [form for form in LAYOUTS.values() if form.recognise(self.root)]
        if found[:2] == [Dicom, JPG] and not _has_dicom(self.root / "files"):
            return JPG  # the record list came along with the reports
        if not found and (self.root / "files").is_dir():
            return JPG  # half a copy, whose missing tables are to be named
        return found[0] if found else None


def _has_dicom(folder: Path) -> bool:
    """Whether the first images below a folder are DICOM files: the tables of both releases may lie side by side."""
    images = islice((path for path in folder.glob("p[0-9][0-9]/p[0-9]*/s[0-9]*/*") if path.is_file()), 3)
    return any(path.suffix == ".dcm" for path in images)
