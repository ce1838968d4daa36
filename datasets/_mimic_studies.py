"""The rules that make a study of MIMIC-CXR out of the rows of its images."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.schema import Reference, Study, View
from benchmark.sections import findings_and_impression

from ._entries import NO_IMAGE, NO_SECTIONS, Entry
from ._mimic_reports import BAD_REPORT, LOCKED_REPORT, NO_REPORT, context

FRONTAL = ("PA", "AP")
"""Frontal view positions in the order in which one is chosen; ties go by dicom_id."""

NO_FRONTAL = "no frontal (PA or AP) image"
BAD_ROW = "malformed id in the split table"
NO_METADATA = "image not in the metadata table"
DAMAGE = frozenset({NO_IMAGE, NO_REPORT, BAD_REPORT, LOCKED_REPORT, BAD_ROW, NO_METADATA})

_NUMBER = re.compile(r"[0-9]{8}")
_DICOM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{8}){4}")


@dataclass(frozen=True)
class Row:
    """One image as the tables have it."""

    dicom_id: str
    study_id: str
    subject_id: str
    position: str | None
    """DICOM ViewPosition; empty where nobody states it, None where it cannot be known."""
    unknown: str = NO_METADATA
    """Why it cannot be known."""

    @property
    def sound(self) -> bool:
        """Whether the ids are ids. They become paths, so nothing else is let through."""
        numbers = _NUMBER.fullmatch(self.study_id) and _NUMBER.fullmatch(self.subject_id)
        return bool(numbers and _DICOM.fullmatch(self.dicom_id))


@dataclass(frozen=True)
class Rules:
    """How a layout finds what belongs to a study."""

    image: Callable[[Row], Path]
    report: Callable[[str, str], tuple[str, str]]
    """Text of a report and why there is none, by patient and study (see Reports.read)."""
    labels: Callable[[], Mapping[str, Mapping[str, Mapping[str, float]]]]
    """Label tables by source and study."""
    attributes: Callable[[str, View], dict[str, str]] = lambda study_id, view: {"view": view.position}
    """What results of a study with this first view can be sliced by."""

    def entry(self, study_id: str, rows: Sequence[Row], split: str) -> Entry:
        """A study from the rows of its images, or the reason why it is left out."""
        patient = rows[0].subject_id
        if any(row.subject_id != patient or not row.sound for row in rows):
            return Entry(Study(study_id, patient, split), None, BAD_ROW)
        views = tuple(View(self.image(row), row.position or "", row.dicom_id) for row in sorted(rows, key=_order))
        listed = Study(study_id, patient, split, views, {}, self.attributes(study_id, views[0]))
        if reasons := [row.unknown for row in rows if row.position is None]:
            # The image may be the one that the rules would put first.
            return Entry(listed, None, reasons[0])
        if views[0].position not in FRONTAL:
            return Entry(listed, None, NO_FRONTAL)
        if not views[0].path.exists():
            return Entry(listed, None, NO_IMAGE)
        text, reason = self.report(patient, study_id)
        if reason:
            return Entry(listed, None, reason)
        findings, impression = findings_and_impression(text, study_id)
        if not findings and not impression:
            return Entry(listed, None, NO_SECTIONS)
        sets = {source: of[study_id] for source, of in self.labels().items() if study_id in of}
        study = Study(study_id, patient, split, views, context(text), listed.attributes)
        return Entry(study, Reference(study_id, patient, findings, impression, sets))


def _order(row: Row) -> tuple[int, str]:
    """PA, then AP, then all others; within each by dicom_id, never by file system or table order."""
    return (FRONTAL.index(row.position) if row.position in FRONTAL else len(FRONTAL), row.dicom_id)
