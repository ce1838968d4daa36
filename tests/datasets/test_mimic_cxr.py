"""MIMIC-CXR in MIMIC-CXR-JPG's layout, on small trees made here. Ids, images and reports are invented."""

import csv
import gzip
import io
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from benchmark import evaluate, opening, registry
from benchmark.datasets._mimic_jpg import MimicCXRJPG
from benchmark.errors import UserError

Dataset = registry.DATASETS.load("mimic-cxr")

METADATA = (
    "dicom_id subject_id study_id PerformedProcedureStepDescription ViewPosition Rows Columns StudyDate StudyTime "
    "ProcedureCodeSequence_CodeMeaning ViewCodeSequence_CodeMeaning PatientOrientationCodeSequence_CodeMeaning"
).split()
LABELS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion",
    "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
REPORT = (
    "                                 FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n \n INDICATION:  ___ year old"
    " with cough\n and fever.\n \n COMPARISON:  None.\n \n FINDINGS: \n \n The lungs are clear.\n \n IMPRESSION: \n \n"
    " No acute process.\n"
)
NO_SECTIONS = "                                 FINAL REPORT\n INDICATION:  Cough.\n"


def dicom(number):
    return f"{number:08x}-00000000-11111111-22222222-33333333"


@dataclass
class Tree:
    """Tables as lists of rows, written by `write`; images and reports are written as they are added."""

    root: Path
    split: list = field(default_factory=list)
    metadata: list = field(default_factory=list)
    chexpert: list = field(default_factory=list)
    count: int = 0

    def image(self, study, position="PA", code="", split="train", patient=10000001, number=None, file=True, meta=True):
        self.count += 1
        name = dicom(self.count if number is None else number)
        self.split.append({"dicom_id": name, "study_id": study, "subject_id": patient, "split": split})
        if meta:
            row = dict.fromkeys(METADATA, "") | {"dicom_id": name, "subject_id": patient, "study_id": study}
            self.metadata.append(row | {"ViewPosition": position, "ViewCodeSequence_CodeMeaning": code})
        if file:
            path = self.folder(patient) / f"s{study}" / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), 99).save(path)
        return name

    def report(self, study, text=REPORT, patient=10000001):
        path = self.folder(patient) / f"s{study}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def study(self, study, report=REPORT, patient=10000001, **image):
        self.report(study, report, patient)
        return self.image(study, patient=patient, **image)

    def folder(self, patient):
        return self.root / "files" / f"p{str(patient)[:2]}" / f"p{patient}"

    def write(self, suffix=".csv.gz"):
        write_table(self.table("split", suffix), ["dicom_id", "study_id", "subject_id", "split"], self.split)
        write_table(self.table("metadata", suffix), METADATA, self.metadata)
        write_table(self.table("chexpert", suffix), ["subject_id", "study_id", *LABELS], self.chexpert)
        return Dataset(self.root)

    def table(self, name, suffix=".csv.gz"):
        return self.root / f"mimic-cxr-2.0.0-{name}{suffix}"


def write_table(path, columns, rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    content = out.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "mimic")


def ids(data, split="train"):
    return [study.study_id for study in data.studies(split)]


# --- studies ----------------------------------------------------------------------------------------------------


def test_a_study_and_its_reference(tree):
    name = tree.study(50000001, patient=10000032, split="test")
    data = tree.write()
    (study,), (reference,) = data.studies("test"), data.references("test")
    path = tree.root / "files" / "p10" / "p10000032" / "s50000001" / f"{name}.jpg"
    assert (study.study_id, study.patient_id, study.split) == ("50000001", "10000032", "test")
    assert [(view.path, view.position, view.image_id) for view in study.views] == [(path, "PA", name)]
    assert study.context == {"indication": "___ year old with cough and fever.", "comparison": "None."}
    assert study.attributes == {"view": "PA"}
    assert (reference.study_id, reference.patient_id) == ("50000001", "10000032")
    assert (reference.findings, reference.impression) == ("The lungs are clear.", "No acute process.")
    assert reference.labels == {}
    assert data.check() == [] and data.dropped("test") == {}
    assert (data.name, data.MAY_LEAVE) == ("mimic-cxr", frozenset())


def test_another_data_set_in_this_layout_has_its_own_version_and_none_of_these_figures(tree):
    class Ours(MimicCXRJPG):
        VERSION, LICENCE, MAY_LEAVE = "2026-11", "internal", frozenset()
        name = "our-hospital"

    tree.study(50000001)
    assert tree.write().official["test"]["studies"] == 3269
    ours = Ours(tree.root)
    assert ours.official == {} and ours.layout == "2026-11, laid out as MIMIC-CXR-JPG"


