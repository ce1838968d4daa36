"""The phantom in each form of MIMIC-CXR: each gives what it can hold, equal to MIMIC-CXR-JPG's study by study."""

import gzip
import shutil

import numpy as np
import pytest

from benchmark import provenance
from benchmark.errors import UserError
from benchmark.images import read_grey
from benchmark.registry import DATASETS

MIMIC, PHANTOM = DATASETS.load("mimic-cxr"), DATASETS.load("phantom")
FORMS = ("dicom", "kaggle", "r2gen", "mapped")
SPLITS = ("train", "validate", "test")


def pairs(data, split):
    return {s.study_id: (s, r) for s, r in zip(data.studies(split), data.references(split), strict=True)}


@pytest.mark.parametrize("form", ["jpg", *FORMS])
def test_the_form_is_recognised_and_can_be_named(form, written):
    root = written(form)
    assert MIMIC(root).name == {"jpg": "mimic-cxr", "mapped": "mimic-cxr-half"}.get(form, f"mimic-cxr-{form}")
    assert MIMIC(root, None, {"layout": form}).layout == MIMIC(root).layout != ""
    assert MIMIC(root).check() == []


@pytest.mark.parametrize("form", ["dicom", "mapped"])
def test_the_same_studies_and_references(form, written, jpg):
    data, expected = MIMIC(written(form)), MIMIC(jpg)
    for split in SPLITS:
        here, there = pairs(data, split), pairs(expected, split)
        assert list(here) == list(there) and len(here) > 10
        for study_id, (study, reference) in here.items():
            other, other_reference = there[study_id]
            assert (reference.findings, reference.impression) == (other_reference.findings, other_reference.impression)
            assert [(v.image_id, v.position) for v in study.views] == [(v.image_id, v.position) for v in other.views]
            assert (study.patient_id, study.split, study.context) == (other.patient_id, other.split, other.context)
            assert study.attributes == other.attributes
            assert all(view.path.is_file() for view in study.views)
        assert data.left_out(split) == expected.left_out(split)
        # Two forms of one release are the same data for scoring.
        assert provenance.fingerprint(data.studies(split), data.references(split)) == provenance.fingerprint(
            expected.studies(split), expected.references(split)
        )


def test_labels_are_where_the_form_has_them(written, jpg):
    expected = MIMIC(jpg).references("test")
    assert [r.label_sets for r in MIMIC(written("mapped")).references("test")] == [r.label_sets for r in expected]
    assert any(reference.labels for reference in expected)
    assert not any(reference.label_sets for reference in MIMIC(written("dicom")).references("test"))
    assert any("no labels" in limit for limit in MIMIC(written("dicom")).limits)


def test_dicom_has_the_pictures_of_the_jpeg(written, jpg):
    inverted = 0
    expected = pairs(MIMIC(jpg), "test")
    for study_id, (study, _) in pairs(MIMIC(written("dicom")), "test").items():
        ours, theirs = (np.asarray(read_grey(s.views[0].path), int) for s in (study, expected[study_id][0]))
        assert np.abs(ours - theirs).max() <= 1
        inverted += b"MONOCHROME1" in study.views[0].path.read_bytes()
    assert inverted > 0


def test_dicom_positions_come_from_headers_or_the_metadata_table(written, jpg, tmp_path):
    copy = shutil.copytree(written("dicom"), tmp_path / "copy")
    expected = MIMIC(copy).studies("test")
    shutil.copy(jpg / "mimic-cxr-2.0.0-metadata.csv.gz", copy)
    for image in copy.glob("files/*/*/*/*.dcm"):
        image.write_bytes(b"")  # so that a header can tell nothing
    assert MIMIC(copy).studies("test") == expected


def test_dicom_without_a_split_says_where_to_get_it(written, tmp_path):
    copy = shutil.copytree(written("dicom"), tmp_path / "copy")
    table = (copy / "mimic-cxr-2.0.0-split.csv.gz").rename(tmp_path / "mimic-cxr-2.0.0-split.csv.gz")
    (problem,) = MIMIC(copy).check()
    assert problem.fatal and "Lay mimic-cxr-2.0.0-split.csv.gz of MIMIC-CXR-JPG beside" in problem.what
    reports = tmp_path / "reports"
    shutil.copytree(copy / "files", reports / "files", ignore=shutil.ignore_patterns("*.dcm"))
    table.rename(reports / table.name)
    assert len(MIMIC(copy, reports).studies("test")) > 10


