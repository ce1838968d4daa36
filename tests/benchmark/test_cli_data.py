"""`bench data …` and `bench datasets` as people call them."""

import json

import pytest

from benchmark.registry import DATASETS


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "phantom"
    DATASETS.load("phantom").provide(root, n_train=12, n_validate=6, n_test=6, long_side=64)
    return root


@pytest.fixture
def bench(call_bench, tmp_path):
    return lambda *arguments: call_bench(tmp_path / "results", *arguments)


def test_check_as_a_table_and_as_json(bench, phantom):
    status, out, err = bench("data", "check", "phantom", "--root", phantom)
    assert status == 0, err
    for words in ("train", "validate", "findings", "Pleural Effusion", "12 / 12"):
        assert words in out
    status, out, _ = bench("data", "check", "phantom", "--root", phantom, "--json", "--split", "val")
    assert status == 0 and list(json.loads(out)["splits"]) == ["validate"]


def test_check_of_a_folder_that_holds_something_else(bench, tmp_path):
    status, _, err = bench("data", "check", "mimic-cxr", "--root", tmp_path)
    assert status == 1 and err.startswith("Error: ") and str(tmp_path) in err
    status, _, err = bench("data", "check", "iu-xay", "--root", tmp_path)
    assert status == 1 and "Did you mean iu-xray" in err


def test_another_data_set_beside_the_one_named_is_refused(bench, phantom, tmp_path):
    for words in (("check", "own"), ("export", "own", "--rexrank", tmp_path / "out.json")):
        status, _, err = bench("data", *words, "--dataset", "phantom", "--root", phantom)
        assert status == 1 and "Two data sets are named, own and --dataset phantom" in err
    assert bench("data", "check", "phantom", "--dataset", "phantom", "--root", phantom, "--no-decode")[0] == 0


def test_show(bench, phantom):
    study = DATASETS.load("phantom")(phantom).studies("test")[0].study_id
    status, out, _ = bench("data", "show", f"s{study}", "--dataset", "phantom", "--root", phantom)
    assert status == 0 and out.startswith(f"Study {study} of phantom-") and "Findings:" in out
    status, out, _ = bench("data", "show", study, "--dataset", "phantom", "--root", phantom, "--json")
    assert json.loads(out)["study_id"] == study
    status, _, err = bench("data", "show", "5", "--dataset", "phantom", "--root", phantom)
    assert status == 1 and "has no study '5'" in err


def test_pages_and_exports_of_the_phantom(bench, phantom, tmp_path):
    page, export = tmp_path / "page.html", tmp_path / "test.json"
    status, _, err = bench("data", "check", "phantom", "--root", phantom, "--page", page, "--pictures", 2)
    assert status == 0 and page.read_text().count("<article>") == 6, err
    status, _, err = bench("data", "export", "phantom", "--root", phantom, "--rexrank", export)
    assert status == 0, err
    assert len(json.loads(export.read_text())) == len(DATASETS.load("phantom")(phantom).studies("test"))


def test_pages_and_exports_of_credentialed_data_are_refused(bench, phantom, tmp_path):
    """The phantom read as MIMIC-CXR has MIMIC-CXR's licence."""
    page, export = tmp_path / "page.html", tmp_path / "test.json"
    for private in ([], ["--private"]):
        status, _, err = bench("data", "check", "mimic-cxr", "--root", phantom, "--page", page, *private)
        assert status == 1 and "may not leave the machine" in err
        status, _, err = bench("data", "export", "mimic-cxr", "--root", phantom, "--rexrank", export, *private)
        assert status == 1 and "may not leave the machine" in err
    assert not page.exists() and not export.exists()


def test_pages_of_ones_own_data_are_for_private_use(bench, tmp_path):
    root, page = tmp_path / "own", tmp_path / "page.html"
    root.mkdir()
    (root / "ours.csv").write_text("study_id,split,findings\na,test,Clear lungs.\n")
    status, _, err = bench("data", "check", "own", "--root", root, "--page", page)
    assert status == 1 and "--private" in err and not page.exists()
    status, _, err = bench("data", "check", "own", "--root", root, "--page", page, "--private")
    assert status == 0 and "Clear lungs." in page.read_text(), err


def test_the_phantom_is_made_in_another_form(bench, tmp_path):
    sizes = ("--train", 6, "--validate", 3, "--test", 3, "--size", 64)
    status, _, err = bench("data", "make", "phantom", "--root", tmp_path / "r2gen", "--layout", "r2gen", *sizes)
    assert status == 0, err
    status, out, err = bench("data", "check", "mimic-cxr", "--root", tmp_path / "r2gen", "--json")
    assert status == 0, err
    assert json.loads(out)["dataset"] == "mimic-cxr-r2gen"
    status, _, err = bench("data", "make", "phantom", "--root", tmp_path / "x", "--layout", "xml", *sizes)
    assert status == 1 and "Unknown layout 'xml'" in err and not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", DATASETS.names())
def test_every_data_set_tells_its_licence_and_options(bench, name):
    status, out, _ = bench("datasets", name, "--json")
    facts = json.loads(out)
    plugin = DATASETS.load(name)
    assert status == 0 and facts["licence"] == plugin.LICENCE
    assert all(f"--data-option {key}=…" in facts for key in plugin.OPTIONS)
    assert facts["may leave the machine"].startswith("aggregates")