def test_official_splits_and_the_alias(tree):
    for number, split in enumerate(("train", "validate", "test")):
        tree.study(50000001 + number, split=split, patient=10000001 + number)
    data = tree.write()
    assert data.SPLITS == ("train", "validate", "test")
    assert [ids(data, split) for split in data.SPLITS] == [["50000001"], ["50000002"], ["50000003"]]
    assert data.resolve_split("val") == "validate"
    selection = evaluate.select(data, "val", None)
    assert (selection.split, selection.short, selection.studies[0].study_id) == ("validate", "val", "50000002")


def test_studies_are_sorted_and_references_stand_beside_them(tree):
    for study in (50000003, 50000001, 50000002):
        tree.study(study, REPORT.replace("clear", f"clear {study}"))
    data = tree.write()
    assert ids(data) == ["50000001", "50000002", "50000003"]
    assert [(r.study_id, r.findings) for r in data.references("train")] == [
        (study, f"The lungs are clear {study}.") for study in ids(data)
    ]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([("AP", 1), ("PA", 2)], [("PA", 2), ("AP", 1)]),
        ([("PA", 3), ("PA", 2)], [("PA", 2), ("PA", 3)]),
        ([("LATERAL", 1), ("AP", 3), ("AP", 2)], [("AP", 2), ("AP", 3), ("LATERAL", 1)]),
        ([("LL", 1), ("LATERAL", 2), ("", 3), ("AP", 4)], [("AP", 4), ("LL", 1), ("LATERAL", 2), ("", 3)]),
        ([(" pa ", 1), ("AP", 0)], [("PA", 1), ("AP", 0)]),
    ],
)
def test_the_frontal_image_is_pa_then_ap_then_the_first_id(tree, images, expected):
    tree.report(50000001)
    for position, number in images:
        tree.image(50000001, position, number=number)
    (study,) = tree.write().studies("train")
    assert [(view.position, view.image_id) for view in study.views] == [(p, dicom(number)) for p, number in expected]
    assert study.attributes["view"] == expected[0][0]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("postero-anterior", "PA"),
        ("antero-posterior", "AP"),
        ("Antero-Posterior ", "AP"),
        ("lateral", None),
        ("left lateral", None),
        ("", None),
        ("unheard of", None),
    ],
)
def test_an_empty_view_position_falls_back_to_the_view_code(tree, code, expected):
    tree.study(50000001, position="", code=code)
    data = tree.write()
    if expected:
        assert data.studies("train")[0].views[0].position == expected
    else:
        assert data.left_out("train") == {"no frontal (PA or AP) image": ["50000001"]}


def test_the_view_code_does_not_overrule_a_view_position(tree):
    tree.study(50000001, position="AP", code="postero-anterior")
    assert tree.write().studies("train")[0].views[0].position == "AP"


# --- what is left out -------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(tree):
    """One good study in each split, and one of each reason in train."""
    for number, split in enumerate(("train", "validate", "test")):
        tree.study(50000001 + number, split=split, patient=10000001 + number)
    tree.study(50000010, position="LATERAL")
    tree.study(50000011, position="")
    tree.study(50000012, file=False)
    tree.image(50000013)
    tree.study(50000014, "FINDINGS: Größe".encode("latin-1"))
    tree.study(50000015, NO_SECTIONS)
    tree.study(50000016, "")
    tree.study(50000017, meta=False)
    tree.study("../../etc")
    tree.study(5000001)
    tree.study(500000010)
    tree.study(50000018, patient="1/..00001", file=False)
    tree.study(50000019)
    tree.split[-1]["dicom_id"] = tree.metadata[-1]["dicom_id"] = "../../../passwd"
    tree.study(50000020)
    tree.image(50000020, patient=10000099)
    return tree


def test_every_study_left_out_is_counted_with_its_reason(damaged):
    data = damaged.write()
    assert ids(data) == ["50000001"]
    assert {reason: sorted(studies) for reason, studies in data.left_out("train").items()} == {
        "no frontal (PA or AP) image": ["50000010", "50000011"],
        "image file missing": ["50000012"],
        "report file missing": ["50000013"],
        "report is not UTF-8 text": ["50000014"],
        "report has neither findings nor impression": ["50000015", "50000016"],
        "image not in the metadata table": ["50000017"],
        "malformed id in the split table": ["../../etc", "500000010", "5000001", "50000018", "50000019", "50000020"],
    }
    assert data.dropped("train")["malformed id in the split table"] == 6
    assert data.dropped("test") == {}


