"""Files of other programs' texts: every form gives the same texts, and what is wrong is one sentence with its place."""

import json

import pytest

from benchmark import predictions_in
from benchmark.errors import UserError

TEXTS = {"s2": 'Clear, "mostly".', "s1": "", "s3": "Line one.\nLine two — 心影."}


def joined(findings, impression):
    return " ".join(filter(None, (findings, impression)))


def read(path, section="", references=False):
    found = predictions_in.read(path, references)
    return {name: text.section(section, joined) for name, (text,) in found.by_id.items()}


def table(divider, id_name, text_name):
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, delimiter=divider)
    writer.writerows([[id_name, text_name, "other"], *([name, text, "x"] for name, text in TEXTS.items())])
    return out.getvalue()


FORMS = {
    "study.csv": table(",", "study_id", "report"),
    "bom.csv": "\ufeff" + table(",", "Study_ID", "Prediction"),
    "study.tsv": table("\t", "dicom_id", "text"),
    "lines.jsonl": "\n".join(json.dumps({"study_id": name, "text": text}) for name, text in TEXTS.items()) + "\n\n",
    "lines.txt": "\n".join(json.dumps({"id": name, "hypothesis": text}) for name, text in TEXTS.items()),
    "lines.json": "\n".join(json.dumps({"id": name, "text": text}) for name, text in TEXTS.items()),
    "r2gengpt.json": json.dumps({name: [text] for name, text in TEXTS.items()}),
    "plain.json": json.dumps(TEXTS, indent=1),
    "list.json": json.dumps([{"image_id": name, "report": text} for name, text in TEXTS.items()]),
    "rexrank.json": json.dumps(
        {
            name: {
                "model_prediction": text,
                "report": "Findings: a Impression: b",
                "section_findings": "a",
                "section_impression": None,
                "subject_id": 7,
                "image_path": ["x.jpg"],
            }
            for name, text in TEXTS.items()
        }
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_texts(tmp_path, name):
    path = tmp_path / name
    path.write_text(FORMS[name], encoding="utf-8", newline="")
    assert read(path) == TEXTS and not predictions_in.read(path).numbered


def test_rexrank_s_references_are_its_sections(tmp_path):
    path = tmp_path / "rexrank.json"
    path.write_text(FORMS["rexrank.json"])
    assert set(read(path, references=True).values()) == {"a"}
    assert set(read(path, "impression", references=True).values()) == {""}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "one\n\nthree, four\n"),
        ("a.txt", "one\r\n\r\nthree, four"),
        ("res.csv", "one\n\n\"three, four\"\n"),
        ("a.json", '["one", "", "three, four"]'),
    ],
)  # fmt: skip
def test_plain_lines_are_numbered_and_no_blank_one_is_lost(tmp_path, name, content):
    (tmp_path / name).write_bytes(content.encode())
    assert predictions_in.read(tmp_path / name).numbered
    assert read(tmp_path / name) == {"1": "one", "2": "", "3": "three, four"}


def test_sections(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [
        {"study_id": "both", "findings": "Clear.", "impression": "Normal."},
        {
            "study_id": "run",
            "text": "Findings: Clear. Impression: Normal.",
            "findings": "Clear.",
            "impression": "Normal.",
        },
        {"study_id": "headed", "text": "Findings: Clear. Impression: Normal."},
        {"study_id": "plain", "text": "Clear."},
        {"study_id": "one", "findings": "Clear."},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert read(path, "findings") == dict.fromkeys(["both", "run", "headed", "plain", "one"], "Clear.")
    found = read(path, "impression")
    assert found == {"both": "Normal.", "run": "Normal.", "headed": "Normal.", "plain": "Clear.", "one": ""}
    assert read(path, "report")["headed"] == read(path)["both"] == "Clear. Normal."
    assert read(path)["run"] == "Findings: Clear. Impression: Normal."


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", '{"study_id": "a", "text": "x"}\nnot json\n', "line 2: not JSON"),
        ("a.jsonl", '{"study_id": "a", "text": NaN}\n', "line 1: text is nan, not a text"),
        ("a.jsonl", '{"study_id": "a", "text": 3}\n', "not a text"),
        ("a.jsonl", '["a"]\n', "not a JSON object"),
        ("a.jsonl", '{"text": "x"}\n', "line 1: no study_id"),
        ("a.jsonl", "", "is empty"),
        ("a.json", "{", "is not JSON"),
        ("a.json", "7", "neither a JSON object"),
        ("a.json", '{"a": ["x", "y"]}', "2 texts under one id"),
        ("a.json", "[" * 200_000, "too deep"),
        ("a.csv", "study_id,text\na,nan\n", "row 2: text is 'nan', not a text"),
        ("a.csv", "study_id,text\na,b,c\n", "row 2: 3 cells under a head of 2"),
        ("a.csv", "study_id,words\na,b\n", "no column of texts"),
        ("a.csv", "patient,text\na,b\n", "row 2: no study_id"),
        ("a.csv", 'study_id,text\na,"b\n', "not a table"),
        ("a.csv", "", "is empty"),
    ],
)
def test_bad_files(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=says):
        read(tmp_path / name)


def test_other_bad_files(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"study_id,text\na,\xff\n")
    with pytest.raises(UserError, match="not UTF-8"):
        read(tmp_path / "a.csv")
    with pytest.raises(UserError, match="No such file"):
        read(tmp_path / "none.csv")
    for record in ({"study_id": "a", "other": 1}, {"id": 3}):
        (tmp_path / "b.jsonl").write_text(json.dumps(record))
        with pytest.raises(UserError, match="line 1: no text, findings or impression"):  # before ids are matched
            predictions_in.read(tmp_path / "b.jsonl")


@pytest.mark.parametrize("missing", [{"model_prediction": None}, {}], ids=["null", "absent"])
def test_where_a_prediction_is_missing_the_reference_beside_it_is_none(tmp_path, missing):
    record = {"report": "Findings: a Impression: b", "section_findings": "a", "section_impression": "b"}
    path = tmp_path / "rexrank.json"
    path.write_text(json.dumps({"s1": {**record, **missing}, "s2": {**record, "model_prediction": "c"}}))
    with pytest.raises(UserError, match="s1: no text"):
        read(path, "findings")
    assert read(path, "findings", references=True) == {"s1": "a", "s2": "a"}


def test_one_object_with_an_id_is_one_record_in_whatever_lines(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"study_id": "s1", "text": "Clear."}, indent=1))
    assert read(tmp_path / "a.json") == {"s1": "Clear."}


def test_a_repeated_id_is_kept_for_the_policy(tmp_path):
    (tmp_path / "a.json").write_text('{"a": "x", "a": "y", "b": "z"}')
    found = predictions_in.read(tmp_path / "a.json").by_id
    assert [text.text for text in found["a"]] == ["x", "y"]
