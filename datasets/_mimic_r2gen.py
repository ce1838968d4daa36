"""R2Gen's annotation.json of MIMIC-CXR: one row an image, the findings of its study as the report.

Source: Chen et al. 2020 (R2Gen); the counts are the authors' (R2Gen, issues 1 and 16).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
_FIELDS = ("id", "study_id", "subject_id", "report", "image_path", "split")


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
        return (root / FILE).is_file()

    @property
    def words(self) -> str:
        return "R2Gen's annotation.json"

    def problems(self) -> list[Problem]:
        if not (self.root / FILE).is_file():
            return [Problem(f"{self.root} has no {FILE}.", fatal=True)]
        return []

    def read(self, split: str) -> Iterable[Entry]:
        for row in self._rows.get(split, []):
            patient, report = str(row["subject_id"]), str(row["report"]).strip()
            relative = str(row["image_path"][0])
            path = inside(self._image_folder, relative)
            views = (View(path, "", row["id"]),) if path else ()
            study = Study(row["id"], patient, split, views, {}, {"study": str(row["study_id"])})
            reason = ""
            if path is None:
                reason = OUTSIDE
            elif not path.exists():
                reason = NO_IMAGE
            elif not report:
                reason = NO_SECTIONS
            yield Entry(study, None if reason else Reference(row["id"], patient, report), reason)

    def unassigned(self) -> Mapping[str, Sequence[str]]:
        return self._unassigned

    @cached_property
    def _unassigned(self) -> dict[str, list[str]]:
        return {}

    @cached_property
    def _rows(self) -> dict[str, list[dict[str, Any]]]:
        """Rows by split, each named by the row's own `split` (the key over them is not always one)."""
        path = self.root / FILE
        found: dict[str, list[dict[str, Any]]] = {}
        seen: dict[str, str] = {}
        for where, row in read_annotation(path):
            missing = [field for field in _FIELDS if field not in row]
            if "subject_id" in missing:
                raise UserError(f"{path}, {where}: no subject_id, so it is not MIMIC-CXR's. Is the data set iu-xray?")
            if missing or not isinstance(row["image_path"], list) or not row["image_path"]:
                raise UserError(f"{path}, {where}: no {missing[0] if missing else 'image_path'}. Use R2Gen's file.")
            if row["split"] not in SPLIT_NAMES:
                raise UserError(f"{path}, {where}: the split is '{row['split']}', not train, val or test.")
            row["id"] = str(row["id"])
            if row["id"] in seen:
                raise UserError(
                    f"{path}, {where}: the image {row['id']} stands there twice, first at {seen[row['id']]}."
                )
            seen[row["id"]] = where
            found.setdefault(SPLIT_NAMES[row["split"]], []).append(row)
        return found

    @cached_property
    def _image_folder(self) -> Path:
        """Under `images/` or `files/`, or beside the file, as people unpack them."""
        return next((self.root / name for name in ("images", "files") if (self.root / name).is_dir()), self.root)