def test_an_image_without_a_split_is_counted(written, tmp_path):
    copy = shutil.copytree(written("dicom"), tmp_path / "copy")
    path = copy / "mimic-cxr-2.0.0-split.csv.gz"
    lost = MIMIC(copy).studies("test")[0]
    lines = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)
    path.write_bytes(gzip.compress("".join(line for line in lines if lost.study_id not in line).encode()))
    assert MIMIC(copy).unassigned() == {"image not in the split table": [lost.study_id]}


def test_tables_of_both_releases_side_by_side(written, jpg, tmp_path):
    copy = shutil.copytree(jpg, tmp_path / "copy")
    shutil.copy(written("dicom") / "cxr-record-list.csv", copy)
    assert MIMIC(copy).name == "mimic-cxr"  # its images are JPEGs
    assert MIMIC(written("dicom")).name == "mimic-cxr-dicom"


# R2Gen ----------------------------------------------------------------------------------------------------------------


def test_r2gen_is_per_image_and_findings_alone(written, jpg):
    data, expected = MIMIC(written("r2gen")), MIMIC(jpg)
    for split in SPLITS:
        images = {
            view.image_id: (study, reference)
            for study, reference in pairs(expected, split).values()
            if reference.findings
            for view in study.views
        }
        here = pairs(data, split)
        assert set(here) == set(images)
        for image_id, (study, reference) in here.items():
            whole, whole_reference = images[image_id]
            assert reference.findings == whole_reference.findings and reference.impression == ""
            assert study.patient_id == whole.patient_id and study.attributes == {"study": whole.study_id}
            assert study.context == {} and not reference.label_sets
    assert any(len(s.views) > 1 for s in expected.studies("train")), "else nothing is shown about images"
    assert data.official["test"] == {"images": 3858}
    assert all(any(word in limit for limit in data.limits) for word in ("one row an image", "findings alone", "labels"))


def test_r2gen_groups_by_the_entries_own_split(written, tmp_path):
    copy = shutil.copytree(written("r2gen"), tmp_path / "copy")
    path = copy / "annotation.json"
    expected = MIMIC(copy).studies("test")
    path.write_text(path.read_text().replace('"test": [', '"    ": ['))
    assert MIMIC(copy).studies("test") == expected


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"subject_id": ', '"patient": ', "Is the data set iu-xray"),
        ('"report": ', '"text": ', "no report"),
        ('"split": "val"', '"split": "dev"', "the split is 'dev'"),
        ("[", "[7, ", "no JSON object"),
        ("{", "", "not a JSON file"),
    ],
)
def test_r2gen_a_broken_file_is_named(written, tmp_path, old, new, says):
    copy = shutil.copytree(written("r2gen"), tmp_path / "copy")
    path = copy / "annotation.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=says) as error:
        MIMIC(copy).studies("train")
    assert str(path) in str(error.value)


def test_r2gen_a_path_that_leads_out_is_left_out(written, tmp_path):
    copy = shutil.copytree(written("r2gen"), tmp_path / "copy")
    path = copy / "annotation.json"
    path.write_text(path.read_text().replace('"image_path": ["p', '"image_path": ["../p', 1))
    left_out = MIMIC(copy).left_out("train")
    assert len(left_out["image path leads out of the folder"]) == 1


# Kaggle ---------------------------------------------------------------------------------------------------------------


def spaced(text):
    return " ".join(text.split())


def test_kaggle_gives_what_is_certain(written, jpg):
    data, expected = MIMIC(written("kaggle")), MIMIC(jpg)
    assert data.splits == ("train", "validate")
    everyone = [study for split in data.splits for study in expected.studies(split)]
    alone = {p for p in (s.patient_id for s in everyone) if sum(s.patient_id == p for s in everyone) == 1}
    used = 0
    for split in data.splits:
        here, there = pairs(data, split), pairs(expected, split)
        assert {study.study_id for study in data.listed(split)} == set(there)
        for study_id, (study, reference) in here.items():
            other, other_reference = there[study_id]
            assert study.patient_id in alone, "more than one study: nothing is certain"
            assert reference.findings == spaced(other_reference.findings)
            assert reference.impression == spaced(other_reference.impression)
            assert {(v.image_id, v.position) for v in study.views} <= {(v.image_id, v.position) for v in other.views}
            assert all(view.path.is_file() for view in study.views)
        used += len(here)
        reasons = data.left_out(split)
        assert len(here) + sum(map(len, reasons.values())) == len(there)
        unpaired = set(reasons["report cannot be paired with certainty"])
        assert all(there[study_id][0].patient_id not in alone for study_id in unpaired)
    assert used > 10


def test_kaggle_lists_the_images_that_are_not_there(written):
    data = MIMIC(written("kaggle"))
    views = [view for study in data.listed("train") for view in study.views]
    absent = sum(not view.path.is_file() for view in views)
    assert 0.1 < absent / len(views) < 0.5
    assert data.left_out("train")["no frontal image of the study is in this copy"]
    assert data.lists_absent_images and "no frontal image of the study is in this copy" not in data.DAMAGE


