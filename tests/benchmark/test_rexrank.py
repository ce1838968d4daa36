"""ReXrank's JSON as it is written, and as the data set `own` reads it back."""

import json

import pytest
from PIL import Image

from benchmark import registry
from benchmark.errors import UserError
from benchmark.rexrank import write_rexrank
from benchmark.schema import Prediction, Reference, Study, View

Dataset = registry.DATASETS.load("own")

LINES = [
    "study_id,patient_id,split,image,view,findings,impression,indication,sex,age",
    "s1,p1,train,a.png,PA,Clear lungs.,Normal.,Cough,F,60",
    "s2,p2,val,b.png;c.png,AP;LL,Large heart.,Cardiomegaly.,,M,60",
    "s3,p3,test,c.png,,Small effusion.,,Fever,,60",
]


@pytest.fixture
def root(tmp_path):
    for name in "abc":
        Image.new("L", (8, 8), 99).save(tmp_path / f"{name}.png")
    (tmp_path / "studies.csv").write_text("\n".join(LINES))
    return tmp_path


def records(data):
    return {
        study.study_id: (study, reference)
        for split in data.splits
        for study, reference in zip(data.studies(split), data.references(split), strict=True)
    }


def test_what_is_written_is_read_back(root):
    data = Dataset(root)
    studies = [study for split in data.splits for study in data.studies(split)]
    references = [reference for split in data.splits for reference in data.references(split)]
    said = {s.study_id: Prediction(s.study_id, f"Findings: {s.study_id}", s.study_id, "") for s in studies}
    out = root / "out.json"
    assert write_rexrank(out, studies, references, said) == root
    again = Dataset(root, None, {"table": "out.json"})
    assert again.check() == []
    said_of = {"PA": "FRONTAL", "AP": "FRONTAL", "LL": "LATERAL"}
    for study, reference in records(again).values():
        old_study, old_reference = records(data)[study.study_id]
        assert reference == old_reference
        assert (study.patient_id, study.split, study.context) == (
            old_study.patient_id, old_study.split, old_study.context)  # fmt: skip
        assert [v.path for v in study.views] == [v.path for v in old_study.views]
        assert [v.position for v in study.views] == [said_of.get(v.position, "") for v in old_study.views]
        assert study.attributes.get("sex") == old_study.attributes.get("sex") and study.attributes["age"] == "60"
    content = json.loads(out.read_text(encoding="utf-8"))
    assert content["s1"] == {
        "key_image_path": "a.png",
        "image_path": ["a.png"],
        "frontal_lateral": ["Frontal"],
        "report": "Findings: Clear lungs. Impression: Normal.",
        "section_findings": "Clear lungs.",
        "section_impression": "Normal.",
        "context": "Age: 60 Gender: F Indication: Cough",
        "split": "train",
        "subject_id": "p1",
        "model_prediction": "Findings: s1",
    }
    assert content["s3"]["section_impression"] is None
    assert content["s3"]["report"] == "Findings: Small effusion. Impression: None"


def test_paths_begin_at_the_root_given_and_no_prediction_is_made_up(root):
    data = Dataset(root)
    studies, references = data.studies("train"), data.references("train")
    assert write_rexrank(root / "out.json", studies, references, root=root.parent) == root.parent
    assert json.loads((root / "out.json").read_text())["s1"]["image_path"] == [f"{root.name}/a.png"]
    with pytest.raises(UserError, match="s1 has no prediction"):
        write_rexrank(root / "out.json", studies, references, {})


def test_other_positions_are_written_as_they_are_and_images_elsewhere_with_their_whole_path(tmp_path):
    study = Study("s", "p", "test", (View(tmp_path / "x" / "a.png", "L5 S1"), View(tmp_path / "y" / "b.png")))
    write_rexrank(tmp_path / "out.json", [study], [Reference("s", "p", "A.")], root=tmp_path / "x")
    content = json.loads((tmp_path / "out.json").read_text())["s"]
    assert content["frontal_lateral"] == ["L5 S1", ""]
    assert content["image_path"] == ["a.png", str(tmp_path / "y" / "b.png")]


def test_studies_without_images_can_be_written(tmp_path):
    write_rexrank(tmp_path / "out.json", [Study("s", "p", "test")], [Reference("s", "p", "A.")])
    content = json.loads((tmp_path / "out.json").read_text())["s"]
    assert (content["image_path"], content["key_image_path"]) == ([], None)
