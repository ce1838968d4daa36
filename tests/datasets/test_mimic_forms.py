"""MIMIC-CXR's forms recognised, and what each makes of damage, on a small phantom written in each of them."""

import json
import random
import shutil

import pandas as pd
import pytest

from benchmark.datasets._mimic_dicom import _header_reader
from benchmark.errors import UserError
from benchmark.registry import DATASETS
from benchmark.schema import LABELS

MIMIC, PHANTOM = DATASETS.load("mimic-cxr"), DATASETS.load("phantom")
IU = {"id": "CXR1_IM-0001", "report": "Clear.", "image_path": ["CXR1/0.png", "CXR1/1.png"], "split": "train"}


def fatal(data):
    return " ".join(problem.what for problem in data.check() if problem.fatal)


# Which form it is -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "beside", "files"),
    [
        ("dicom", "jpg", ["mimic-cxr-2.0.0-metadata.csv.gz", "mimic-cxr-2.0.0-chexpert.csv.gz"]),
        ("jpg", "dicom", ["cxr-record-list.csv"]),
        ("kaggle", "jpg", ["mimic-cxr-2.0.0-split.csv.gz", "mimic-cxr-2.0.0-metadata.csv.gz"]),
        ("r2gen", "jpg", ["mimic-cxr-2.0.0-split.csv.gz"]),
        ("jpg", "r2gen", ["annotation.json"]),
        ("jpg", "kaggle", ["mimic_cxr_aug_train.csv"]),
    ],
)
def test_tables_of_another_form_beside_it_change_nothing(form, beside, files, copy, written):
    root = copy(form)
    expected = MIMIC(written(form))
    for name in files:
        shutil.copy(written(beside) / name, root)
    data = MIMIC(root)
    assert (data.name, data.check()) == (expected.name, [])
    assert list(data.references("train")) == list(expected.references("train"))


def test_with_tables_of_several_and_no_images_it_is_the_jpeg_form(copy, written):
    root = copy("dicom")
    shutil.copy(written("jpg") / "mimic-cxr-2.0.0-metadata.csv.gz", root)
    for image in root.glob("files/*/*/*/*.dcm"):
        image.unlink()
    assert MIMIC(root).name == "mimic-cxr"
    assert MIMIC(root, None, {"layout": "dicom"}).name == "mimic-cxr-dicom"


@pytest.mark.parametrize(
    "nested", ["2.1.0", "mimic-cxr-jpg/2.1.0", "files/mimic-cxr-jpg/2.1.0", "physionet.org/files/mimic-cxr-jpg/2.1.0"]
)
def test_data_that_lie_deeper_are_pointed_to(nested, written, tmp_path):
    shutil.copytree(written("jpg"), tmp_path / "root" / nested)
    assert f"The data seem to lie deeper, in {tmp_path / 'root' / nested}: name that" in fatal(MIMIC(tmp_path / "root"))


def test_a_folder_without_data_is_told_what_each_form_has(tmp_path):
    said = fatal(MIMIC(tmp_path))
    for mark in ("2.0.0-split.csv", "cxr-record-list", "mimic_cxr_aug_train", "annotation.json", "mapping.toml"):
        assert mark in said
    for form in ("jpg", "dicom", "kaggle", "r2gen", "mapped"):
        assert str(tmp_path) in fatal(MIMIC(tmp_path, None, {"layout": form}))


def test_the_annotation_of_iu_xray_is_told_and_never_read(copy, tmp_path):
    (tmp_path / "annotation.json").write_text(json.dumps({"train": [IU], "val": [], "test": []}))
    for options in ({}, {"layout": "r2gen"}):
        assert "the data set is iu-xray" in fatal(MIMIC(tmp_path, None, options))
    root = copy("jpg")
    shutil.copy(tmp_path / "annotation.json", root)
    assert MIMIC(root).name == "mimic-cxr" and MIMIC(root).check() == []


@pytest.mark.parametrize("form", ["jpg", "dicom", "r2gen", "mapped"])
def test_an_option_of_another_form_is_refused(form, written):
    said = fatal(MIMIC(written(form), None, {"pairing": "order"}))
    assert said.startswith("--data-option pairing is not for ") and said.endswith("leave it out.")


@pytest.mark.parametrize(
    ("given", "meant"), [("s50414267", "50414267"), ("50414267", "50414267"), ("study", "study"), ("s1", "s1")]
)
def test_ids_may_be_spelled_as_files_are(given, meant, written):
    assert MIMIC(written("jpg")).canonical_id(given) == meant


