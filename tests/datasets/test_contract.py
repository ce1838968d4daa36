"""What every data set must do, run on all of them. A new data set adds to MAKERS how a small copy of it is made."""

import json
import re
import shutil

import pytest
from PIL import Image

from benchmark import contracts, provenance, registry
from benchmark.errors import UserError


def make_phantom(root):
    registry.DATASETS.load("phantom").provide(root, n_train=12, n_validate=4, n_test=4, long_side=64)


def make_iu_xray(root):
    """R2Gen's form with Kaggle's tables beside it. No study has its second image, which alone harms nothing."""
    splits = {"CXR1_1_IM-0001": "train", "CXR2_IM-0002": "train", "CXR3_IM-0003-1001": "val", "CXR4_IM-0004": "test"}
    annotation = {"train": [], "val": [], "    ": []}
    reports, projections = ["uid,MeSH,Problems,image,indication,comparison,findings,impression"], []
    for number, (study, split) in enumerate(splits.items(), 1):
        findings, images = f"Invented findings {number}.", [f"{study}/0.png", f"{study}/1.png"]
        entry = {"id": study, "report": findings, "image_path": images, "split": split}
        annotation["    " if split == "test" else split].append(entry)
        reports.append(f"{number},normal,normal,Chest,Cough,None.,{findings},Invented impression {number}.")
        projections += [
            f"{number},{number}_IM-{view}001.dcm.png,{name}" for view, name in ((1, "Frontal"), (2, "Lateral"))
        ]
        (root / "images" / study).mkdir(parents=True)
        Image.new("L", (24, 32), 40 * number).save(root / "images" / images[0])
    (root / "annotation.json").write_text(json.dumps(annotation))
    (root / "indiana_reports.csv").write_text("\n".join(reports))
    (root / "indiana_projections.csv").write_text("\n".join(["uid,filename,projection", *projections]))


def make_own(root):
    (root / "images").mkdir(parents=True)
    lines = ["study_id;patient_id;split;image;view;report;indication;sex"]
    for number, split in enumerate(("train", "train", "valid", "test")):
        Image.new("L", (24, 32), 50 * number).save(root / "images" / f"{number}.png")
        report = f"Findings: Invented findings {number}. Impression: Invented impression {number}."
        lines.append(f"s{number};p{number};{split};images/{number}.png;pa;{report};Cough;F")
    (root / "invented.csv").write_text("\n".join(lines))


MAKERS = {
    "phantom": make_phantom,
    "iu-xray": make_iu_xray,
    "own": make_own,
    "mimic-cxr": make_phantom,  # in MIMIC-CXR-JPG's own layout
}
NAMES = registry.DATASETS.names()


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """Folder of a small copy by the data set's name; made once and must not be changed."""
    made = {}

    def of(name):
        maker = MAKERS[name]
        if maker not in made:
            made[maker] = tmp_path_factory.mktemp("data") / "root"
            maker(made[maker])
        return made[maker]

    return of


@pytest.fixture
def opened(root):
    return lambda name: registry.DATASETS.load(name)(root(name))


