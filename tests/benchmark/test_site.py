"""The pages: all values escaped, all links there, nothing from outside, and no study where the data forbid it."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from benchmark import evaluate, rescore, score, store
from benchmark.contracts import LEAVABLE, MetricContext
from benchmark.errors import UserError
from benchmark.site import boards, words
from benchmark.site import build as site

BAD = "<script>alert('x')</script>"
ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """Links, scripts and ids of a page, and its text."""

    def __init__(self, path):
        super().__init__()
        self.links, self.scripts, self.text = [], 0, ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        self.scripts += tag == "script"
        self.links += [value for key, value in attributes if key in ("href", "src")]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def aggregates():
    """The committed aggregates of the quick start."""
    folder = ROOT / "results" / "scores" / "phantom-val"
    return [store.read_json(path) for path in sorted(folder.glob("*.json")) if path.name != "pairs.json"]


def put(results, entries, board="phantom-val"):
    for entry in entries:
        store.write_json(results / "scores" / board / f"{entry['run_id']}.json", entry)


def pages(folder):
    return {path: Page(path) for path in folder.rglob("*.html")}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory, call_bench):
    """A site with studies: two text baselines on a small phantom. Its folder and that of the results."""
    folder = tmp_path_factory.mktemp("site")
    data, results = folder / "data", folder / "results"
    sizes = ("--train", 12, "--validate", 8, "--test", 1, "--size", 64)
    assert call_bench(results, "data", "make", "phantom", "--root", data, *sizes)[0] == 0
    for model in ("most-frequent", "second-reader"):
        assert call_bench(results, "generate", model, "--dataset", "phantom", "--root", data)[0] == 0
    for run in (results / "runs").glob("*/*/*/*"):
        assert call_bench(results, "score", run)[0] == 0
        assert call_bench(results, "score", run, "--protocol", "radeval", "--keep")[0] == 0
    status, _, said = call_bench(results, "site")
    assert status == 0, said
    return results / "site", results


def test_every_link_leads_to_a_file_of_the_site_and_none_outside(phantom):
    folder, _ = phantom
    found = pages(folder)
    assert len(found) >= 4
    for path, page in found.items():
        for link in page.links:
            if not link.startswith(("#", "data:")):
                assert re.match(r"[a-z]+:|//", link) is None
                assert (path.parent / unquote(link)).resolve().is_relative_to(folder.resolve())
                assert (path.parent / unquote(link)).exists(), (path, link)


def test_studies_hold_images_and_what_each_model_wrote(phantom):
    folder, results = phantom
    (board,) = (path for path in folder.iterdir() if path.is_dir())
    text = (board / "studies-0.js").read_text("utf-8")
    (_, studies) = json.loads(f"[{text[len('studies.addPart(') : -3]}]")
    assert len(studies) == 8
    for study in studies:
        assert (board / study["picture"]).read_bytes()[:2] == b"\xff\xd8"
    written = {
        line["study_id"]: line["findings"]
        for _, line in store.read_jsonl(next((results / "runs").glob("*/*/second-reader/*/predictions.jsonl")))
    }
    index = json.loads((board / "studies-index.js").read_text("utf-8")[len("studies.addIndex(") : -3])
    place = [run["model"] for run in index["runs"]].index("second-reader")
    for study in studies:
        assert "".join(piece for piece, _ in study["reports"][place]["findings"]) == written[study["id"]]


def test_scores_under_a_protocol_are_kept_and_have_a_page(phantom, call_bench, tmp_path):
    folder, results = phantom
    (run,) = (results / "runs").glob("*/*/second-reader/*")
    (path,) = (results / "scores").glob("*/second-reader-*.json")
    kept = store.read_json(path)["protocols"]["radeval"]
    assert list(kept) == ["findings", "impression", "report"] and "slices" not in kept["findings"]
    alone = ("--protocol", "radeval", "--section", "findings", "--json", tmp_path / "scores.json")
    assert call_bench(results, "score", run, *alone)[0] == 0
    expected = store.read_json(tmp_path / "scores.json")["protocols"]["radeval"]["metrics"]
    assert kept["findings"]["metrics"].keys() == {key for key, each in expected.items() if each["value"] is not None}
    for key, metric in kept["findings"]["metrics"].items():
        assert metric.items() <= expected[key].items()
        assert f"{metric['value']:.3f}" in Page(next(folder.glob("*/protocol-radeval.html"))).text


def test_scores_under_a_protocol_stay_as_long_as_the_predictions_do(phantom, tmp_path):
    shutil.copytree(phantom[1], tmp_path / "results")
    results = tmp_path / "results"
    (path,) = (results / "runs").glob("*/*/second-reader/*")
    run, dataset = rescore.open_run(path, None, None, results)
    before = store.read_json(run.scores)["protocols"]
    metrics = score.load_metrics(MetricContext(), ["rouge-l"])
    again = evaluate.score_run(run, rescore.run_selection(run, dataset), results, MetricContext(), metrics)
    assert before and again["protocols"] == before
    run.predictions.write_text(run.predictions.read_text("utf-8").replace("lungs", "lung"), "utf-8")
    with pytest.raises(UserError, match="not scored as they are now"):
        rescore.keep_protocols(run, dataset, results, rescore.Order(["radeval"]))
    again = evaluate.score_run(run, rescore.run_selection(run, dataset), results, MetricContext(), metrics)
    assert again["protocols"] == {}


def test_a_run_of_some_studies_is_scored_under_a_protocol(phantom, call_bench, tmp_path):
    folder = phantom[1].parent
    some = ("most-frequent", "--dataset", "phantom", "--root", folder / "data", "--limit", 3)
    assert call_bench(tmp_path, "generate", *some)[0] == 0
    (run,) = (tmp_path / "runs").glob("*/*/*/*")
    out = tmp_path / "scores.json"
    status, _, said = call_bench(tmp_path, "score", run, "--protocol", "radeval", "--section", "report", "--json", out)
    assert status == 0, said
    assert store.read_json(out)["protocols"]["radeval"]["n"] == 3


def test_names_and_notes_are_text_wherever_they_stand(tmp_path, aggregates):
    entry = {**aggregates[0], "control": "", "model": BAD, "preset": BAD, "note": BAD, "run_id": "../" + BAD}
    put(tmp_path, [{**entry, "card": {"parameters": 5, "by": BAD}}])
    (tmp_path / "scores" / "phantom-val").rename(tmp_path / "scores" / "<b>-val")
    built = site.build(tmp_path, tmp_path / "out")
    found = pages(built.folder)
    assert sum(BAD in page.text for page in found.values()) >= 3
    assert all(page.scripts == 1 for page in found.values())
    assert all(path.resolve().is_relative_to(built.folder.resolve()) for path in found)


@pytest.mark.parametrize("private", [False, True])
def test_no_text_and_no_image_of_data_that_may_not_leave(phantom, tmp_path, monkeypatch, private):
    """The phantom's own run folders, of a data set that says it is credentialed."""
    _, results = phantom
    from benchmark.datasets.phantom import Dataset

    for kept in ({"texts"}, {"images"}, {"values"}):
        monkeypatch.setattr(Dataset, "MAY_LEAVE", LEAVABLE - kept)
        out = tmp_path / "-".join(kept)
        built = site.build(results, out, private)
        assert set(built.boards.values()) == {False}
        everything = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
        for run in (results / "runs").glob("*/*/*/*/predictions.jsonl"):
            for _, line in store.read_jsonl(run):
                assert line["findings"].encode() not in everything and line["study_id"].encode() not in everything
        assert not list(out.rglob("*.jpg"))


