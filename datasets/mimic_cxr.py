"""MIMIC-CXR in any of five forms: 227,835 studies of 65,379 patients, with the official split."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path

from benchmark.contracts import Problem
from benchmark.errors import unknown

from . import _mimic_dicom, _mimic_kaggle, _mimic_r2gen, _mimic_studies
from ._annotation import FILE as ANNOTATION
from ._mimic_dicom import Dicom
from ._mimic_jpg import JPG
from ._mimic_kaggle import Kaggle
from ._mimic_layout import Layout, LayoutDataset
from ._mimic_mapped import Mapped
from ._mimic_r2gen import R2Gen

LAYOUTS: Mapping[str, type[Layout]] = {form.NAME: form for form in (Mapped, JPG, Dicom, Kaggle, R2Gen)}
"""In the order in which one is taken where a root has the marks, and the images, of several."""

DEEPER = ("*", "mimic-cxr*/*", "files/mimic-cxr*/*", "physionet.org/files/mimic-cxr*/*")
"""Where the data may lie below the folder that people name; `wget -r` makes the last one."""
_LOOKED_AT = 100
"""So many folders are looked at for each of DEEPER."""


class Dataset(LayoutDataset):
    """MIMIC-CXR (Johnson et al. 2019), as MIMIC-CXR-JPG, in DICOM, or as one of the copies in circulation."""

    VERSION = "2.x"
    LICENCE = "PhysioNet Credentialed Health Data License 1.5.0"
    SPLITS = JPG.SPLITS
    MAY_LEAVE = frozenset[str]()
    DAMAGE = _mimic_studies.DAMAGE | _mimic_dicom.DAMAGE | _mimic_kaggle.DAMAGE | _mimic_r2gen.DAMAGE
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
            return [Problem(what, fatal=True), *self._deeper()]
        return [*self._misfits(), *self.form.problems(), *([] if self._marked else self._deeper())]

    def _misfits(self) -> list[Problem]:
        """Options that are not for this form, and values that they do not take."""
        problems = []
        for option, value in self.options.items():
            if option == "layout":
                continue
            values = self.form.OPTIONS.get(option)
            if values is None:
                what = f"--data-option {option} is not for {self.form.words}: leave it out."
                problems.append(Problem(what, fatal=True))
            elif value not in values:
                what = f"--data-option {option} takes {' or '.join(values)}, not '{value}'."
                problems.append(Problem(what, fatal=True))
        return problems

    def _deeper(self) -> list[Problem]:
        """Where the data lie instead, if that is quickly seen."""
        folders = (folder for pattern in DEEPER for folder in islice(self.root.glob(f"{pattern}/"), _LOOKED_AT))
        found = sorted(folder for folder in folders if any(form.recognise(folder) for form in LAYOUTS.values()))
        return [Problem(f"The data seem to lie deeper, in {found[-1]}: name that folder.", fatal=True)] if found else []

    @cached_property
    def form(self) -> Layout:
        return (self._recognised or JPG)(self.root, self.reports_root, self.options)

    @cached_property
    def _marked(self) -> list[type[Layout]]:
        """The forms whose marks lie in the root."""
        return [form for form in LAYOUTS.values() if form.recognise(self.root)]

    @cached_property
    def _recognised(self) -> type[Layout] | None:
        if "layout" in self.options:
            return LAYOUTS[self.options["layout"]]
        if len(self._marked) > 1:  # tables of one form were laid beside those of another
            with_images = (form for form in self._marked if form(self.root).has_images())
            return next(with_images, JPG if JPG in self._marked else self._marked[0])
        if self._marked:
            return self._marked[0]
        # Half a copy, whose missing parts are to be named; or IU X-Ray's annotation.json, which is to be told.
        if (self.root / "files").is_dir():
            return JPG
        return R2Gen if (self.root / ANNOTATION).is_file() else None
