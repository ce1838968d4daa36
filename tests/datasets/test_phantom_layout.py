"""The phantom on disk: MIMIC-CXR-JPG's layout, the same bytes every time, and whole after an interruption."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmark.datasets import _phantom_layout as layout

OPTIONS: dict[str, Any] = {"seed": 7, "n_train": 16, "n_validate": 4, "n_test": 4, "long_side": 48, "prevalence": 1.0}


def hashes(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def table(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(root: Path, **changes: Any) -> Path:
    layout.write(root, **{**OPTIONS, **changes})
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("phantom"))


def test_images_and_reports_lie_where_mimic_cxr_has_them(root: Path) -> None:
    rows = table(root / "mimic-cxr-2.0.0-split.csv.gz")
    assert list(rows[0]) == ["dicom_id", "study_id", "subject_id", "split"]
    for row in rows:
        assert re.fullmatch(r"1\d{7}", row["subject_id"]) and re.fullmatch(r"5\d{7}", row["study_id"])
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}", row["dicom_id"])
        study = root / "files" / f"p{row['subject_id'][:2]}" / f"p{row['subject_id']}" / f"s{row['study_id']}"
        assert (study / f"{row['dicom_id']}.jpg").is_file()
        assert "FINAL REPORT" in study.with_suffix(".txt").read_text(encoding="utf-8")
    assert len(rows) == len(list(root.rglob("*.jpg"))) == len({row["dicom_id"] for row in rows})
    assert len(list(root.rglob("s*.txt"))) == len({row["study_id"] for row in rows}) == 24


def test_metadata_are_true(root: Path) -> None:
    rows = table(root / "mimic-cxr-2.0.0-metadata.csv.gz")
    assert tuple(rows[0]) == layout.METADATA and len(rows[0]) == 12
    for row in rows:
        (path,) = root.rglob(f"{row['dicom_id']}.jpg")
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("L", (int(row["Columns"]), int(row["Rows"])))
            assert max(image.size) == 48
        assert row["ViewPosition"] in ("PA", "AP")
        assert re.fullmatch(r"2[12]\d{6}", row["StudyDate"])
        assert 0 <= float(row["StudyTime"]) < 240000


def test_tables_agree_with_one_another(root: Path) -> None:
    labels = table(root / "mimic-cxr-2.0.0-chexpert.csv.gz")
    assert tuple(labels[0]) == ("subject_id", "study_id", *sorted(layout.LABELS))
    assert {row[label] for row in labels for label in layout.LABELS} == {"1.0", "0.0", "-1.0", ""}
    stated = {row["study_id"]: row for row in labels}
    truth = table(root / "phantom-truth.csv.gz")
    assert tuple(truth[0]) == layout.TRUTH
    assert all(stated[row["study_id"]][row["label"]] != "0.0" for row in truth)
    patients = {row["study_id"]: row for row in table(root / "phantom-patients.csv.gz")}
    assert patients.keys() == stated.keys()
    assert all(patients[key]["subject_id"] == row["subject_id"] for key, row in stated.items())
    with gzip.open(root / "phantom-second-reader.jsonl.gz", "rt", encoding="utf-8") as file:
        second = [json.loads(line) for line in file]
    assert [row["study_id"] for row in second] == [row["study_id"] for row in labels]
    assert all(row["findings"] or row["impression"] for row in second)


def test_splits_are_disjoint_by_patient(root: Path) -> None:
    of: dict[str, set[str]] = {}
    for row in table(root / "mimic-cxr-2.0.0-split.csv.gz"):
        of.setdefault(row["subject_id"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in of.values())
    assert set().union(*of.values()) == {"train", "validate", "test"}


def test_ids_never_meet() -> None:
    for base in (10_000_000, 50_000_000):
        ids = [layout._identifier(base, 3, split, k) for split in layout.SPLITS for k in range(20_000)]
        assert len(set(ids)) == len(ids)
        assert min(ids) >= base and max(ids) < base + 10_000_000


def test_some_studies_have_both_frontal_views(tmp_path: Path) -> None:
    records = [r for r in layout._records(tmp_path, 1, "train", 600, 1.0, 48)]
    both = [record for record in records if len(record.pictures) == 2]
    assert 0.015 < len(both) / len(records) < 0.07
    assert all([picture.case.view for picture in record.pictures] == ["PA", "AP"] for record in both)


def test_the_same_bytes_with_more_workers(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_CHUNK", 400_000)  # a dozen images
    assert hashes(write(tmp_path / "again", workers=2)) == hashes(root)


def test_an_interrupted_writing_goes_on(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    seen: list[tuple[int, int]] = []
    (copy / layout.COMPLETE).rename(copy / layout.UNFINISHED)
    images = sorted(copy.rglob("*.jpg"))
    for path in (*images[3:8], copy / "phantom-truth.csv.gz", next(copy.rglob("s*.txt"))):
        path.unlink()
    kept = images[0].stat().st_mtime_ns
    write(copy, progress=lambda done, total: seen.append((done, total)))
    assert hashes(copy) == hashes(root)
    assert images[0].stat().st_mtime_ns == kept
    assert seen[0] == (len(images) - 5, len(images)) and seen[-1] == (len(images), len(images))


def test_a_complete_phantom_is_left_alone_and_another_refused(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    write(root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    with pytest.raises(ValueError, match="seed"):
        write(root, seed=8)


def test_the_digest_covers_every_file(root: Path) -> None:
    summary = json.loads((root / layout.COMPLETE).read_text(encoding="utf-8"))
    assert summary["sha256"] == layout.digest(root)
    assert summary["version"] == layout.VERSION and summary["studies"] == 24


def test_the_test_split_does_not_depend_on_the_training_split(root: Path, tmp_path: Path) -> None:
    small = write(tmp_path / "small", n_train=3)
    rows = [row for row in table(small / "mimic-cxr-2.0.0-split.csv.gz") if row["split"] == "test"]
    assert rows == [row for row in table(root / "mimic-cxr-2.0.0-split.csv.gz") if row["split"] == "test"]
    first, second = hashes(root), hashes(small)
    assert all(second[name] == first[name] for name in second if any(row["dicom_id"] in name for row in rows))
