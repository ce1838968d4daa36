"""People's own tables in every form they come in. All ids and texts are invented."""

import json

import pytest
from PIL import Image

from benchmark import registry
from benchmark.errors import UserError

Dataset = registry.DATASETS.load("own")

HEADER = "study_id,patient_id,split,image,view,findings,impression,indication,sex"
ROWS = [
    "s1,p1,train,a.png,PA,Clear lungs.,Normal.,Cough,F",
    "s2,p2,val,b.png,AP,Large heart.,Cardiomegaly.,,M",
    "s3,p3,test,c.png,,Small effusion.,,Fever,",
]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "Mercy Hospital"
    folder.mkdir()
    for name in "abcd":
        Image.new("L", (8, 8), 99).save(folder / f"{name}.png")
    return folder


def written(root, lines, name="studies.csv", newline="\n", encoding="utf-8", **options):
    (root / name).write_bytes(newline.join(lines).encode(encoding))
    return Dataset(root, None, options)


def records(data):
    return {
        study.study_id: (study, reference)
        for split in data.splits
        for study, reference in zip(data.studies(split), data.references(split), strict=True)
    }


def faults(data):
    return [problem.what for problem in data.check() if not problem.fatal]


# --- forms ------------------------------------------------------------------------------------------------------


def test_a_row_is_a_study(root):
    data = written(root, [HEADER, *ROWS])
    assert data.check() == [] and data.splits == ("train", "val", "test") and data.limits == ()
    study, reference = records(data)["s1"]
    assert (study.patient_id, study.split, study.context) == ("p1", "train", {"indication": "Cough"})
    assert [(v.path, v.position, v.image_id) for v in study.views] == [(root / "a.png", "PA", "a.png")]
    assert study.attributes == {"sex": "F", "view": "PA"}
    assert (reference.findings, reference.impression, reference.patient_id) == ("Clear lungs.", "Normal.", "p1")
    study, reference = records(data)["s3"]
    assert (study.attributes, study.context) == ({}, {"indication": "Fever"})
    assert (reference.findings, reference.impression) == ("Small effusion.", "")


def objects():
    return [dict(zip(HEADER.split(","), row.split(","), strict=True)) for row in ROWS]


def r2gen():
    found = {"train": [], "val": [], "test": []}
    for record in objects():
        entry = {**record, "id": record["study_id"], "image_path": [record["image"]]}
        found[record["split"]].append({k: v for k, v in entry.items() if k not in ("study_id", "image", "split")})
    return found


