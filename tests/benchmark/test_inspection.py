"""`bench data check` and `bench data show`, on copies of the phantom that are sound or damaged in known ways."""

import html
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmark import opening
from benchmark.errors import UserError
from benchmark.inspection import pictures
from benchmark.inspection.check import check
from benchmark.inspection.page import write_page
from benchmark.inspection.show import show
from benchmark.registry import DATASETS

SIZES = {"n_train": 40, "n_validate": 8, "n_test": 8}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "phantom"
    DATASETS.load("phantom").provide(root, **SIZES, long_side=64)
    return root


@pytest.fixture
def copy(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "copy")


def look(root, results, name="phantom", **options):
    data = opening.open_dataset(name, root, None, results)
    return check(data, data.splits, results, **options)


def test_a_sound_copy_has_no_problem(sound, tmp_path):
    found = look(sound, tmp_path)
    assert found["problems"] == []
    assert {split: facts["listed"]["studies"] for split, facts in found["splits"].items()} == {
        "train": 40, "validate": 8, "test": 8
    }  # fmt: skip
    for facts in found["splits"].values():
        assert facts["images"] == {"missing": 0, "missing_examples": [], "unreadable": 0, "unreadable_examples": []}
        assert facts["used"] + sum(of["n"] for of in facts["left_out"].values()) == facts["listed"]["studies"]
        assert len(facts["fingerprint"]) == 64
    assert json.loads(json.dumps(found)) == found


def test_counts_of_labels_and_words_are_those_of_the_references(sound, tmp_path):
    found = look(sound, tmp_path)
    references = opening.open_dataset("phantom", sound, None, tmp_path).references("train")
    edema = [reference.labels.get("Edema") for reference in references]
    assert found["splits"]["train"]["labels"]["chexpert"].get("Edema", {}) == {
        "positive": edema.count(1.0), "negative": edema.count(0.0), "uncertain": edema.count(-1.0)
    }  # fmt: skip
    lengths = [len(reference.findings.split()) for reference in references if reference.findings]
    assert found["splits"]["train"]["words"]["findings"]["n"] == len(lengths)
    assert found["splits"]["train"]["words"]["findings"]["max"] == max(lengths)


def test_missing_unreadable_and_duplicate_images_are_named(copy, tmp_path):
    data = opening.open_dataset("phantom", copy, None, tmp_path)
    lost, torn, emptied, *_ = (study.views[0].path for study in data.studies("train"))
    source, target = data.studies("validate")[0].views[0].path, data.studies("test")[0].views[0].path
    lost.unlink()
    torn.write_bytes(torn.read_bytes()[:400])
    emptied.write_bytes(b"")
    shutil.copyfile(source, target)
    found = look(copy, tmp_path)
    images = found["splits"]["train"]["images"]
    assert (images["missing"], images["missing_examples"]) == (1, [str(lost)])
    assert images["unreadable"] == 2
    assert {str(torn), str(emptied)} == {sentence.split(" ")[0] for sentence in images["unreadable_examples"]}
    assert found["duplicate_images"]["across_splits"] == 1
    said = " ".join(found["problems"])
    assert all(str(path) in said for path in (lost, torn, emptied)) and target.stem in said
    assert "are in two splits under different names" in said


def test_without_decoding_images_are_only_looked_for(copy, tmp_path):
    lost, torn = (s.views[0].path for s in opening.open_dataset("phantom", copy, None, tmp_path).studies("train")[:2])
    lost.unlink()
    torn.write_bytes(b"")
    found = look(copy, tmp_path, decode=False)
    assert found["splits"]["train"]["images"]["missing"] == 1
    assert found["splits"]["train"]["images"]["unreadable"] == 0 and not found["images_decoded"]


def test_a_killed_run_goes_on_and_a_changed_file_is_opened_again(copy, tmp_path, monkeypatch):
    first = look(copy, tmp_path)
    (ledger,) = (tmp_path / "cache").glob("pictures-*.jsonl")
    lines = ledger.read_text().strip().splitlines(keepends=True)
    ledger.write_text("".join(lines[:10]) + lines[10][:20])  # as a kill leaves it
    opened = []
    real = pictures._open
    monkeypatch.setattr(pictures, "_open", lambda path: opened.append(path) or real(path))
    assert look(copy, tmp_path) == first
    assert len(opened) == len(lines) - 10
    opened.clear()
    changed = opening.open_dataset("phantom", copy, None, tmp_path).studies("test")[0].views[0].path
    changed.write_bytes(changed.read_bytes()[:300])
    found = look(copy, tmp_path)
    assert opened == [changed] and found["splits"]["test"]["images"]["unreadable"] == 1


