"""Writes the phantom to disk in MIMIC-CXR-JPG's own layout, so that the loader of the real data reads it.

The same seed, sizes and version give byte-identical files, however many processes share the work and however often
it was interrupted: names follow from the seed, every file is written beside its place and renamed, tables are
compressed without a time, and `phantom.json` comes last.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image

from benchmark.schema import LABELS

from ._phantom_anatomy import render
from ._phantom_case import Case
from ._phantom_grammar import Report, write_report
from ._phantom_sampling import SPLITS, Patient, sample_patients, stream

VERSION = "1.0"
"""Raised with every change that alters a byte of the data set."""
COMPLETE, UNFINISHED = "phantom.json", "phantom-unfinished.json"

METADATA = (
    "dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows", "Columns",
    "StudyDate", "StudyTime", "ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning",
    "PatientOrientationCodeSequence_CodeMeaning",
)  # fmt: skip
TRUTH = ("study_id", "label", "form", "side", "lobe", "grade", "size_mm")
PATIENTS = ("subject_id", "study_id", "sex", "age", "view")

PROCEDURE = {"PA": "CHEST (PA)", "AP": "CHEST (PORTABLE AP)", "both": "CHEST (PA AND AP)"}
VIEW_CODE = {"PA": "postero-anterior", "AP": "antero-posterior"}
SECOND_VIEW = 0.065
"""Share of PA studies with an AP image as well: about 4 % of all studies."""
_BLOCK = 2_000_000
"""Room for the numbers of a split's patients and studies; ids are 7 free digits long."""
_CHUNK = 4_000_000
"""Pixels handed to a process at a time: about four seconds of drawing, as a process takes as long to start."""
_PER_IMAGE = 30_000
"""What an image takes whatever its size, in pixels."""

Row = Sequence[object]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Picture:
    """One image to be drawn."""

    dicom_id: str
    path: Path
    case: Case
    long_side: int
    """Pixels."""


@dataclass(frozen=True)
class StudyRecord:
    """One study with everything that is written about it."""

    split: str
    subject_id: int
    study_id: int
    taken: date
    time: str
    case: Case
    procedure: str
    report: Report
    second: Report
    pictures: tuple[Picture, ...]


def write(
    root: Path,
    seed: int,
    n_train: int,
    n_validate: int,
    n_test: int,
    long_side: int,
    prevalence: float = 1.0,
    workers: int = 1,
    progress: Progress | None = None,
) -> None:
    """Write the data set under `root`, or go on with one that was interrupted; a complete one is left alone.

    `progress` is called with the number of images that are there and their total. Raises ValueError where `root`
    holds a phantom of other options.
    """
    sizes = dict(zip(SPLITS, (n_train, n_validate, n_test), strict=True))
    if max(sizes.values()) > _BLOCK:
        raise ValueError(f"at most {_BLOCK:,} studies a split")
    options = {"version": VERSION, "seed": seed, "sizes": sizes, "long_side": long_side, "prevalence": prevalence}
    if _already_there(root, options):
        return
    root.mkdir(parents=True, exist_ok=True)
    _write_json(root / UNFINISHED, options)
    records = [
        record for split, size in sizes.items() for record in _records(root, seed, split, size, prevalence, long_side)
    ]
    _write_reports(records)
    _draw_all([picture for record in records for picture in record.pictures], long_side, workers, progress)
    _write_tables(root, records)
    images = sum(len(record.pictures) for record in records)
    summary = {**options, "studies": len(records), "images": images, "sha256": digest(root)}
    _write_json(root / COMPLETE, summary)
    (root / UNFINISHED).unlink()


def digest(root: Path) -> str:
    """One SHA-256 over the paths and SHA-256 sums of all files, in sorted order, but the two that describe the rest."""
    total = hashlib.sha256()
    names = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    for name in sorted(names):
        if name not in (COMPLETE, UNFINISHED) and not name.endswith(".part"):
            with open(root / name, "rb") as file:
                total.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _already_there(root: Path, options: dict[str, Any]) -> bool:
    """Whether the same data set is complete."""
    for name in (COMPLETE, UNFINISHED):
        if (root / name).is_file():
            found = json.loads((root / name).read_text(encoding="utf-8"))
            differing = [key for key, value in options.items() if found.get(key) != value]
            if differing:
                raise ValueError(f"{root} holds a phantom of another {', '.join(differing)}; choose another folder")
    return (root / COMPLETE).is_file()


def _records(
    root: Path, seed: int, split: str, n_studies: int, prevalence: float, long_side: int
) -> Iterator[StudyRecord]:
    for patient in sample_patients(seed, n_studies, prevalence, split):
        yield from _patient_records(root, seed, split, patient, long_side)


def _patient_records(root: Path, seed: int, split: str, patient: Patient, long_side: int) -> Iterator[StudyRecord]:
    subject_id = _identifier(10_000_000, seed, split, patient.index)
    rng = stream(seed, split, "patient", patient.index).spawn(1)[0]
    taken = date(2110, 1, 1) + timedelta(days=int(rng.integers(90 * 365)))
    previous: Case | None = None
    for index, case in enumerate(patient.studies, patient.first):
        study_id = _identifier(50_000_000, seed, split, index)
        rng = stream(seed, split, "record", index)
        taken += timedelta(days=int(rng.integers(1, 400)))
        both = case.view == "PA" and rng.random() < SECOND_VIEW
        cases = [case, replace(case, view="AP")] if both else [case]
        folder = root / "files" / f"p{subject_id // 1_000_000}" / f"p{subject_id}" / f"s{study_id}"
        yield StudyRecord(
            split,
            subject_id,
            study_id,
            taken,
            _time(int(rng.integers(24 * 3600 * 1000))),
            case,
            "both" if both else case.view,
            write_report(case, stream(seed, split, "report", index), 0, previous, both),
            write_report(case, stream(seed, split, "second reader", index), 1, previous, both),
            tuple(_picture(folder, seed, study_id, one, long_side) for one in cases),
        )
        previous = case


