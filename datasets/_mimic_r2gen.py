"""R2Gen's annotation.json of MIMIC-CXR: one row an image, the findings of its study as the report.

Source: Chen et al. 2020 (R2Gen); the counts are the authors' (R2Gen, issues 1 and 16).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.contracts import Problem
from benchmark.errors import UserError
from benchmark.schema import Reference, Study, View

from ._annotation import FILE, read_annotation
from ._entries import NO_IMAGE, NO_SECTIONS, Entry, inside
from ._mimic_layout import Layout

SPLIT_NAMES = {"train": "train", "val": "validate", "validate": "validate", "test": "test"}
OUTSIDE = "image path leads out of the folder"
DAMAGE = frozenset({NO_IMAGE, OUTSIDE})

_HEAD = 65_536
"""Bytes in which the first entries stand: the whole file has 170 MB."""


@dataclass(frozen=True)
class _Row:
    """An entry of the file."""

    image_id: str
    study_id: str
    patient_id: str
    report: str
    image: str


class R2Gen(Layout):
    """Reads the file. A study here is an image: that is the unit of R2Gen's published scores."""

    NAME = "r2gen"
    LIMITS = (
        "R2Gen's annotation.json has one row an image, laterals too: its 'studies' are images.",
        "It has findings alone: no impression and no context.",
        "It has no labels and no view positions.",
    )
    OFFICIAL = {"train": {"images": 270_790}, "validate": {"images": 2_130}, "test": {"images": 3_858}}

    @classmethod
    def recognise(cls, root: Path) -> bool:
        return (root / FILE).is_file() and _names_patients(root / FILE)

    def has_images(self) -> bool:
        return next(self._image_folder.glob("p[0-9][0-9]/"), None) is not None

    @property
    def words(self) -> str:
        return "R2Gen's annotation.json"

    def problems(self) -> list[Problem]:
        path = self.root / FILE
        if not path.is_file():
            return [Problem(f"{self.root} has no {FILE}.", fatal=True)]
        if not _names_patients(path):
            what = f"{path} has no subject_id, so it is not MIMIC-CXR's. If it is IU X-Ray's, the data set is iu-xray."
            return [Problem(what, fatal=True)]
        return []

    def read(self, split: str) -> Iterable[Entry]:
        for row in self._rows[split]:
            path = inside(self._image_folder, row.image)
            views = (View(path, "", row.image_id),) if path else ()
            study = Study(row.image_id, row.patient_id, split, views, {}, {"study": row.study_id})
            reason = ""
            if path is None:
                reason = OUTSIDE
            elif not path.exists():
                reason = NO_IMAGE
            elif not row.report:
                reason = NO_SECTIONS
            yield Entry(study, None if reason else Reference(row.image_id, row.patient_id, row.report), reason)

    @cached_property
    def _rows(self) -> Mapping[str, list[_Row]]:
        """Rows by split, each named by the row's own `split` (the key over them is not always one)."""
        path = self.root / FILE
        found: dict[str, list[_Row]] = {split: [] for split in self.SPLITS}
        seen: dict[str, str] = {}
        for where, entry in read_annotation(path):
            row = _row(f"{path}, {where}", entry)
            if entry["split"] not in SPLIT_NAMES:
                raise UserError(f"{path}, {where}: the split is '{entry['split']}', not train, val or test.")
            if row.image_id in seen:
                raise UserError(
                    f"{path}, {where}: the image {row.image_id} stands there twice, first at {seen[row.image_id]}."
                )
            seen[row.image_id] = where
            found[SPLIT_NAMES[entry["split"]]].append(row)
        return found

    @cached_property
    def _image_folder(self) -> Path:
        """Under `images/` or `files/`, or beside the file, as people unpack them."""
        return next((self.root / name for name in ("images", "files") if (self.root / name).is_dir()), self.root)


def _names_patients(path: Path) -> bool:
    """Whether the first entries have a subject_id, which IU X-Ray's have not."""
    try:
        with path.open("rb") as file:
            return b'"subject_id"' in file.read(_HEAD)
    except OSError:
        return False


def _row(where: str, entry: Mapping[str, Any]) -> _Row:
    """An entry as texts. Raises UserError, beginning with `where`, for one that lacks a part."""
    if "subject_id" not in entry:
        raise UserError(f"{where}: no subject_id, so it is not MIMIC-CXR's. Is the data set iu-xray?")
    image = entry.get("image_path")
    if isinstance(image, list) and len(image) == 1:
        (image,) = image
    if not isinstance(image, str):
        raise UserError(f"{where}: image_path names no image, or more than one. Use R2Gen's file.")
    if "report" not in entry or not isinstance(entry["report"], str | None):
        raise UserError(f"{where}: no report. Use R2Gen's file.")
    ids = [entry.get(name) for name in ("id", "study_id", "subject_id")]
    if not all(isinstance(one, str | int) and str(one).strip() for one in ids):
        raise UserError(f"{where}: no id, study_id or subject_id. Use R2Gen's file.")
    image_id, study_id, patient_id = (str(one).strip() for one in ids)
    return _Row(image_id, study_id, patient_id, (entry["report"] or "").strip(), image)
