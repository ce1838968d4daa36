"""A folder of damage: every broken file is handled, or named with file and row; no traceback, no study lost.

Each case damages a sound copy in one way and says what must come of it:
- HANDLED: nothing changes, studies and references are those of the sound copy;
- NAMED: the copy is read, `bench data check` ends with status 3 and a sentence that has the given words;
- REFUSED: the copy cannot be read, which one sentence with the given words says (status 1).
"""

import csv
import gzip
import io
import json
import os
import shutil

import pytest
from PIL import Image

from benchmark.registry import DATASETS

HANDLED, NAMED, REFUSED = "handled", "named", "refused"
SIZES = {"n_train": 10, "n_validate": 4, "n_test": 4}
TOTAL = sum(SIZES.values())


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "mimic"
    DATASETS.load("phantom").provide(root, **SIZES, long_side=64)
    return root


@pytest.fixture
def copy(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "copy")


# What is broken in a copy in MIMIC-CXR-JPG's layout -------------------------------------------------------------------


def image(root):
    """The frontal image of the first training study that has one alone."""
    studies = DATASETS.load("mimic-cxr")(root).studies("train")
    return next(study.views[0].path for study in studies if len(study.views) == 1)


def report(root):
    return image(root).parent.with_suffix(".txt")


def table(root, name):
    return root / f"mimic-cxr-2.0.0-{name}.csv.gz"


def unpacked(root, name):
    return gzip.decompress(table(root, name).read_bytes())


def packed(root, name, content):
    table(root, name).write_bytes(gzip.compress(content))


def rows(root, name, change):
    """Rewrite a table after `change` was let loose on its rows (dicts)."""
    reader = csv.DictReader(io.StringIO(unpacked(root, name).decode()))
    found = list(reader)
    columns = list(reader.fieldnames)
    found = change(found) or found
    columns = [column for column in found[0] if column is not None] if found else columns
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(found)
    packed(root, name, out.getvalue().encode())


def setting(name, column, value, at=0):
    def damage(root):
        def change(found):
            found[at][column] = value

        rows(root, name, change)

    return damage


def bytes_of(which, change):
    def damage(root):
        path = which(root)
        path.write_bytes(change(path.read_bytes()))

    return damage


def saved_as(kind, **options):
    def damage(root):
        path = image(root)
        picture = Image.open(path).convert(options.pop("mode", "L"))
        picture.save(path, kind, **options)

    return damage


def sixteen_bits(root):
    path = image(root)
    wide = Image.open(path).convert("L").point(lambda value: value * 257, "I").convert("I;16")
    wide.save(path, "PNG")


def bomb(root):
    """A PNG that claims 60,000 × 60,000 pixels."""
    path = image(root)
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, "PNG")
    content = bytearray(out.getvalue())
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    path.write_bytes(bytes(content))


def folder_in_its_place(root):
    path = image(root)
    path.unlink()
    path.mkdir()


def image_lost(root):
    image(root).unlink()


def report_lost(root):
    report(root).unlink()


def doubled_image_row(root):
    rows(root, "split", lambda found: [*found, dict(found[0])])


def study_in_two_splits(root):
    def change(found):
        here = next(row for row in found if row["split"] == "train")
        return [*found, here | {"split": "test", "dicom_id": "0" * 8 + here["dicom_id"][8:]}]

    rows(root, "split", change)


def study_of_two_patients(root):
    def change(found):
        here = next(row for row in found if row["split"] == "train")
        return [*found, here | {"subject_id": "19999999", "dicom_id": "0" * 8 + here["dicom_id"][8:]}]

    rows(root, "split", change)


def metadata_row_lost(root):
    wanted = image(root).stem
    rows(root, "metadata", lambda found: [row for row in found if row["dicom_id"] != wanted])


def unknown_view(root):
    wanted = image(root).stem

    def change(found):
        for row in found:
            if row["dicom_id"] == wanted:
                row |= {"ViewPosition": "L5 S1", "ViewCodeSequence_CodeMeaning": ""}
                row["PerformedProcedureStepDescription"] = "LUMBAR SPINE"

    rows(root, "metadata", change)


def column_lost(name, column):
    return lambda root: rows(root, name, lambda found: [{k: v for k, v in r.items() if k != column} for r in found])


