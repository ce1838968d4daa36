"""The label tables of MIMIC-CXR-JPG, by whom they are, on small invented tables."""

import gzip

import pytest

from benchmark.datasets._mimic_labels import TABLES, read_labels
from benchmark.errors import UserError
from benchmark.schema import LABELS

CHEXPERT, NEGBIO, RADIOLOGIST = TABLES.values()


def write(folder, stem, rows, columns=LABELS, subject=True, suffix=".csv.gz"):
    """`rows` gives the cells of each study by column."""
    lines = [",".join([*(["subject_id"] if subject else []), "study_id", *columns])]
    for study, cells in rows:
        lines.append(",".join([*(["10000001"] if subject else []), study, *(cells.get(name, "") for name in columns)]))
    content = ("\n".join(lines) + "\n").encode()
    path = folder / f"{stem}{suffix}"
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    return path


def test_each_source_has_its_own_labels(tmp_path):
    write(tmp_path, CHEXPERT, [("50000001", {"Edema": "1.0", "Fracture": "0.0"}), ("50000002", {})])
    write(tmp_path, NEGBIO, [("50000001", {"Edema": "-1.0"})], suffix=".csv")
    write(tmp_path, RADIOLOGIST, [("50000003", {"No Finding": "-1"})], subject=False, suffix=".csv")
    assert read_labels(tmp_path) == {
        "chexpert": {"50000001": {"Edema": 1.0, "Fracture": 0.0}, "50000002": {}},
        "negbio": {"50000001": {"Edema": -1.0}},
        "radiologist": {"50000003": {"No Finding": -1.0}},
    }


def test_no_table_no_labels(tmp_path):
    assert read_labels(tmp_path) == {}


@pytest.mark.parametrize("name", ["Airspace Opacity", "Lung Opacity"])
def test_the_radiologists_airspace_opacity_is_lung_opacity(tmp_path, name):
    columns = [name if label == "Lung Opacity" else label for label in reversed(LABELS)]
    write(tmp_path, RADIOLOGIST, [("50000003", {name: "1"})], columns, subject=False, suffix=".csv")
    assert read_labels(tmp_path) == {"radiologist": {"50000003": {"Lung Opacity": 1.0}}}


@pytest.mark.parametrize("value", ["7", "yes", "0.5", "nan", " 1", "True"])
def test_a_value_that_is_no_label_is_named_with_its_row(tmp_path, value):
    path = write(tmp_path, CHEXPERT, [("50000001", {}), ("50000002", {"Pleural Other": value})])
    with pytest.raises(UserError, match=rf"row 3: Pleural Other is '{value}', not 1, 0, -1 or empty") as error:
        read_labels(tmp_path)
    assert str(path) in str(error.value)


def test_a_study_that_stands_twice_is_named_with_its_row(tmp_path):
    path = write(tmp_path, NEGBIO, [("50000001", {}), ("50000002", {}), ("50000001", {"Edema": "1.0"})])
    with pytest.raises(UserError, match="row 4: the study 50000001 stands there twice") as error:
        read_labels(tmp_path)
    assert str(path) in str(error.value)


def test_a_class_that_is_missing_is_named(tmp_path):
    path = write(tmp_path, CHEXPERT, [("50000001", {})], LABELS[1:])
    with pytest.raises(UserError, match="has no column Atelectasis") as error:
        read_labels(tmp_path)
    assert str(path) in str(error.value)