# Reports --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "where"), [("jpg", "files/*/*/s{}.txt"), ("mapped", "reports/s{}.txt")])
def test_a_report_that_cannot_be_opened_is_damage(form, where, copy):
    root = copy(form)
    study = MIMIC(root).studies("train")[0].study_id
    (path,) = root.glob(where.format(study))
    path.unlink()
    path.mkdir()
    assert MIMIC(root).left_out("train") == {"report file cannot be opened": [study]}
    assert "report file cannot be opened" in MIMIC.DAMAGE


@pytest.mark.parametrize("form", ["jpg", "mapped"])
def test_the_radiologists_labels_of_2_1_0_come_along(form, copy):
    root = copy(form)
    data = MIMIC(root)
    release = data.layout
    assert {source for reference in data.references("test") for source in reference.label_sets} == {"chexpert"}
    study = data.studies("test")[0].study_id
    columns = ["study_id", *("Airspace Opacity" if label == "Lung Opacity" else label for label in LABELS)]
    table = pd.DataFrame([[study, *(["1.0"] * len(LABELS))]], columns=columns)
    table.to_csv((root / "tables" if form == "mapped" else root) / "mimic-cxr-2.1.0-test-set-labeled.csv", index=False)
    labelled = MIMIC(root)
    reference = labelled.references("test")[0]
    assert reference.label_sets["radiologist"] == dict.fromkeys(LABELS, 1.0)
    assert reference.labels == data.references("test")[0].labels
    if form == "jpg":
        assert (release, labelled.layout) == ("MIMIC-CXR-JPG 2.0.0", "MIMIC-CXR-JPG 2.1.0")


# DICOM ----------------------------------------------------------------------------------------------------------------


def first_image(root):
    return next(study for study in MIMIC(root).studies("train") if len(study.views) == 1).views[0].path


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "image file missing"),
        (b"", "DICOM header cannot be read"),
        (b"<html>not found</html>", "DICOM header cannot be read"),
        (lambda whole: whole[:180], "DICOM header cannot be read"),
    ],
)
def test_dicom_an_image_whose_view_cannot_be_known_is_damage(content, reason, copy):
    root = copy("dicom")
    image = first_image(root)
    whole = image.read_bytes()
    image.unlink()
    if content is not None:
        image.write_bytes(content(whole) if callable(content) else content)
    data = MIMIC(root)
    assert data.left_out("train") == {reason: [image.parent.name[1:]]}
    assert reason in data.DAMAGE


def test_dicom_no_header_brings_it_down(copy):
    image = first_image(copy("dicom"))
    whole, rng, read, seen = image.read_bytes()[:700], random.Random(0), _header_reader(), set()
    for _ in range(600):
        torn = bytearray(whole[: rng.choice((200, 350, 700))])
        for _ in range(rng.randint(1, 6)):
            torn[rng.randrange(128, len(torn))] = rng.randrange(256)
        image.write_bytes(torn)
        seen.add(read(image)[1])
    assert seen == {"", "DICOM header cannot be read"}


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("mimic-cxr-2.0.0-metadata.csv", "image not in the metadata table"),
        ("cxr-record-list.csv", "image not in the record list"),
    ],
)
def test_dicom_an_image_that_a_table_lacks_is_damage(table, reason, copy, written):
    root = copy("dicom")
    image = first_image(root)
    lines = pd.read_csv(written("jpg") / "mimic-cxr-2.0.0-metadata.csv.gz", dtype=str)
    lines.to_csv(root / "mimic-cxr-2.0.0-metadata.csv", index=False)
    path = root / table
    path.write_text("".join(line for line in path.read_text().splitlines(True) if image.stem not in line))
    assert MIMIC(root).left_out("train") == {reason: [image.parent.name[1:]]}
    assert reason in MIMIC.DAMAGE


def test_dicom_each_table_may_lie_with_the_reports(copy, written, tmp_path):
    root, reports = copy("dicom"), tmp_path / "reports"
    expected = MIMIC(root).studies("test")
    shutil.copytree(written("jpg") / "files", reports / "files", ignore=shutil.ignore_patterns("*.jpg"))
    shutil.copy(written("jpg") / "mimic-cxr-2.0.0-metadata.csv.gz", reports)
    for image in root.glob("files/*/*/*/*.dcm"):
        image.write_bytes(b"")  # so that a header can tell nothing
    assert MIMIC(root, reports).studies("test") == expected


# R2Gen ----------------------------------------------------------------------------------------------------------------


def r2gen_with(root, **changes):
    """The first training entry changed; a value of `...` takes the field away."""
    path = root / "annotation.json"
    content = json.loads(path.read_text())
    entry = content["train"][0] | changes
    content["train"][0] = {key: value for key, value in entry.items() if value is not ...}
    path.write_text(json.dumps(content))
    return MIMIC(root), entry["id"]