def test_every_data_set_can_be_made_small():
    assert set(MAKERS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_declares_what_the_contract_asks(name, opened):
    plugin, data = registry.DATASETS.load(name), opened(name)
    assert issubclass(plugin, contracts.Dataset) and not plugin.__abstractmethods__
    for text in (plugin.VERSION, plugin.LICENCE):
        assert isinstance(text, str) and text
    for flag in (plugin.SCRATCH, plugin.SECOND_READER):
        assert isinstance(flag, bool)
    assert plugin.MAY_LEAVE <= contracts.LEAVABLE
    assert isinstance(plugin.SPLITS, tuple) and plugin.SPLITS and len(set(plugin.SPLITS)) == len(plugin.SPLITS)
    assert not set(plugin.SPLIT_ALIASES) & set(plugin.SPLITS), "a split's own name must not mean another one"
    assert isinstance(plugin.DAMAGE, frozenset)
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", data.name), "the name is part of paths"
    assert registry.DATASETS.name_of(plugin) == name
    summary = registry.DATASETS.summary(name)
    assert summary.endswith(".") and 10 < len(summary) <= 120


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_copy_has_no_problems(name, opened):
    assert opened(name).check() == []


@pytest.mark.parametrize("name", NAMES)
def test_studies_and_references_stand_beside_one_another(name, opened):
    data = opened(name)
    for split in data.splits:
        studies, references = data.studies(split), data.references(split)
        ids = [study.study_id for study in studies]
        assert ids and ids == sorted(set(ids))
        assert [(r.study_id, r.patient_id) for r in references] == [(s.study_id, s.patient_id) for s in studies]
        assert {study.split for study in studies} == {split}
        assert all(reference.findings or reference.impression for reference in references)
        assert all(text == text.strip() for r in references for text in (r.findings, r.impression))
        assert {value for reference in references for value in reference.labels.values()} <= {1.0, 0.0, -1.0}


@pytest.mark.parametrize("name", NAMES)
def test_studies_have_images_and_no_word_of_the_reference(name, opened):
    data = opened(name)
    for split in data.splits:
        for study, reference in zip(data.studies(split), data.references(split), strict=True):
            assert study.views and study.views[0].path.is_file()
            assert all(view.path.is_absolute() for view in study.views)
            known = json.dumps([dict(study.context), dict(study.attributes)])
            for section in (reference.findings, reference.impression):
                assert not section or section not in known
            assert not {"findings", "impression"} & set(study.context)
            assert all(isinstance(value, str) for value in (*study.context.values(), *study.attributes.values()))


@pytest.mark.parametrize("name", NAMES)
def test_no_patient_is_in_two_splits(name, opened):
    data = opened(name)
    patients = [{study.patient_id for study in data.studies(split)} for split in data.splits]
    assert sum(map(len, patients)) == len(set.union(*patients))


@pytest.mark.parametrize("name", NAMES)
def test_two_readings_and_another_place_are_the_same_data(name, opened, root, tmp_path):
    data = opened(name)
    moved = registry.DATASETS.load(name)(shutil.copytree(root(name), tmp_path / "moved"))
    for split in data.splits:
        again = opened(name)
        assert list(again.studies(split)) == list(data.studies(split))
        assert list(again.references(split)) == list(data.references(split)) == list(moved.references(split))
        assert provenance.fingerprint(moved.studies(split), moved.references(split)) == provenance.fingerprint(
            data.studies(split), data.references(split)
        )
    assert moved.name == data.name


@pytest.mark.parametrize("name", NAMES)
def test_a_lost_image_is_left_out_as_damage_and_nothing_else_changes(name, opened, root, tmp_path):
    plugin, data = registry.DATASETS.load(name), opened(name)
    split = data.splits[0]
    lost, *others = data.studies(split)
    copy = shutil.copytree(root(name), tmp_path / "copy")
    (copy / lost.views[0].path.relative_to(root(name))).unlink()
    found = plugin(copy)
    assert [study.study_id for study in found.studies(split)] == [study.study_id for study in others]
    assert len(found.references(split)) == len(others)
    (reason,) = set(found.left_out(split)) - set(data.left_out(split))
    assert list(found.left_out(split)[reason]) == [lost.study_id]
    assert reason in plugin.DAMAGE


@pytest.mark.parametrize("name", NAMES)
def test_what_is_left_out_is_counted(name, opened):
    data = opened(name)
    for split in data.splits:
        left_out = data.left_out(split)
        assert data.dropped(split) == {reason: len(studies) for reason, studies in left_out.items()}
        kept = {study.study_id for study in data.studies(split)}
        names = [study for studies in left_out.values() for study in studies]
        assert len(names) == len(set(names)) and not kept & set(names)
        assert all(left_out.values()), "a reason without a study is no reason"


@pytest.mark.parametrize("name", NAMES)
def test_second_readings_are_there_where_they_are_promised(name, opened):
    data = opened(name)
    for split in data.splits:
        readings = data.second_readings(split)
        ids = {study.study_id for study in data.studies(split)}
        assert set(readings) == (ids if data.SECOND_READER else set())
        assert all(isinstance(text, str) and text for text in readings.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_without_the_data_is_refused_in_sentences(name, tmp_path):
    data = registry.DATASETS.load(name)(tmp_path)
    fatal = [problem for problem in data.check() if problem.fatal]
    assert fatal and all(problem.what.endswith(".") for problem in fatal)
    assert any(str(tmp_path) in problem.what for problem in fatal)
    for ask in (data.studies, data.references, data.left_out):
        with pytest.raises(UserError, match=str(tmp_path)):
            ask(data.splits[0])
    assert list(tmp_path.iterdir()) == [], "looking changes nothing"
