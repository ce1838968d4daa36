"""Records and their JSON form."""

import dataclasses
import json
from pathlib import Path

import pytest

from benchmark import schema
from benchmark.schema import GenerationSettings, Prediction, Reference, Study, View


def test_section_report_needs_both_sections_of_a_reference():
    both = Reference("s1", "p1", "Clear lungs.", "Normal.")
    assert [both.section(name) for name in schema.SECTIONS] == ["Clear lungs.", "Normal.", "Clear lungs. Normal."]
    assert Reference("s1", "p1", "Clear lungs.", "").section("report") == ""
    assert Reference("s1", "p1", "", "Normal.").section("report") == ""


def test_section_report_of_a_prediction_is_what_was_written():
    assert Prediction("s1", "x", "Clear lungs.", "").section("report") == "Clear lungs."
    assert Prediction("s1", "x", "", "Normal.").section("report") == "Normal."
    assert Prediction("s1", "x", "Clear lungs.", "Normal.").section("report") == "Clear lungs. Normal."
    assert Prediction("s1", "", "", "").section("report") == ""
    assert Prediction("s1", "x", "Clear lungs.", "Normal.").section("impression") == "Normal."


def test_unknown_section_is_an_error():
    with pytest.raises(ValueError, match="findings"):
        schema.section_text("conclusion", "a", "b")


@pytest.mark.parametrize("record", [Study, View, Reference, Prediction, GenerationSettings])
def test_records_are_frozen(record):
    made = record(**{f.name: "x" for f in dataclasses.fields(record) if f.default is dataclasses.MISSING and f.init})
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, dataclasses.fields(record)[0].name, "y")


def test_prediction_survives_json():
    made = Prediction("s1", "Findings: ä “quoted”\u2028\n", "ä", "", "broken", 1.5, 7, True, ("b.png is empty.",))
    line = json.dumps(schema.to_dict(made), ensure_ascii=False)
    assert "\n" not in line
    assert schema.prediction_from_dict(json.loads(line)) == made


def test_prediction_of_a_later_version_is_read_without_what_is_unknown():
    data = {"study_id": "s", "text": "t", "findings": "f", "impression": "", "confidence": 0.5}
    assert schema.prediction_from_dict(data) == Prediction("s", "t", "f", "")


@pytest.mark.parametrize("missing", ["study_id", "text", "findings", "impression"])
def test_prediction_without_a_required_field_names_it(missing):
    data = {"study_id": "s", "text": "t", "findings": "f", "impression": "i"}
    del data[missing]
    with pytest.raises(KeyError, match=missing):
        schema.prediction_from_dict(data)


def test_to_dict_gives_plain_json_types():
    study = Study("s", "p", "test", (View(Path("/data/a.jpg"), "PA", "d1"),), {"indication": "cough"}, {"view": "PA"})
    assert json.loads(json.dumps(schema.to_dict(study))) == {
        "study_id": "s",
        "patient_id": "p",
        "split": "test",
        "views": [{"path": "/data/a.jpg", "position": "PA", "image_id": "d1"}],
        "context": {"indication": "cough"},
        "attributes": {"view": "PA"},
    }


def test_a_study_has_no_field_for_the_reference():
    fields = {field.name for field in dataclasses.fields(Study)} | {field.name for field in dataclasses.fields(View)}
    assert not fields & {"findings", "impression", "report", "reference", "labels", "text"}


def test_a_field_that_came_later_is_written_where_it_is_used():
    """So that what was hashed before it came keeps its hash."""
    settings = GenerationSettings()
    assert "prompt" not in schema.to_dict(settings)
    assert schema.to_dict(dataclasses.replace(settings, prompt="Findings:"))["prompt"] == "Findings:"
