"""A resized or reorganised copy of MIMIC-CXR-JPG, described by a `mapping.toml` in its root.

name = "mimic-512"                                     # optional; the data set is then mimic-cxr-mimic-512
images = "images/{group}/{dicom_id}.png"               # fields: subject_id, study_id, dicom_id, group (p10)
reports = "reports/s{study_id}.txt"                    # optional; else MIMIC-CXR's own places
tables = "tables"                                      # optional; else the root
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from benchmark.contracts import Problem
from benchmark.errors import UserError

from ._entries import Entry, inside
from ._mimic_labels import Labels, read_labels
from ._mimic_layout import Layout
from ._mimic_reports import Reports, read_report
from ._mimic_studies import Row, Rules
from ._mimic_tables import Tables

FILE = "mapping.toml"
KEYS = ("name", "images", "reports", "tables")
FIELDS = ("subject_id", "study_id", "dicom_id", "group")
TAKEN = ("dicom", "kaggle", "r2gen")
"""Beginnings of names that other forms have: unlike data have unlike names."""


class Mapped(Layout):
    """Reads such a copy; everything but the places of files is as in MIMIC-CXR-JPG."""

    NAME = "mapped"
    LIMITS = ("Its images are not the release's own: whoever made the copy has resized or converted them.",)

    @classmethod
    def recognise(cls, root: Path) -> bool:
        return (root / FILE).is_file()

    def has_images(self) -> bool:
        """True: whoever wrote a mapping says where they lie."""
        return True

    @property
    def suffix(self) -> str:
        return f"-{self.mapping.get('name', self.NAME)}"

    @property
    def words(self) -> str:
        return f"a copy of MIMIC-CXR-JPG as {FILE} describes it"

    def problems(self) -> list[Problem]:
        try:
            problems = self.tables.problems("split", "metadata")
        except UserError as error:
            return [Problem(str(error), fatal=True)]
        if "reports" not in self.mapping:
            problems += self.reports.problems()
        return problems

    def read(self, split: str) -> Iterable[Entry]:
        report = self.report if "reports" in self.mapping else self.reports.read
        rules = Rules(self.image, report, lambda: self.labels)
        for study_id, rows in self.tables.studies(split, self.tables.positions):
            yield rules.entry(study_id, rows, split)

    def image(self, row: Row) -> Path:
        group = f"p{row.subject_id[:2]}"
        ids = {"subject_id": row.subject_id, "study_id": row.study_id, "dicom_id": row.dicom_id, "group": group}
        return self.root / self.mapping["images"].format(**ids)

    def report(self, patient: str, study: str) -> tuple[str, str]:
        ids = {"subject_id": patient, "study_id": study, "group": f"p{patient[:2]}"}
        return read_report(self.root / self.mapping["reports"].format(**ids))

    @cached_property
    def mapping(self) -> Mapping[str, str]:
        """The file's content. Raises UserError for what is wrong in it."""
        return _checked(self.root / FILE)

    @cached_property
    def tables(self) -> Tables:
        return Tables(self.root / self.mapping.get("tables", "."))

    @cached_property
    def reports(self) -> Reports:
        return Reports(self.reports_root or self.root)

    @cached_property
    def labels(self) -> dict[str, Labels]:
        return read_labels(self.tables.folder)


def _checked(path: Path) -> Mapping[str, str]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}). It describes where images lie.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a TOML file: {error}.") from None
    if unknown := sorted(found.keys() - set(KEYS)):
        raise UserError(f"{path} has the key '{unknown[0]}'; it takes {', '.join(KEYS)}.")
    for key, value in found.items():
        if not isinstance(value, str):
            raise UserError(f"{path}: {key} takes a text in quotes, not {value}.")
    if "images" not in found:
        raise UserError(f'{path} lacks the key images, such as images = "images/{{dicom_id}}.png".')
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", found.get("name", "x")):
        raise UserError(f"{path}: the name '{found['name']}' must be of lower-case letters, digits, dots and hyphens.")
    if found.get("name", "").startswith(TAKEN):
        raise UserError(f"{path}: the name '{found['name']}' begins like another form's. Choose one that does not.")
    for key, fields in (("images", FIELDS), ("reports", ("subject_id", "study_id", "group")), ("tables", ())):
        if key in found:
            _check_pattern(path, key, found[key], fields)
    if "{dicom_id}" not in found["images"]:
        raise UserError(f"{path}: images must have the field {{dicom_id}}, or all images would be one.")
    if "reports" in found and "{study_id}" not in found["reports"]:
        raise UserError(f"{path}: reports must have the field {{study_id}}, or all reports would be one.")
    return found


def _check_pattern(path: Path, key: str, pattern: str, fields: tuple[str, ...]) -> None:
    try:
        # Written as it would stand in the pattern: `{dicom_id:>99}` and `{dicom_id!r}` are no fields.
        used = [
            f"{name}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}"
            for _, name, spec, conversion in string.Formatter().parse(pattern)
            if name is not None
        ]
    except ValueError as error:
        raise UserError(f"{path}: {key} is no pattern ({error}).") from None
    if wrong := [name for name in used if name not in fields]:
        known = ", ".join(f"{{{field}}}" for field in fields) or "no field"
        raise UserError(f"{path}: {key} has the field {{{wrong[0]}}}; it takes {known}.")
    if inside(Path("."), pattern) is None:
        raise UserError(f"{path}: {key} = '{pattern}' leads out of the folder; paths are relative to it, without '..'.")