def test_nothing_is_lost(damaged):
    data = damaged.write()
    for split in data.SPLITS:
        left_out = [study for studies in data.left_out(split).values() for study in studies]
        in_table = {str(row["study_id"]) for row in damaged.split if row["split"] == split}
        assert len(data.studies(split)) + len(left_out) == len(in_table)
        assert set(ids(data, split)) | set(left_out) == in_table


def test_a_broken_copy_is_told_from_a_rule(damaged):
    selection = evaluate.select(damaged.write(), "train", None)
    # 1 image, 1 report, 1 encoding, 1 metadata row and 6 ids; laterals and reports without sections are as they are.
    assert selection.n_damaged == 10
    assert sum(selection.dropped.values()) == 14


def test_a_missing_lateral_does_not_cost_the_study(tree):
    tree.study(50000001)
    tree.image(50000001, "LATERAL", file=False)
    assert ids(tree.write()) == ["50000001"]


@pytest.mark.parametrize(
    ("text", "findings", "impression"),
    [
        (REPORT.replace("\n", "\r\n"), "The lungs are clear.", "No acute process."),
        (REPORT.replace(" FINDINGS: \n \n The lungs are clear.\n \n", ""), "", "No acute process."),
        (REPORT.partition(" IMPRESSION")[0], "The lungs are clear.", ""),
        (REPORT.replace("clear", "clear – ünchanged"), "The lungs are clear – ünchanged.", "No acute process."),
    ],
    ids=["crlf", "impression only", "findings only", "utf-8"],
)
def test_reports_as_they_come(tree, text, findings, impression):
    tree.study(50000001, text)
    (reference,) = tree.write().references("train")
    assert (reference.findings, reference.impression) == (findings, impression)


# --- tables -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_tables_may_be_gzipped_or_not(tree, suffix):
    tree.study(50000001)
    tree.chexpert.append({"subject_id": 10000001, "study_id": 50000001, "Edema": "1.0"})
    data = tree.write(suffix)
    assert ids(data) == ["50000001"]
    assert data.references("train")[0].labels == {"Edema": 1.0}


def test_columns_are_found_by_name(tree):
    tree.study(50000001)
    tree.write()
    write_table(tree.table("split"), ["split", "extra", "subject_id", "study_id", "dicom_id"], tree.split)
    assert ids(Dataset(tree.root)) == ["50000001"]


def test_labels_are_positive_negative_uncertain_or_absent(tree):
    tree.study(50000001)
    tree.study(50000002)
    values = {"Atelectasis": "1.0", "Edema": "0.0", "Fracture": "-1.0", "Pneumonia": "", "No Finding": "1"}
    tree.chexpert.append({"subject_id": 10000001, "study_id": 50000001, **values})
    first, second = tree.write().references("train")
    assert first.labels == {"Atelectasis": 1.0, "Edema": 0.0, "Fracture": -1.0, "No Finding": 1.0}
    assert second.labels == {}


def test_without_the_label_table_there_are_no_labels(tree):
    tree.study(50000001)
    tree.write()
    tree.table("chexpert").unlink()
    data = Dataset(tree.root)
    assert [problem.fatal for problem in data.check()] == [False]
    assert data.references("train")[0].labels == {}


# --- roots ------------------------------------------------------------------------------------------------------


def test_the_root_may_be_the_folder_of_the_images(tree):
    tree.study(50000001)
    tree.write()
    data = Dataset(tree.root / "files")
    assert data.root == tree.root and ids(data) == ["50000001"]


@pytest.mark.parametrize("unpacked", ["files", "mimic-cxr-reports/files", ""])
@pytest.mark.parametrize("named", [True, False])
def test_reports_may_lie_apart(tree, tmp_path, unpacked, named):
    tree.study(50000001)
    tree.write()
    reports = tmp_path / "reports" if named else tree.root
    source = tree.folder(10000001) / "s50000001.txt"
    target = reports / unpacked / "p10" / "p10000001" / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    text = source.read_bytes()
    source.unlink()
    target.write_bytes(text)
    data = Dataset(tree.root, reports if named else None)
    assert data.check() == [] and ids(data) == ["50000001"]
    if unpacked and named:
        assert ids(Dataset(tree.root, reports / unpacked)) == ["50000001"]