def columns_shuffled(root):
    for name in ("split", "metadata", "chexpert"):
        rows(root, name, lambda found: [dict(reversed(row.items())) | {"more": "x"} for row in found])


def rows_shuffled(root):
    for name in ("split", "metadata", "chexpert"):
        rows(root, name, lambda found: list(reversed(found)))


def recoded(name, change):
    return lambda root: packed(root, name, change(unpacked(root, name)))


def label_of_no_study(root):
    rows(root, "chexpert", lambda found: [*found, found[0] | {"study_id": "59999999"}])


def left_by_wget(root):
    for folder in (root, root / "files", report(root).parent, image(root).parent):
        (folder / "index.html").write_text("<html>")
    (root / "LICENSE.txt").write_text("x")


def windows(content):
    return content.replace(b"\n", b"\r\n")


def utf16(content):
    return content.decode().encode("utf-16")


def shouted(root):
    """Two patients' folders are reached through links, as where a disk was full."""
    folder = image(root).parent
    elsewhere = root.parent / "elsewhere"
    shutil.move(folder, elsewhere)
    os.symlink(elsewhere, folder)


MIMIC = {
    # images
    "JPEG cut short": (bytes_of(image, lambda b: b[: len(b) // 2]), NAMED, ["cannot be decoded", ".jpg"]),
    "image of zero bytes": (bytes_of(image, lambda b: b""), NAMED, ["is empty (0 bytes)", ".jpg"]),
    "web page instead of an image": (bytes_of(image, lambda b: b"<!doctype html><p>404"), NAMED, ["web page", ".jpg"]),
    "text instead of an image": (bytes_of(image, lambda b: b"not found\n"), NAMED, ["text instead of an image"]),
    "noise instead of an image": (bytes_of(image, lambda b: bytes(range(1, 256)) * 9), NAMED, ["no image", ".jpg"]),
    "image damaged inside": (bytes_of(image, lambda b: b[:100] + b"\xff" * 400), NAMED, [".jpg"]),
    "decompression bomb": (bomb, NAMED, ["more", "than is plausible"]),
    "folder instead of an image": (folder_in_its_place, NAMED, [".jpg"]),
    "image lost": (image_lost, NAMED, ["image file missing"]),
    "PNG named .jpg": (saved_as("PNG"), HANDLED, []),
    "colour image": (saved_as("JPEG", mode="RGB", quality=95), HANDLED, []),
    "16-bit PNG named .jpg": (sixteen_bits, HANDLED, []),
    "folder behind a link": (shouted, HANDLED, []),
    # reports
    "report lost": (report_lost, NAMED, ["report file missing"]),
    "report in Latin-1": (bytes_of(report, lambda b: b + b" caf\xe9\n"), NAMED, ["report is not UTF-8 text"]),
    "report in UTF-16": (bytes_of(report, utf16), NAMED, ["report is not UTF-8 text"]),
    "report with Windows line ends": (bytes_of(report, windows), HANDLED, []),
    # tables
    "bad gzip": (lambda root: table(root, "split").write_bytes(b"dicom_id"), REFUSED, ["split.csv.gz", "Fetch it"]),
    "gzip cut short": (bytes_of(lambda r: table(r, "split"), lambda b: b[:-40]), REFUSED, ["split.csv.gz"]),
    "table of zero bytes": (lambda root: table(root, "metadata").write_bytes(b""), REFUSED, ["metadata.csv.gz"]),
    "web page instead of a table": (recoded("split", lambda b: b"<html><p>Log in</html>\n"), REFUSED, ["no column"]),
    "table lost": (lambda root: table(root, "split").unlink(), REFUSED, ["mimic-cxr-2.0.0-split.csv"]),
    "table without a column": (column_lost("split", "subject_id"), REFUSED, ["no column subject_id"]),
    "table in UTF-16": (recoded("split", utf16), REFUSED, ["split.csv.gz", "UTF-16"]),
    "table with Windows line ends": (recoded("split", windows), HANDLED, []),
    "table with a byte order mark": (recoded("split", lambda b: b"\xef\xbb\xbf" + b), HANDLED, []),
    "columns in another order": (columns_shuffled, HANDLED, []),
    "rows in another order": (rows_shuffled, HANDLED, []),
    "NaN in the split": (setting("split", "split", "NaN"), REFUSED, ["row 2", "'NaN'", "split.csv.gz"]),
    "no split": (setting("split", "split", "", 3), REFUSED, ["row 5", "split.csv.gz"]),
    "unknown view": (unknown_view, HANDLED, None),
    "duplicate image id": (doubled_image_row, REFUSED, ["stands there twice", "row", "split.csv.gz"]),
    "study in two splits": (study_in_two_splits, REFUSED, ["in two splits", "split.csv.gz"]),
    "study of two patients": (study_of_two_patients, NAMED, ["malformed"]),
    "path with ..": (setting("split", "subject_id", "../../etc"), NAMED, ["malformed"]),
    "id that is no id": (setting("split", "dicom_id", "x/../../y"), NAMED, ["malformed"]),
    "metadata row lost": (metadata_row_lost, NAMED, ["image not in the metadata table"]),
    "label that is none": (setting("chexpert", "Edema", "7"), REFUSED, ["chexpert.csv.gz", "row 2", "Edema"]),
    "label in words": (setting("chexpert", "Edema", "yes"), REFUSED, ["chexpert.csv.gz", "row 2", "Edema"]),
    "label of no study": (label_of_no_study, HANDLED, []),
    "what wget leaves behind": (left_by_wget, HANDLED, []),
}


@pytest.mark.parametrize("case", MIMIC)
def test_mimic(case, sound, copy, bench):
    damage, outcome, words = MIMIC[case]
    damage(copy)
    status, out, err = bench("data", "check", "mimic-cxr", "--root", copy, "--json")
    if outcome == REFUSED:
        refused(status, err, words)
        return
    found = json.loads(out)
    accounted(found, TOTAL)
    if outcome == NAMED:
        assert status == 3, err
        assert all(word in " ".join(found["problems"]) for word in words), found["problems"]
    else:
        assert status == 0, found["problems"]
        if words is not None:  # else the study is left out by a rule, which `accounted` has seen
            assert texts(copy) == texts(sound)


def test_there_are_many_kinds():
    assert len(MIMIC) + len(OWN) >= 50


def texts(root):
    data = DATASETS.load("mimic-cxr")(root)
    return {split: list(data.references(split)) for split in data.splits}


# What is broken in people's own tables --------------------------------------------------------------------------------

HEADER = "study_id,patient_id,split,image,view,findings,impression,sex"
SOUND = [
    "a1,p1,train,images/a1.png,PA,The lungs are clear.,Normal chest.,F",
    "a2,p2,train,images/a2.png,AP,Small left effusion.,Effusion.,M",
    "b1,p3,val,images/b1.png,PA,Heart is large.,Cardiomegaly.,F",
    "c1,p4,test,images/c1.png,PA,No focal opacity.,No acute process.,M",
]


def own(folder, lines=None, encoding="utf-8", newline="\n", name="studies.csv"):
    (folder / "images").mkdir(parents=True)
    for i, study in enumerate(("a1", "a2", "b1", "c1")):
        Image.new("L", (40, 50), 90 + i).save(folder / "images" / f"{study}.png")
    (folder / name).write_bytes((newline.join(lines or [HEADER, *SOUND]) + newline).encode(encoding))
    return folder


def swapped(old, new, at=1):
    lines = [HEADER, *SOUND]
    assert old in lines[at]
    lines[at] = lines[at].replace(old, new)
    return {"lines": lines}


def jsonl(*more):
    columns = HEADER.split(",")
    records = [dict(zip(columns, line.split(","), strict=True)) for line in SOUND]
    return {"lines": [*(json.dumps(record) for record in records), *more], "name": "studies.jsonl"}


OWN = {
    "sound": ({}, HANDLED, []),
    "Windows line ends": ({"newline": "\r\n"}, HANDLED, []),
    "UTF-16": ({"encoding": "utf-16"}, HANDLED, []),
    "byte order mark": ({"encoding": "utf-8-sig"}, HANDLED, []),
    "semicolons": ({"lines": [line.replace(",", ";") for line in [HEADER, *SOUND]]}, HANDLED, []),
    "tabs": ({"lines": [line.replace(",", "\t") for line in [HEADER, *SOUND]]}, HANDLED, []),
    "headings in capitals": ({"lines": [HEADER.upper(), *SOUND]}, HANDLED, []),
    "blank lines": ({"lines": [HEADER, SOUND[0], "", *SOUND[1:], "", ""]}, HANDLED, []),
    "JSON lines": (jsonl(), HANDLED, []),
    "path with ..": (swapped("images/a1.png", "../a1.png"), NAMED, ["studies.csv", "row 2"]),
    "absolute path": (swapped("images/a1.png", "/etc/passwd"), NAMED, ["studies.csv", "row 2"]),
    "Windows drive": (swapped("images/a1.png", "C:\\a1.png"), NAMED, ["studies.csv", "row 2"]),
    "image that is not there": (swapped("images/a2.png", "images/zz.png", 2), NAMED, ["image file missing"]),
    "NaN in the split": (swapped("train", "NaN"), NAMED, ["studies.csv", "row 2"]),
    "no split": (swapped(",train,", ",,"), NAMED, ["studies.csv", "row 2"]),
    "unknown split": (swapped("val", "holdout", 3), NAMED, ["studies.csv", "row 4"]),
    "no study id": (swapped("a1,", ",", 1), NAMED, ["studies.csv", "row 2"]),
    "study in two splits": (
        {"lines": [HEADER, *SOUND, SOUND[0].replace("train", "test")]}, NAMED, ["studies.csv", "row 6", "a1"]),
    "one id, two texts": (
        {"lines": [HEADER, *SOUND, SOUND[0].replace("clear", "hazy")]}, NAMED, ["studies.csv", "row 6", "a1"]),
    "row of too many cells": (swapped("Normal chest.", "Normal, chest."), NAMED, ["studies.csv", "row 2"]),
    "no column for the id": (
        {"lines": [HEADER.replace("study_id", "number"), *SOUND]}, REFUSED, ["studies.csv", "study_id"]),
    "no column for texts": (
        {"lines": ["study_id,image", "a1,images/a1.png"]}, REFUSED, ["studies.csv", "findings"]),
    "header alone": ({"lines": [HEADER]}, REFUSED, ["studies.csv"]),
    "not text": ({"lines": ["\x00\x01\x02"], "encoding": "latin-1"}, REFUSED, ["studies.csv"]),
    "a line that is no JSON": (jsonl("{torn"), NAMED, ["studies.jsonl", "5"]),
    "a line that is no object": (jsonl("[1, 2]"), NAMED, ["studies.jsonl", "5"]),
}  # fmt: skip


@pytest.mark.parametrize("case", OWN)
def test_own(case, tmp_path, bench):
    options, outcome, words = OWN[case]
    root = own(tmp_path / "own", **options)
    status, out, err = bench("data", "check", "own", "--root", root, "--json")
    if outcome == REFUSED:
        refused(status, err, words)
        return
    found = json.loads(out)
    accounted(found, len(SOUND))
    if outcome == NAMED:
        assert status == 3, err
        assert all(word in " ".join(found["problems"]) for word in words), found["problems"]
    else:
        assert status == 0, found["problems"]
        expected = {row.split(",")[0]: row.split(",")[5] for row in SOUND}
        data = DATASETS.load("own")(root)
        assert {r.study_id: r.findings for split in data.splits for r in data.references(split)} == expected


# ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(call_bench, tmp_path):
    def call(*arguments):
        status, out, err = call_bench(tmp_path / "results", *arguments)
        assert "Traceback" not in err
        return status, out, err

    return call


def refused(status, err, words):
    last = err.strip().splitlines()[-1]
    assert status == 1 and last.startswith("Error: "), err
    assert all(word in last for word in words), last


def accounted(found, total):
    """No study is lost from the counts."""
    listed = sum(facts["listed"]["studies"] for facts in found["splits"].values())
    assert listed + sum(of["n"] for of in found["unassigned"].values()) >= total
    for facts in found["splits"].values():
        assert facts["used"] + sum(of["n"] for of in facts["left_out"].values()) == facts["listed"]["studies"]