@pytest.mark.parametrize("report", [None, "", " \n"])
def test_r2gen_an_empty_report_is_left_out_by_rule(report, copy):
    data, image = r2gen_with(copy("r2gen"), report=report)
    assert data.left_out("train") == {"report has neither findings nor impression": [image]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": None}, "no id, study_id or subject_id"),
        ({"study_id": ["x"]}, "no id, study_id or subject_id"),
        ({"report": 5}, "no report"),
        ({"report": ...}, "no report"),
        ({"image_path": []}, "image_path names no image, or more than one"),
        ({"image_path": ["a.jpg", "b.jpg"]}, "image_path names no image, or more than one"),
        ({"image_path": [None]}, "image_path names no image, or more than one"),
        ({"split": ["train"]}, "the split is"),
        ({"split": None}, "the split is"),
    ],
)
def test_r2gen_an_entry_that_is_none_is_named(changes, says, copy):
    root = copy("r2gen")
    data, _ = r2gen_with(root, **changes)
    with pytest.raises(UserError, match=f"annotation.json, entry 1 of 'train': {says}"):
        data.studies("train")


def test_r2gen_an_image_that_stands_twice_is_named(copy):
    root = copy("r2gen")
    content = json.loads((root / "annotation.json").read_text())
    content["test"].append(content["train"][1] | {"split": "test"})
    (root / "annotation.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="stands there twice, first at entry 2 of 'train'"):
        MIMIC(root).studies("validate")


def test_r2gen_one_path_need_not_stand_in_a_list(copy, written):
    root = copy("r2gen")
    path = json.loads((root / "annotation.json").read_text())["train"][0]["image_path"][0]
    data, _ = r2gen_with(root, image_path=path)
    assert list(data.references("train")) == list(MIMIC(written("r2gen")).references("train"))


# A mapped copy --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["{dicom_id!r}", "{dicom_id:>99999999}", "{study_id:{dicom_id}}", "{}", "{0}"])
def test_a_mapping_takes_plain_fields_alone(field, tmp_path):
    (tmp_path / "mapping.toml").write_text(f'images = "{{dicom_id}}/{field}.png"\n')
    with pytest.raises(UserError, match="images has the field"):
        MIMIC(tmp_path).studies("train")


@pytest.mark.parametrize("name", ["kaggle", "dicom-512", "r2gen"])
def test_a_mapping_takes_no_name_of_another_form(name, tmp_path):
    (tmp_path / "mapping.toml").write_text(f'name = "{name}"\nimages = "{{dicom_id}}.png"\n')
    assert "begins like another form's" in fatal(MIMIC(tmp_path))


def test_a_mapping_may_lay_files_as_it_likes(copy):
    root = copy("mapped")
    expected = list(MIMIC(root).references("train"))
    for study in MIMIC(root).studies("train"):
        for view in study.views:
            target = root / f"p{study.patient_id[:2]}" / study.patient_id / f"{study.study_id}_{view.image_id}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            view.path.rename(target)
    (root / "mapping.toml").write_text(
        'images = "{group}/{subject_id}/{study_id}_{dicom_id}.png"\nreports = "reports/s{study_id}.txt"\n'
        'tables = "tables"\n'
    )
    assert MIMIC(root).name == "mimic-cxr-mapped"
    assert list(MIMIC(root).references("train")) == expected


# The phantom ----------------------------------------------------------------------------------------------------------


def test_a_torn_phantom_is_told_in_a_sentence(copy):
    root = copy("jpg")
    (root / "phantom.json").write_text('{"sizes"')
    with pytest.raises(UserError, match=r"phantom\.json is not what the phantom writes"):
        _ = PHANTOM(root).name
    assert "phantom.json is not what the phantom writes" in fatal(PHANTOM(root))
    with pytest.raises(UserError, match="holds a torn phantom"):
        PHANTOM.provide(root, n_train=3)


@pytest.mark.parametrize("name", ["phantom-patients.csv.gz", "phantom-second-reader.jsonl.gz"])
def test_a_torn_table_of_the_phantom_is_named(name, copy):
    root = copy("jpg")
    (root / name).write_bytes(b"torn")
    with pytest.raises(UserError, match=f"{name} cannot be read"):
        PHANTOM(root).second_readings("test")


def test_the_phantom_states_its_own_sizes_as_official(written):
    assert PHANTOM(written("jpg")).official == {
        "train": {"studies": 60}, "validate": {"studies": 20}, "test": {"studies": 20},
    }  # fmt: skip
    assert MIMIC(written("dicom")).official["test"] == {"images": 5159, "studies": 3269, "patients": 293}
    assert MIMIC(written("kaggle")).official["validate"] == {"images": 2991, "patients": 500}