def test_kaggle_pairs_by_order_where_asked(written, jpg):
    data, expected = MIMIC(written("kaggle"), None, {"pairing": "order"}), MIMIC(jpg)
    assert data.name == "mimic-cxr-kaggle-by-order"
    certain = MIMIC(written("kaggle")).studies("train")
    here, there = pairs(data, "train"), pairs(expected, "train")
    assert len(here) > len(certain)
    for study_id, (_, reference) in here.items():
        assert reference.findings == spaced(there[study_id][1].findings)


def test_kaggle_augmented_texts_are_for_training_and_only_when_asked(written):
    plain, asked = MIMIC(written("kaggle")), MIMIC(written("kaggle"), None, {"augmented": "yes"})
    assert plain.augmented("train") == () and asked.augmented("validate") == ()
    assert asked.references("train") == plain.references("train")
    references = {r.study_id: r for r in plain.references("train")}
    assert len(asked.augmented("train")) == len(references) > 0
    for example in asked.augmented("train"):
        original = references[example.study.study_id.removesuffix("-augmented-1")]
        assert example.reference.findings == original.findings.upper()
    assert asked.name == "mimic-cxr-kaggle-augmented"


def test_kaggle_an_option_that_is_none(written):
    (problem,) = MIMIC(written("kaggle"), None, {"pairing": "guess"}).check()
    assert problem.fatal and "pairing takes certain or order, not 'guess'" in problem.what


@pytest.mark.parametrize("cell", ["[1, 2", "__import__('os').system('touch owned')[", "{'a': 1}"[:-1] + "]["])
def test_kaggle_a_bad_cell_is_counted_with_its_row(written, tmp_path, cell, monkeypatch):
    import pandas as pd

    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(written("kaggle"), tmp_path / "copy")
    path = copy / "mimic_cxr_aug_validate.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[1, "image"] = f"[{cell}"
    table.to_csv(path, index=False)
    data = MIMIC(copy)
    assert data.unassigned() == {"row cannot be read": ["mimic_cxr_aug_validate.csv, row 3"]}
    assert "row cannot be read" in data.DAMAGE
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(("cell", "kept"), [("nan", True), ("", True), ("files/p10/x/s50000000/a.jpg", True)])
def test_kaggle_nan_and_a_bare_path_are_tolerated(written, tmp_path, cell, kept):
    import pandas as pd

    copy = shutil.copytree(written("kaggle"), tmp_path / "copy")
    path = copy / "mimic_cxr_aug_validate.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[1, "Lateral"] = cell
    table.to_csv(path, index=False)
    assert (MIMIC(copy).unassigned() == {}) is kept


# A mapped copy --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('images = "../{dicom_id}.png"', "leads out of the folder"),
        ('images = "/data/{dicom_id}.png"', "leads out of the folder"),
        ('images = "{dicom}.png"', r"has the field \{dicom\}; it takes \{subject_id\}"),
        ('images = "{dicom_id.__class__}.png"', "has the field"),
        ('images = "all.png"', r"must have the field \{dicom_id\}"),
        ('images = "{dicom_id.png"', "is no pattern"),
        ('pictures = "{dicom_id}.png"', "has the key 'pictures'; it takes name, images"),
        ("images = 3", "takes a text in quotes"),
        ("", "lacks the key images"),
        ("images = ", "is not a TOML file"),
        ('name = "A b"\nimages = "{dicom_id}.png"', "lower-case letters"),
        ('images = "{dicom_id}.png"\nreports = "r.txt"', r"must have the field \{study_id\}"),
    ],
)
def test_a_mapping_that_is_wrong_is_named(tmp_path, line, says):
    (tmp_path / "mapping.toml").write_text(line + "\n")
    with pytest.raises(UserError, match=says) as error:
        MIMIC(tmp_path).studies("train")
    assert str(tmp_path / "mapping.toml") in str(error.value)


# Writing --------------------------------------------------------------------------------------------------------------


def test_a_form_is_written_whole_or_not_at_all(jpg, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(UserError, match="is there already"):
        PHANTOM.write_form(jpg, target, "r2gen")
    with pytest.raises(UserError, match="Unknown layout 'kagle'. Did you mean kaggle"):
        PHANTOM.write_form(jpg, tmp_path / "other", "kagle")
    with pytest.raises(UserError):
        PHANTOM.write_form(tmp_path, tmp_path / "other", "r2gen")  # no phantom there
    assert not (tmp_path / "other").exists()