def _picture(folder: Path, seed: int, study_id: int, case: Case, long_side: int) -> Picture:
    sha = hashlib.sha256(f"{seed}/{study_id}/{case.view}".encode()).hexdigest()
    dicom_id = "-".join(sha[start : start + 8] for start in range(0, 40, 8))
    return Picture(dicom_id, folder / f"{dicom_id}.jpg", case, long_side)


def _identifier(base: int, seed: int, split: str, index: int) -> int:
    """Eight digits that look arbitrary. Multiplying by a number prime to 10⁷ keeps all of a seed's ids apart."""
    number = SPLITS.index(split) * _BLOCK + index
    shift = int.from_bytes(hashlib.sha256(f"{base}/{seed}".encode()).digest()[:6])
    return base + (number * 7_368_787 + shift) % 10_000_000


def _time(milliseconds: int) -> str:
    """As MIMIC-CXR-JPG writes a time of day: a number hhmmss.mmm without leading zeros."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600 * 10_000 + seconds // 60 % 60 * 100 + seconds % 60}.{rest:03d}"


def _write_reports(records: Iterable[StudyRecord]) -> None:
    """Each report lies beside its study's folder."""
    for record in records:
        _replace(record.pictures[0].path.parent.with_suffix(".txt"), record.report.text.encode())


def _write_tables(root: Path, records: list[StudyRecord]) -> None:
    images = [(record, picture) for record in records for picture in record.pictures]
    split_rows = [(picture.dicom_id, r.study_id, r.subject_id, r.split) for r, picture in images]
    chexpert_rows = [(r.subject_id, r.study_id, *(r.report.stated.get(label, "") for label in LABELS)) for r in records]
    truth_rows = [
        (r.study_id, f.label, f.form, f.side, f.lobe, f.grade or "", f.size_mm or "")
        for r in records for f in r.case.findings
    ]  # fmt: skip
    patient_rows = [(r.subject_id, r.study_id, r.case.sex, r.case.age, r.case.view) for r in records]
    _write_csv(root / "mimic-cxr-2.0.0-split.csv.gz", ("dicom_id", "study_id", "subject_id", "split"), split_rows)
    _write_csv(root / "mimic-cxr-2.0.0-metadata.csv.gz", METADATA, [_metadata(r, picture) for r, picture in images])
    _write_csv(root / "mimic-cxr-2.0.0-chexpert.csv.gz", ("subject_id", "study_id", *LABELS), chexpert_rows)
    _write_csv(root / "phantom-truth.csv.gz", TRUTH, truth_rows)
    _write_csv(root / "phantom-patients.csv.gz", PATIENTS, patient_rows)
    lines = (json.dumps(_second_reader(record)) + "\n" for record in records)
    _write_gzip(root / "phantom-second-reader.jsonl.gz", "".join(lines))


def _metadata(record: StudyRecord, picture: Picture) -> Row:
    view = picture.case.view
    with Image.open(picture.path) as image:
        columns, rows = image.size
    procedure, day = PROCEDURE[record.procedure], f"{record.taken:%Y%m%d}"
    return (
        picture.dicom_id, record.subject_id, record.study_id, procedure, view, rows, columns, day, record.time,
        procedure, VIEW_CODE[view], "Erect" if view == "PA" else "",
    )  # fmt: skip


def _second_reader(record: StudyRecord) -> dict[str, object]:
    report = record.second
    return {
        "study_id": str(record.study_id),
        "text": report.text,
        "findings": report.findings,
        "impression": report.impression,
    }


def _draw_all(pictures: list[Picture], long_side: int, workers: int, progress: Progress | None) -> None:
    """Draw what is not there yet. Each image depends on its case alone, so the order does not matter."""
    missing = [picture for picture in pictures if not picture.path.is_file()]
    size = max(1, _CHUNK // (_PER_IMAGE + long_side**2))
    chunks = [missing[start : start + size] for start in range(0, len(missing), size)]
    done = len(pictures) - len(missing)
    if progress:
        progress(done, len(pictures))
    for count in _in_processes(chunks, workers):
        done += count
        if progress:
            progress(done, len(pictures))


def _in_processes(chunks: list[list[Picture]], workers: int) -> Iterator[int]:
    """Numbers of images drawn, chunk by chunk. `spawn`, because forking is unsafe once torch has threads."""
    if workers <= 1 or len(chunks) <= 1:
        yield from map(_draw_chunk, chunks)
        return
    with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=get_context("spawn")) as pool:
        yield from pool.map(_draw_chunk, chunks)


def _draw_chunk(pictures: list[Picture]) -> int:
    for picture in pictures:
        _draw(picture)
    return len(pictures)


def _draw(picture: Picture) -> None:
    encoded = io.BytesIO()
    Image.fromarray(render(picture.case, picture.long_side)).save(encoded, "JPEG", quality=95)
    _replace(picture.path, encoded.getvalue())


def _replace(path: Path, content: bytes) -> None:
    """Write beside the place and rename, so that a file that is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _replace(path, (json.dumps(content, indent=2) + "\n").encode())


def _write_csv(path: Path, header: Row, rows: Iterable[Row]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    _write_gzip(path, text.getvalue())


def _write_gzip(path: Path, text: str) -> None:
    """Compressed without name and time, which would differ from one writing to the next."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as file:
        file.write(text.encode())
    _replace(path, packed.getvalue())