FORMS = {
    "commas": {"lines": [HEADER, *ROWS]},
    "semicolons": {"lines": [line.replace(",", ";") for line in [HEADER, *ROWS]]},
    "tabs": {"lines": [line.replace(",", "\t") for line in [HEADER, *ROWS]], "name": "studies.tsv"},
    "bars": {"lines": [line.replace(",", "|") for line in [HEADER, *ROWS]]},
    "quotes": {"lines": ['"' + line.replace(",", '","') + '"' for line in [HEADER, *ROWS]]},
    "a delimiter at each end": {"lines": [line + "," for line in [HEADER, *ROWS]]},
    "a delimiter at each end but the header's": {"lines": [HEADER, *(line + "," for line in ROWS)]},
    "an index column": {"lines": ["," + HEADER, *(f"{at},{row}" for at, row in enumerate(ROWS))]},
    "Windows": {"lines": [HEADER, *ROWS], "newline": "\r\n"},
    "old Macintosh": {"lines": [HEADER, *ROWS], "newline": "\r"},
    "blank lines": {"lines": ["", HEADER, "", *ROWS, "", ",,,,,,,,"]},
    "byte order mark": {"lines": [HEADER, *ROWS], "encoding": "utf-8-sig"},
    "UTF-16": {"lines": [HEADER, *ROWS], "encoding": "utf-16"},
    "UTF-16, JSON Lines": {"lines": [json.dumps(o) for o in objects()], "name": "studies.jsonl", "encoding": "utf-16"},
    "JSON Lines": {"lines": [json.dumps(o) for o in objects()], "name": "studies.jsonl"},
    "JSON": {"lines": [json.dumps(objects())], "name": "studies.json"},
    "R2Gen's JSON": {"lines": [json.dumps(r2gen())], "name": "studies.json"},
    "other names": {
        "lines": ["Accession Number;Subject-ID;SPLIT;Image_Path;ViewPosition;FINDINGS;Impression;indication;sex",
                  *(row.replace(",", ";") for row in ROWS)]},
    "other split names": {"lines": [HEADER, *(row.replace(",val,", ",Validate,") for row in ROWS)]},
    "a list of images": {"lines": [HEADER, *(row.replace("a.png", '"[""a.png""]"') for row in ROWS)]},
    "a Python list of images": {"lines": [HEADER, *(row.replace("a.png", "['a.png']") for row in ROWS)]},
    "dots in paths": {"lines": [HEADER, *(row.replace("a.png", "./a.png") for row in ROWS)]},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_data(root, tmp_path, form):
    expected = records(written(root, [HEADER, *ROWS]))
    (root / "studies.csv").unlink()
    data = written(root, **FORMS[form])
    assert data.check() == [] and data.unassigned() == {}
    assert records(data) == expected


def test_absolute_paths_within_the_root_are_read(root):
    data = written(root, [HEADER, ROWS[0].replace("a.png", str(root / "a.png")), *ROWS[1:]])
    assert [(view.path, view.image_id) for view in records(data)["s1"][0].views] == [(root / "a.png", "a.png")]


def test_a_cell_may_have_line_breaks_quotes_and_any_script(root):
    report = '"BULGULAR:\nKalp ""normal"".\n\nSONUÇ:\nNormal."'
    data = written(root, ["study_id,image,report", f"s1,a.png,{report}"])
    reference = records(data)["s1"][1]
    assert (reference.findings, reference.impression) == ('Kalp "normal".', "Normal.")


def test_report_text_is_split_where_a_row_has_no_section(root):
    lines = [
        "study_id,report,findings,impression",
        "s1,Findings: A. Impression: B.,,",
        "s2,Findings: A. Impression: B.,C.,",
        "s3,Findings: A. Impression: B.,nan,None",
        "s4,no headings,,",
    ]
    data = written(root, lines)
    assert {k: (r.findings, r.impression) for k, (_, r) in records(data).items()} == {
        "s1": ("A.", "B."), "s2": ("C.", ""), "s3": ("A.", "B."), "s4": ("no headings", "")}  # fmt: skip


def test_a_study_of_several_images_frontal_first(root):
    lines = ["study_id,image,view,findings", "s1,a.png; b.png;c.png;d.png,Lateral;;ap;PA,A."]
    (study, _) = records(written(root, lines))["s1"]
    assert [(v.image_id, v.position) for v in study.views] == [
        ("d.png", "PA"), ("c.png", "AP"), ("a.png", "LATERAL"), ("b.png", "")]  # fmt: skip
    assert study.attributes == {"view": "PA"}


def test_a_row_an_image_joins_to_a_study(root):
    lines = [
        "study_id,split,image,view,findings,sex,rows",
        "s1,train,a.png,Lateral,A.,F,8",
        "s2,train,c.png,PA,B.,M,8",
        "s1,,b.png,PA,,F,9",
        "s1,train,b.png,PA,A.,F,9",
    ]
    data = written(root, lines)
    study, reference = records(data)["s1"]
    assert data.check() == []
    assert [(v.image_id, v.position) for v in study.views] == [("b.png", "PA"), ("a.png", "LATERAL")]
    assert study.attributes == {"sex": "F", "view": "PA"}, "what differs between the images is none of the study's"
    assert reference.findings == "A."


def test_without_a_split_column_all_is_one(root):
    data = written(root, ["study_id,image,findings", "s1,a.png,A.", "s2,b.png,B."])
    assert data.splits == ("all",) and len(data.studies("all")) == 2
    assert any("No split" in sentence for sentence in data.limits)
    assert any("patient_id" in sentence for sentence in data.limits)
    assert [study.patient_id for study in data.studies("all")] == ["s1", "s2"]


def test_columns_with_texts_are_no_attributes(root):
    text = "The heart is enlarged and the lungs are clear."
    lines = [
        "study_id,findings,history,translation,note,copy",
        f"s1,{text},Cough,{'word ' * 60},ok,x {text.upper()} y",
        "s2,Normal.,Normal.,short,ok,short",
    ]
    data = written(root, lines)
    assert [study.attributes for study in data.studies("all")] == [{"note": "ok"}, {"note": "ok"}]
    assert [study.context for study in data.studies("all")] == [{"history": "Cough"}, {"history": "Normal."}]
    assert sum("translation" in s or "copy" in s for s in data.limits) == 2


# --- which table, and its name ----------------------------------------------------------------------------------


def test_the_table_is_studies_or_the_only_one(root):
    assert written(root, [HEADER, *ROWS], name="Chest-2024 (a).csv").name == "own-chest-2024-a"
    data = written(root, [HEADER, *ROWS])
    assert (data.name, data.check()) == ("own-mercy-hospital", [])
    assert written(root, [HEADER, *ROWS], table="Chest-2024 (a).csv").layout == "Chest-2024 (a).csv (CSV)"
    assert written(root, [HEADER, *ROWS], name="studies.csv", **{"table": "studies.csv"}).check() == []
    assert Dataset(root, None, {"name": "Größe 1"}).name == "own-grosse-1"


def test_several_tables_need_a_name(root):
    for name in ("b.csv", "a.jsonl"):
        data = written(root, [HEADER, *ROWS], name=name)
    (problem,) = data.check()
    assert problem.fatal and "a.jsonl, b.csv" in problem.what and "table=a.jsonl" in problem.what
    (problem,) = Dataset(root, None, {"table": "../b.csv"}).check()
    assert problem.fatal and "../b.csv" in problem.what


def test_image_paths_may_begin_at_a_folder_of_their_own(root):
    (root / "pictures").mkdir()
    (root / "a.png").rename(root / "pictures" / "a.png")
    lines = ["study_id,image,findings", "s1,a.png,A."]
    assert records(written(root, lines, images="pictures"))["s1"][0].views[0].path == root / "pictures" / "a.png"
    for wrong in ("..", "nowhere"):
        (problem,) = written(root, lines, images=wrong).check()
        assert problem.fatal and wrong in problem.what


# --- images -----------------------------------------------------------------------------------------------------


def test_a_copy_of_texts(root):
    data = written(root, ["study_id,findings", "s1,A."])
    assert not data.has_images and data.check() == [] and len(data.studies("all")) == 1
    assert any("No images" in sentence for sentence in data.limits)


def test_images_of_which_none_is_there_are_said_to_be_missing(root):
    data = written(root, ["study_id,image,findings", "s1,x.png,A."])
    assert not data.has_images and len(data.studies("all")) == 1
    (fault,) = faults(data)
    assert "None of the images" in fault and str(root) in fault


def test_a_study_without_any_image_file_is_left_out(root):
    data = written(root, ["study_id,image,findings", "s1,x.png;a.png,A.", "s2,y.png,B.", "s3,b.png,C."])
    assert data.left_out("all") == {"image file missing": ["s2"]}
    assert [[view.image_id for view in study.views] for study in data.studies("all")] == [["a.png"], ["b.png"]]
    assert [len(study.views) for study in data.listed("all")] == [2, 1, 1]


# --- damage -----------------------------------------------------------------------------------------------------

LEFT_OUT = {
    "path out of the root": (["s9,p9,train,../x.png,,A.,,,"], "leads out", "row 5"),
    "absolute path": (["s9,p9,train,/etc/passwd,,A.,,,"], "leads out", "row 5"),
    "no list": (["s9,p9,train,['a.png',,A.,,,"], "begins with [", "row 5"),
    "no list of views": (["s9,p9,train,a.png;b.png,PA,A.,,,"], "2 images and 1 views", "row 5"),
    "another text": (["s9,p9,train,a.png,,A.,,,", "s9,p9,train,b.png,,B.,,,"], "another findings", "row 6"),
    "another patient": (["s9,p9,train,a.png,,A.,,,", "s9,p8,train,b.png,,A.,,,"], "another patient_id", "row 6"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_damaged_study_is_left_out_and_named_by_row(root, case):
    lines, words, where = LEFT_OUT[case]
    data = written(root, [HEADER, *ROWS, *lines])
    ((reason, ids),) = data.left_out("train").items()
    assert ids == ["s9"] and reason in Dataset.DAMAGE
    (fault,) = faults(data)
    assert fault.startswith(f"{root / 'studies.csv'}, {where}: the row ") and words in fault
    assert [study.study_id for study in data.listed("train")] == ["s1", "s9"]


UNASSIGNED = {
    "too many cells": ("s9,p9,train,a.png,,A, b.,,,", "row 5", "has 10 cells where the header has 9"),
    "too few cells": ("s9,p9,train", "row 5", "has 3 cells where the header has 9"),
    "no id": (",p9,train,a.png,,A.,,,", "row 5", "has no study id"),
    "NaN for an id": ("nan,p9,train,a.png,,A.,,,", "row 5", "has no study id"),
    "no split": ("s9,p9,,a.png,,A.,,,", "s9", "has the split ''"),
    "NaN for a split": ("s9,p9,NaN,a.png,,A.,,,", "s9", "has the split 'NaN'"),
    "unknown split": ("s9,p9,holdout,a.png,,A.,,,", "s9", "has the split 'holdout'"),
    "two splits": ("s1,p1,test,b.png,,,,,", "s1", "puts the study s1 into a second split"),
}


@pytest.mark.parametrize("case", UNASSIGNED)
def test_a_row_of_no_split_is_counted_and_named(root, case):
    line, listed, words = UNASSIGNED[case]
    data = written(root, [HEADER, *ROWS, line])
    ((reason, found),) = data.unassigned().items()
    assert found == [listed] and reason in Dataset.DAMAGE
    (fault,) = faults(data)
    assert fault.startswith(f"{root / 'studies.csv'}, row 5: the row ") and words in fault


def test_many_damaged_rows_are_named_by_example(root):
    data = written(root, [HEADER, *ROWS, *(f"t{at},,,a.png,,A.,,," for at in range(20))])
    assert len(faults(data)) == 6 and faults(data)[-1].endswith("15 more × split is empty or unknown.")
    assert len(data.unassigned()["split is empty or unknown"]) == 20


def test_a_report_without_text_is_a_rule_and_no_damage(root):
    data = written(root, [HEADER, *ROWS, "s9,p9,train,d.png,,nan,,,"])
    ((reason, ids),) = data.left_out("train").items()
    assert ids == ["s9"] and reason not in Dataset.DAMAGE and data.check() == []


def test_damaged_json_lines_are_counted(root):
    good = json.dumps({"study_id": "s1", "findings": "A."})
    data = written(root, [good, "{torn", "", "[1]", '{"id": 1, "id": 2}'], name="studies.jsonl")
    assert data.unassigned() == {"row that cannot be read": ["line 2", "line 4", "line 5"]}
    assert [words in fault for words, fault in zip(("not JSON", "no", "'id'"), faults(data), strict=True)] == [True] * 3


REFUSED = {
    "no id": (b"name,findings\nx,A.\n", "studies.csv", "no column study_id"),
    "no text": (b"study_id,image\nx,a.png\n", "studies.csv", "findings, impression or report"),
    "header alone": (b"study_id,findings\n", "studies.csv", "no rows"),
    "empty": (b"", "studies.csv", "no rows"),
    "no split usable": (b"study_id,split,findings\na,x,A.\n", "studies.csv", "no study with a split"),
    "two columns": (b"study_id,findings,findings\na,A.,B.\n", "studies.csv", "two columns 'findings'"),
    "two columns in all but case": (b"study_id,findings,Findings\na,A.,B.\n", "studies.csv", "are the same"),
    "two columns of a text": (b"study_id,report,text\na,A.,B.\n", "studies.csv", "report and text both mean"),
    "Latin-1": ("study_id,findings\na,A.\nb,Größe\n".encode("latin-1"), "studies.csv", "line 3: not UTF-8"),
    "UTF-16 without mark": ("study_id,findings\n".encode("utf-16-le"), "studies.csv", "line 1: not text"),
    "half of UTF-16": ("study_id,findings\na,A.\n".encode("utf-16")[:-1], "studies.csv", "not UTF-16"),
    "an open quote": (b'study_id,findings\na,"A.\nb,B.\n', "studies.csv", "line 3"),
    "a quote within": (b'study_id,findings\na,"A "large" heart"\n', "studies.csv", "line 2"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "studies.csv", "not UTF-8"),
    "torn JSON": (b'[{"study_id": "a",\n', "studies.json", "line 2: not JSON"),
    "a number": (b"7", "studies.json", "neither a list"),
    "a study twice": (b'{"a": {"report": "A."}, "a": {"report": "B."}}', "studies.json", "'a' stands there twice"),
    "half a character": (rb'[{"id": "a", "report": "A\ud800."}]', "studies.json", "half a character"),
    "too deep": (b"[" * 100_000, "studies.json", "nested too deeply"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_table_that_cannot_be_read_is_refused_in_a_sentence(root, case):
    content, name, words = REFUSED[case]
    (root / name).write_bytes(content)
    data = Dataset(root)
    (problem,) = [problem for problem in data.check() if problem.fatal]
    assert words in problem.what and str(root / name) in problem.what
    with pytest.raises(UserError, match=name):
        data.studies("train")


# --- ReXrank ----------------------------------------------------------------------------------------------------

REXRANK = {
    "CXR1": {
        "key_image_path": "b.png",
        "image_path": ["a.png", "b.png"],
        "frontal_lateral": ["Lateral", "Frontal"],
        "report": "Findings: A. Impression: B.",
        "section_findings": "A.",
        "section_impression": "B.",
        "split": "test",
        "context": "Indication: Cough: severe Comparison: None.",
        "model_prediction": "Findings: C.",
    },
    "50000001": {
        "image_path": ["/c.png"],
        "section_findings": None,
        "section_impression": "D.",
        "subject_id": 10000001,
        "split": "test",
        "context": "<context>Age:50-60.Gender:M.Indication: ___ with cough.</context>",
    },
    "x": {"key_image_path": "d.png", "reports": "Findings: E. Impression: F.", "split": "valid", "context": {"age": 7}},
}


def test_rexranks_json_is_a_table(root):
    data = written(root, [json.dumps(REXRANK)], name="ReXRank_test.json")
    assert data.check() == [] and data.splits == ("val", "test") and data.name == "own-rexrank-test"
    first, second, third = (records(data)[study] for study in ("CXR1", "50000001", "x"))
    assert [(v.image_id, v.position) for v in first[0].views] == [("b.png", "FRONTAL"), ("a.png", "LATERAL")]
    assert first[0].context == {"indication": "Cough: severe", "comparison": "None."}
    assert first[0].attributes == {"view": "FRONTAL"}
    assert (first[1].findings, first[1].impression) == ("A.", "B.")
    assert (second[0].patient_id, second[0].context) == ("10000001", {"indication": "___ with cough."})
    assert second[0].attributes == {"age": "50-60", "sex": "M"} and second[0].views[0].image_id == "c.png"
    assert (second[1].findings, second[1].impression) == ("", "D.")
    assert (third[1].findings, third[1].impression) == ("E.", "F.")
    assert [view.image_id for view in third[0].views] == ["d.png"] and third[0].attributes == {"age": "7"}
