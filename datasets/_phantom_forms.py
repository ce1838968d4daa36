"""The phantom written in each form in which people hold MIMIC-CXR, so that every loader can be tried without the data.

Each form holds what the real one does and no more: R2Gen's findings alone, a row an image; Kaggle's no test split and
some 30 % of its images missing; DICOM neither labels nor a split of its own (the split table is laid beside it).
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from benchmark.errors import UserError
from benchmark.schema import Reference, Study
from benchmark.sections import join_output

from . import _mimic_kaggle as kaggle
from ._mimic_jpg import JPG
from ._mimic_mapped import FILE as MAPPING
from ._mimic_tables import SPLITS

ABSENT = 0.3
"""Share of the images that the Kaggle copy lists and does not have."""
SHELLS = 0.2
"""Share of Kaggle's patients with one study that have an empty report as well."""
INVERTED = 0.3
"""Share of the DICOM files that are MONOCHROME1."""
BITS = 12

HALVED = """\
name = "half"
images = "images/{dicom_id}.png"
reports = "reports/s{study_id}.txt"
tables = "tables"
"""
"""The mapping of the mapped form, whose images have half the side."""

Pairs = Mapping[str, Sequence[tuple[Study, Reference]]]
"""Used studies with their references, by split."""


def rewrite(source: Path, target: Path, form: str) -> None:
    """Write the phantom at `source` (in MIMIC-CXR-JPG's layout) to `target` in a form of FORMS.

    It is written beside the place and renamed when it is whole. Raises UserError where `target` is there already.
    """
    if target.exists():
        raise UserError(f"{target} is there already. Name a folder that is not, or remove it.")
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    FORMS[form](source, part)
    os.replace(part, target)


def _dicom(source: Path, target: Path) -> None:
    rows, positions = [], JPG(source).tables.positions
    for image in _images(source):
        relative = image.relative_to(source).with_suffix(".dcm")
        _write_dicom(image, target / relative, positions[image.stem])
        subject, study = relative.parts[-3].removeprefix("p"), relative.parts[-2].removeprefix("s")
        rows.append((subject, study, image.stem, relative.as_posix()))
    for report in source.glob("files/p*/p*/s*.txt"):
        _copy(report, target / report.relative_to(source))
    _write_csv(target / "cxr-record-list.csv", ("subject_id", "study_id", "dicom_id", "path"), rows)
    _copy(source / "mimic-cxr-2.0.0-split.csv.gz", target / "mimic-cxr-2.0.0-split.csv.gz")


def _kaggle(source: Path, target: Path) -> None:
    (target / kaggle.FOLDER).mkdir()
    for split, pairs in _pairs(source, ("train", "validate")).items():
        by_patient: dict[str, list[tuple[Study, Reference]]] = {}
        for study, reference in pairs:
            by_patient.setdefault(study.patient_id, []).append((study, reference))
        rows: list[list[Any]] = []
        for subject, of in by_patient.items():
            images = [
                (view.path.relative_to(source).as_posix(), view.position) for study, _ in of for view in study.views
            ]
            texts = [join_output(reference.findings, reference.impression) for _, reference in of]
            if len(of) == 1 and _draw(subject, "shell") < SHELLS:
                texts.append("Findings:  Impression: ")
            paths, positions = zip(*images, strict=True)
            by_view = [[path for path, position in images if position == view] for view in ("AP", "PA", "LATERAL")]
            cells = [list(paths), list(positions), *by_view, texts, [text.upper() for text in texts]]
            rows.append([len(rows), len(rows), subject, *map(str, cells)])
        header = ("Unnamed: 0.1", "Unnamed: 0", *kaggle.COLUMNS, kaggle.AUGMENTED)
        _write_csv(target / f"{kaggle.TABLES[split]}.csv", header, rows)
        for study, _ in pairs:
            for view in study.views:
                if _draw(view.image_id, "absent") >= ABSENT:
                    _copy(view.path, target / kaggle.FOLDER / view.path.relative_to(source))


def _r2gen(source: Path, target: Path) -> None:
    names = {"train": "train", "validate": "val", "test": "test"}
    content: dict[str, list[dict[str, Any]]] = {}
    for split, pairs in _pairs(source, SPLITS).items():
        content[names[split]] = [
            {
                "id": view.image_id,
                "study_id": int(study.study_id),
                "subject_id": int(study.patient_id),
                "report": reference.findings,
                "image_path": [view.path.relative_to(source / "files").as_posix()],
                "split": names[split],
            }
            for study, reference in pairs
            if reference.findings
            for view in study.views
        ]
    (target / "annotation.json").write_text(json.dumps(content), encoding="utf-8")
    for image in _images(source):
        _copy(image, target / "images" / image.relative_to(source / "files"))


def _mapped(source: Path, target: Path) -> None:
    for image in _images(source):
        smaller = target / "images" / f"{image.stem}.png"
        smaller.parent.mkdir(exist_ok=True)
        with Image.open(image) as opened:
            opened.resize((opened.width // 2, opened.height // 2)).save(smaller)
    for report in source.glob("files/p*/p*/s*.txt"):
        _copy(report, target / "reports" / report.name)
    for table in source.glob("mimic-cxr-2.0.0-*.csv.gz"):
        _copy(table, target / "tables" / table.name)
    (target / MAPPING).write_text(HALVED, encoding="utf-8")


FORMS: Mapping[str, Callable[[Path, Path], None]] = {
    "dicom": _dicom,
    "kaggle": _kaggle,
    "r2gen": _r2gen,
    "mapped": _mapped,
}


def _pairs(source: Path, splits: Iterable[str]) -> Pairs:
    form = JPG(source)
    return {
        split: [(entry.study, entry.reference) for entry in form.read(split) if entry.reference is not None]
        for split in splits
    }


def _images(source: Path) -> list[Path]:
    return sorted(source.glob("files/p*/p*/s*/*.jpg"))


def _write_dicom(image: Path, target: Path, position: str) -> None:
    """An image as a digital radiograph of BITS stored bits, some of them inverted (MONOCHROME1)."""
    import numpy as np

    try:
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
    except ImportError:
        raise UserError('Writing DICOM files needs pydicom: pip install "cxr-report-bench[dicom]".') from None

    with Image.open(image) as opened:
        grey = np.asarray(opened.convert("L"), dtype=np.uint16)
    stored = np.round(grey * ((2**BITS - 1) / 255)).astype(np.uint16)
    inverted = _draw(image.stem, "inverted") < INVERTED
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = UID(f"2.25.{int(hashlib.sha256(image.stem.encode()).hexdigest()[:30], 16)}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(target), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Modality = "DX"
    data.ViewPosition = position
    data.Rows, data.Columns = stored.shape
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, BITS, BITS - 1
    data.PixelData = (2**BITS - 1 - stored if inverted else stored).astype("<u2").tobytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(target, enforce_file_format=True)


def _draw(name: str, what: str) -> float:
    """A number from 0 to 1 that depends on the arguments alone."""
    return int.from_bytes(hashlib.sha256(f"{what}/{name}".encode()).digest()[:6], "big") / 2**48


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