def test_pairs_are_corrected_metric_by_metric_and_are_of_what_is_shown(tmp_path, aggregates):
    """An extra metric of one pair alone, and tests that are left from an earlier signature."""
    shown = [entry for entry in aggregates if not entry["control"]][:3]
    put(tmp_path, shown)
    a, b, c = (entry["run_id"] for entry in shown)
    ends = {"difference": 0.1, "low": 0.0, "high": 0.2, "effect": None, "wins": 0.5, "losses": 0.5}
    test = {key: {**ends, "p": p} for key, p in (("cider", 0.02), ("radgraph", 0.03))}
    several = [{"a": a, "b": b, "metrics": test}, {"a": a, "b": c, "metrics": {"cider": test["cider"]}}]
    section, fingerprint = "report", shown[0]["fingerprint"]
    now = {"section": section, "fingerprint": fingerprint, "signature": shown[0]["sections"][section]["signature"]}
    old = {**now, "signature": "earlier", "pairs": [{"a": b, "b": c, "metrics": test}]}
    store.write_json(tmp_path / "scores" / "phantom-val" / "pairs.json", {"groups": [{**now, "pairs": several}, old]})
    pages = boards.read(tmp_path / "scores" / "phantom-val", tmp_path)
    found = {(pair.a, pair.b): {each.metric: each.p_holm for each in pair.tests[section]} for pair in pages.pairs}
    assert found == {(a, b): {"cider": 0.04, "radgraph": 0.03}, (a, c): {"cider": 0.04}}


def test_a_folder_that_is_no_site_is_left_alone(tmp_path, aggregates):
    put(tmp_path, aggregates)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="is no site"):
        site.build(tmp_path, mine)
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]
    site.build(tmp_path, tmp_path / "out")
    site.build(tmp_path, tmp_path / "out")
    assert not list(tmp_path.glob(".out-*"))


def test_without_scores_a_sentence(tmp_path):
    with pytest.raises(UserError, match="No scores under"):
        site.build(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "reference", "shared", "opposed"),
    [
        ("The lungs are clear.", "The lungs are clear.", ["The", "lungs", "are", "clear"], []),
        ("Small left effusion.", "No pleural effusion.", [], ["effusion"]),
        ("No pneumothorax.", "Large right pneumothorax.", [], ["pneumothorax"]),
        ("", "Clear.", [], []),
        ("Clear.", "", [], []),
    ],
)
def test_words_that_are_marked(text, reference, shared, opposed):
    pieces = words.marked(text, reference, words.opposed(text, reference))
    assert "".join(piece for piece, _ in pieces) == text
    assert [piece for piece, kind in pieces if kind == words.SHARED] == shared
    assert [piece for piece, kind in pieces if kind == words.OPPOSED] == opposed
