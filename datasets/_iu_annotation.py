"""R2Gen's annotation.json of IU X-Ray: the split that everybody compares on, and the findings.

Source of the form: R2Gen (Chen et al. 2020), data/iu_xray/annotation.json. Entries are grouped by their own `split`:
one copy in circulation calls the test key by four spaces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import UserError

from ._annotation import read_annotation

SPLITS = ("train", "val", "test")
_ID = re.compile(r"CXR([0-9]{1,6})(?:_.*)?")


@dataclass(frozen=True)
class Annotation:
    """One study."""

    study_id: str
    number: int
    """The study's number in the whole collection: the digits behind CXR."""
    split: str
    findings: str
    images: tuple[str, ...]
    """Paths below the image folder."""


def read_studies(path: Path) -> list[Annotation]:
    """All studies. Raises UserError, naming the entry, for what is no such file."""
    found: dict[int, Annotation] = {}
    for where, entry in read_annotation(path):
        annotation = _annotation(entry, f"{path}, {where}")
        if annotation.number in found:
            raise UserError(f"{path} has the study {annotation.study_id} twice. Remove one entry.")
        found[annotation.number] = annotation
    return list(found.values())


def number_of(study_id: str) -> int | None:
    """The number in a study's id, in any of its spellings: `CXR2384_IM-0942`, `CXR2384`, `2384`."""
    match = _ID.fullmatch(study_id.strip().upper()) or re.fullmatch(r"([0-9]{1,6})", study_id.strip())
    return int(match[1]) if match else None


def _annotation(entry: Mapping[str, Any], where: str) -> Annotation:
    if "subject_id" in entry:
        raise UserError(f"{where} is of MIMIC-CXR: read the folder as --dataset mimic-cxr --layout r2gen.")
    if not {"id", "report", "image_path"} <= entry.keys():
        raise UserError(f"{where} lacks id, report or image_path. Use R2Gen's file.")
    study_id, report, images = entry["id"], entry["report"], entry["image_path"]
    number = _ID.fullmatch(study_id) if isinstance(study_id, str) else None
    texts = [report, *(images if isinstance(images, list) else [None])]
    if number is None or not all(isinstance(text, str) for text in texts):
        raise UserError(
            f"{where}: the id '{study_id}' is not of IU X-Ray (CXR…), or a field is not text. Use R2Gen's file."
        )
    return Annotation(study_id, int(number[1]), entry["split"], report.strip(), tuple(images))