def test_texts_that_stand_in_training_are_counted(copy, tmp_path):
    data = opening.open_dataset("phantom", copy, None, tmp_path)

    def report(study):
        return next(copy.glob(f"files/*/*/s{study.study_id}.txt"))

    before = look(copy, tmp_path)["copied_from_training"]["test"]["findings"]["n"]
    model = next(r for r in data.references("train") if r.findings)
    twin = next(r for r in data.references("test") if r.findings)
    report(twin).write_bytes(report(model).read_bytes())
    found = look(copy, tmp_path)
    assert found["copied_from_training"]["test"]["findings"]["n"] == before + 1
    assert any("test: " in note and "findings texts" in note for note in found["notes"])


def test_a_patient_in_two_splits_is_a_problem(tmp_path):
    root = tmp_path / "own"
    root.mkdir()
    rows = ["study_id,patient_id,split,report", "a,1,train,Clear.", "b,1,test,Effusion.", "c,2,val,Edema."]
    (root / "studies.csv").write_text("\n".join(rows) + "\n")
    found = look(root, tmp_path, "own")
    assert found["patients_in_two_splits"] == {"n": 1, "examples": ["1"]}
    assert any("1 patients are in two splits, such as 1." in problem for problem in found["problems"])


# The page -------------------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Tag names and addresses of a page."""

    def __init__(self, text):
        super().__init__()
        self.names, self.addresses = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.names.append(tag)
        self.addresses += [value for key, value in attributes if key in ("src", "href")]


def test_the_page_holds_pictures_and_needs_nothing_else(sound, tmp_path):
    data = opening.open_dataset("phantom", sound, None, tmp_path)
    write_page(data, check(data, data.splits, tmp_path), tmp_path / "page.html", per_split=3)
    text = (tmp_path / "page.html").read_text()
    tags = Tags(text)
    assert tags.names.count("article") == 9 and tags.names.count("img") >= 9
    assert all(address.startswith("data:image/jpeg;base64,") for address in tags.addresses)
    first = data.studies("test")[0]
    assert first.study_id in text


def test_text_on_the_page_is_escaped(tmp_path):
    root = tmp_path / "own"
    root.mkdir()
    evil = "<script>alert(1)</script> & more"
    (root / "studies.csv").write_text(f'study_id,patient_id,split,findings\n"<b>a</b>",1,test,"{evil}"\n')
    data = opening.open_dataset("own", root, None, tmp_path)
    write_page(data, check(data, data.splits, tmp_path), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "script" not in Tags(text).names and "b" not in set(Tags(text).names) - {"b"}
    assert html.escape(evil) in text and "<b>a</b>" not in text


# One study ------------------------------------------------------------------------------------------------------------


def test_a_study_is_shown_by_any_spelling_of_its_id(sound, tmp_path):
    data = opening.open_dataset("mimic-cxr", sound, None, tmp_path)
    study, reference = data.studies("test")[0], data.references("test")[0]
    found = show(data, f"s{study.study_id}")
    assert found == show(data, study.study_id)
    assert (found["split"], found["left_out"], found["findings"]) == ("test", "", reference.findings)
    assert [image["path"] for image in found["images"]] == [str(view.path) for view in study.views]
    assert found["labels"]["chexpert"] == dict(reference.labels)


def test_a_study_that_is_left_out_says_why(copy, tmp_path):
    victim = opening.open_dataset("phantom", copy, None, tmp_path).studies("train")[0]
    next(copy.glob(f"files/*/*/s{victim.study_id}.txt")).unlink()
    found = show(opening.open_dataset("phantom", copy, None, tmp_path), victim.study_id)
    assert found["left_out"] == "report file missing" and found["findings"] == ""
    assert [image["image_id"] for image in found["images"]] == [view.image_id for view in victim.views]


def test_an_unknown_study(sound, tmp_path):
    with pytest.raises(UserError, match="has no study '12' in train, validate, test"):
        show(opening.open_dataset("phantom", sound, None, tmp_path), "12")


IU = Path(__file__).parents[3] / "shared" / "iu_xray"


@pytest.mark.skipif(not IU.is_dir(), reason="the real Open-I texts are not here")
def test_real_texts_that_are_copies(tmp_path):
    """Expected: counted once by hand over R2Gen's annotation.json; 47 % of the test findings are copies."""
    found = look(IU, tmp_path, "iu-xray")
    copied = {split: of["findings"]["n"] for split, of in found["copied_from_training"].items()}
    assert copied == {"val": 66, "test": 277}
    assert found["problems"] == [] and any("(47%)" in note for note in found["notes"])
    assert found["splits"]["train"]["repeated"]["findings"]["commonest"] >= 29