def test_what_wget_leaves_behind_is_no_data(tree):
    tree.study(50000001)
    data = tree.write()
    for folder in (tree.root, tree.root / "files", tree.root / "files" / "p10", tree.folder(10000001)):
        (folder / "index.html").write_text("<html></html>")
    assert data.check() == [] and ids(data) == ["50000001"]


def test_a_root_with_images_but_no_reports_says_where_reports_come_from(tree):
    tree.image(50000001)
    data = tree.write()
    (problem,) = data.check()
    assert problem.fatal and "MIMIC_CXR_REPORTS_ROOT" in problem.what
    with pytest.raises(UserError, match="mimic-cxr-reports.zip"):
        data.studies("train")


@pytest.mark.parametrize("missing", ["split", "metadata", "files"])
def test_a_part_that_is_missing_is_fatal_and_named(tree, missing):
    tree.study(50000001)
    tree.write()
    if missing == "files":
        shutil.rmtree(tree.root / "files")
    else:
        tree.table(missing).unlink()
    data = Dataset(tree.root)
    assert any(problem.fatal and missing in problem.what for problem in data.check())
    with pytest.raises(UserError, match=missing):
        data.references("train")


def test_a_folder_that_is_something_else_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    data = Dataset(tmp_path)
    (problem,) = data.check()
    assert problem.fatal and all(form in problem.what for form in ("MIMIC-CXR-JPG", "DICOM", "Kaggle", "R2Gen"))
    with pytest.raises(UserError, match="cannot be read"):
        data.studies("train")
    with pytest.raises(UserError, match="cannot be read as mimic-cxr"):
        opening.open_dataset("mimic-cxr", tmp_path, None, tmp_path)


# --- broken tables ----------------------------------------------------------------------------------------------


def refusal(tree):
    with pytest.raises(UserError) as error:
        Dataset(tree.root).studies("train")
    return str(error.value)


@pytest.mark.parametrize("table", ["split", "metadata", "chexpert"])
@pytest.mark.parametrize("damage", ["no gzip", "cut short", "flipped bytes", "empty file"])
def test_a_table_that_was_damaged_on_its_way_is_named(tree, table, damage):
    for study in range(50000001, 50000030):
        tree.study(study)
        tree.chexpert.append({"subject_id": 10000001, "study_id": study, "Edema": "1.0"})
    tree.write()
    path = tree.table(table)
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(
        {
            "no gzip": b"dicom_id,study_id\n",
            "cut short": content[:half],
            "flipped bytes": content[:half] + bytes(byte ^ 0xFF for byte in content[half : half + 20]) + content[half:],
            "empty file": b"",
        }[damage]
    )
    said = refusal(tree)
    assert str(path) in said and "Fetch it again" in said


def test_a_table_without_a_column_names_table_and_column(tree):
    tree.study(50000001)
    tree.write()
    write_table(tree.table("split"), ["dicom_id", "study_id"], [])
    assert "no column subject_id, split" in refusal(tree)


@pytest.mark.parametrize(("value", "shown"), [("", "''"), ("nan", "'nan'"), ("val", "'val'"), ("Train", "'Train'")])
def test_an_unknown_split_is_named_with_its_row(tree, value, shown):
    tree.study(50000001)
    tree.study(50000002, split=value)
    tree.write()
    said = refusal(tree)
    assert f"row 3: the split is {shown}" in said and str(tree.table("split")) in said


def test_an_image_that_stands_twice_is_named_with_its_row(tree):
    tree.study(50000001)
    tree.study(50000002)
    tree.split.append(dict(tree.split[0]))
    tree.write()
    assert f"row 4: the image {dicom(1)} stands there twice" in refusal(tree)


def test_a_study_in_two_splits_is_refused(tree):
    tree.study(50000001)
    tree.study(50000002)
    tree.image(50000002, split="test")
    tree.write()
    assert "the study 50000002 is in two splits" in refusal(tree)


def test_a_comma_at_the_end_of_each_line_shifts_no_column(tree):
    tree.study(50000001)
    tree.write()
    path = tree.table("split")
    heading, *rows = gzip.decompress(path.read_bytes()).decode().splitlines()
    path.write_bytes(gzip.compress("\n".join([heading, *(f"{row}," for row in rows)]).encode()))
    assert ids(Dataset(tree.root)) == ["50000001"]
