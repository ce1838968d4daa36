"""Other systems' files as runs with a card, through the command line: rows, cards, slices, gaps, sites, bad input.

Two light metrics stand for the default ones, so that no test needs Java or an encoder; both are the real ones.
"""

import csv
import json
import time

import pytest

from benchmark import aggregates, leaderboard, protocols
from benchmark.metrics import cider, rouge_l
from benchmark.registry import DATASETS, METRICS

WORDS_METRIC = '''"""Mean length of the reports in words."""
import numpy as np
from benchmark import contracts

class Metric(contracts.Metric):
    KEYS, INPUT, IN_DEFAULT = ("words",), "text", False
    signature = "words|split:whitespace|version:1"

    def rows(self, hypotheses, references):
        return np.array([[len(text.split()), 1] for text in hypotheses], dtype=float)

    def aggregate(self, sums):
        return {"words": sums[..., 0] / np.maximum(sums[..., 1], 1)}
'''


@pytest.fixture(autouse=True)
def light(monkeypatch):
    """CIDEr and ROUGE-L alone, the first on white-space tokens."""
    monkeypatch.setattr(cider.Metric, "INPUT", "text")
    every = lambda self, context: [cider.Metric(context), rouge_l.Metric(context)]  # noqa: E731
    monkeypatch.setattr(type(protocols.load("default")), "metrics", every)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "phantom"
    DATASETS.load("phantom").provide(root, n_train=20, n_validate=12, n_test=4, long_side=64)
    return root


@pytest.fixture
def data(phantom):
    return ("--dataset", "phantom", "--root", phantom, "--split", "val")


@pytest.fixture
def bench(call_bench, tmp_path):
    def call(*arguments, status=0):
        found, out, err = call_bench(tmp_path / "results", *arguments)
        assert found == status, err
        assert "Traceback" not in out + err
        return out if status == 0 else err

    return call


@pytest.fixture
def reports(phantom):
    """Findings and impression of the second reader, by study."""
    dataset = DATASETS.load("phantom")(phantom)
    return dict(dataset.second_readings("validate"))


def write(path, texts):
    path.write_text(
        "".join(json.dumps({"study_id": k, "text": v}, ensure_ascii=False) + "\n" for k, v in texts.items())
    )
    return path


def rows(results, section="report"):
    (board,) = leaderboard.boards(results)
    return {row["model"]: row for row in board.rows if row["section"] == section}


def aggregate(results, model):
    (path,) = results.glob(f"scores/*/{model}-*.json")
    return aggregates.read(path)


# --- a row of its own -------------------------------------------------------------------------------------------


def test_a_file_gets_a_row_with_its_card_tested_against_the_others(bench, data, reports, tmp_path):
    bench("eval", "most-frequent", *data)
    file = write(tmp_path / "h.jsonl", {f"s{study}": text for study, text in reports.items()})
    card = ("--views", 2, "--uses", "indication, prior", "--trained-on", "our films", "--seconds-per-report", 0.5)
    bench("submit", file, "--name", "Outside-1", *data, *card, "--paper", "Somebody, 2026", "--peak-memory-mb", 900)
    row, baseline = rows(tmp_path / "results")["Outside-1"], rows(tmp_path / "results")["most-frequent"]
    assert (row["origin"], row["note"], row["rank"]) == ("submitted", "written elsewhere", 1)
    assert (row["views"], row["uses"], row["trained_on"]) == (2, "indication, prior", "our films")
    assert (row["seconds_per_report"], row["peak_memory_mb"]) == (pytest.approx(0.5), 900)
    assert row["rank_basis"] == baseline["rank_basis"] == "tested"  # no further command was needed
    assert baseline["origin"] == "run here" and "writes one report for every image" in baseline["note"]
    assert (baseline["views"], baseline["uses"]) == (0, "")
    assert baseline["trained_on"].endswith("20 studies")
    assert aggregate(tmp_path / "results", "Outside-1")["card"]["paper"] == "Somebody, 2026"
    assert "novel_4gram_share" in aggregate(tmp_path / "results", "Outside-1")["reports"]
    shown = bench("leaderboard")
    assert "written elsewhere" in shown and "our films" in shown and "truth" in shown
    (table,) = (tmp_path / "results").glob("*.csv")
    cells = {row["model"]: row for row in csv.DictReader(table.open())}
    assert (cells["Outside-1"]["views"], cells["Outside-1"]["peak_memory_mb"]) == ("2", "900.000000")
    bench("site", "--out", tmp_path / "site")
    assert "written elsewhere" in "".join(page.read_text() for page in (tmp_path / "site").rglob("*.html"))
    # The same texts through `bench score` of the run folder give the same numbers.
    (folder,) = (tmp_path / "results").glob("runs/*/val/Outside-1/*")
    before = json.loads((folder / "scores.json").read_text())["sections"]
    bench("score", folder)
    after = json.loads((folder / "scores.json").read_text())["sections"]
    assert {k: m["value"] for k, m in after["report"]["metrics"].items()} == {
        k: m["value"] for k, m in before["report"]["metrics"].items()
    }


def test_a_later_submission_takes_the_place_of_the_earlier_and_a_card_can_be_amended(bench, data, reports, tmp_path):
    results, call = tmp_path / "results", ("submit", tmp_path / "h.jsonl", "--name", "x", *data)
    write(tmp_path / "h.jsonl", reports)
    bench(*call)
    (tmp_path / "card.json").write_text(json.dumps({"trained_on": "more", "views": 1, "uses": ["prior"]}))
    bench(*call, "--card", tmp_path / "card.json", "--views", 3)
    assert len(list(results.glob("runs/*/val/x/*"))) == 1
    assert (rows(results)["x"]["trained_on"], rows(results)["x"]["views"]) == ("more", 3)
    write(tmp_path / "h.jsonl", dict.fromkeys(reports, "Findings: Clear. Impression: Normal."))
    time.sleep(1.1)  # dates are of seconds
    bench(*call)
    assert "writes one report for every image" in rows(results)["x"]["note"]
    assert leaderboard.boards(results)[0].n_superseded == 1


def test_only_sections_that_were_written_have_rows(bench, data, reports, tmp_path):
    plain = write(tmp_path / "h.jsonl", dict.fromkeys(reports, "The lungs are clear."))
    assert "--section" in bench("submit", plain, "--name", "x", *data, status=1)
    bench("submit", plain, "--name", "x", *data, "--section", "impression")
    assert set(aggregate(tmp_path / "results", "x")["sections"]) == {"impression"}
    lines = [json.dumps({"study_id": study, "findings": "The lungs are clear."}) for study in reports]
    (tmp_path / "f.jsonl").write_text("\n".join(lines))
    bench("submit", tmp_path / "f.jsonl", "--name", "y", *data)
    assert set(aggregate(tmp_path / "results", "y")["sections"]) == {"findings"}


def test_missing_reports_are_said_and_a_row_of_fewer_studies_is_not_ranked(bench, data, reports, tmp_path):
    results = tmp_path / "results"
    bench("eval", "most-frequent", *data)
    file = write(tmp_path / "h.jsonl", dict(list(reports.items())[2:]))
    assert "2 studies have no hypothesis" in bench("submit", file, "--name", "x", *data, status=1)
    bench("submit", file, "--name", "zero", *data, "--missing", "zero")
    assert rows(results)["zero"]["note"] == "written elsewhere; 2 reports missing, counted as empty"
    assert rows(results)["zero"]["rank"] is not None
    bench("submit", file, "--name", "skip", *data, "--missing", "skip")
    found = rows(results)
    assert found["skip"]["rank"] is None and "not ranked: 2 studies skipped" in found["skip"]["note"]
    assert found["most-frequent"]["rank"] and found["zero"]["rank"]  # the newest row did not take the board over
    (folder,) = results.glob("runs/*/val/skip/*")
    bench("score", folder)  # its studies are found again


# --- slices, truth, gaps, further metrics -----------------------------------------------------------------------


def test_slices_are_those_of_the_rows_and_are_shown(bench, data, reports, phantom, tmp_path):
    bench("submit", write(tmp_path / "h.jsonl", reports), "--name", "x", *data)
    (folder,) = (tmp_path / "results").glob("runs/*/val/x/*")
    report = json.loads((folder / "scores.json").read_text())["sections"]["findings"]
    per_study = [json.loads(line) for line in (folder / "per_study.jsonl").read_text().splitlines()]
    dataset = DATASETS.load("phantom")(phantom)
    women = {study.study_id for study in dataset.studies("validate") if study.attributes["sex"] == "F"}
    own = [line["findings"]["values"]["cider"] for line in per_study if line["findings"] and line["study_id"] in women]
    found = report["slices"]["sex:F"]
    assert found["n"] == len(own) and found["few"]
    assert found["metrics"]["cider"]["value"] == pytest.approx(sum(own) / len(own), rel=1e-5)
    assert found["metrics"]["cider"]["low"] <= found["metrics"]["cider"]["value"] <= found["metrics"]["cider"]["high"]
    assert found["metrics"].keys() == report["metrics"].keys()
    assert {each["attribute"] for each in report["slices"].values()} >= {"labels", "finding", "sex", "age", "length"}
    assert aggregate(tmp_path / "results", "x")["sections"]["findings"]["slices"] == report["slices"]

    out = bench("slices", "x", "--by", "sex", "--section", "findings")
    assert "sex:F" in out and "!" in out and "length:" not in out and "against what was drawn" in out
    shown = json.loads(bench("slices", "x", "--section", "findings", "--metric", "cider", "--json"))
    assert shown["slices"]["sex:F"]["metrics"]["cider"] == found["metrics"]["cider"]
    assert shown["labelled_by"] == "chexpert"
    assert "Did you mean sex" in bench("slices", "x", "--by", "sexx", status=1)
    assert "Did you mean cider" in bench("slices", "x", "--metric", "cidr", status=1)
    assert "has no scores of the section" in bench("slices", "x", "--section", "history", status=1)


def test_reports_are_held_against_what_was_drawn(bench, data, phantom, tmp_path):
    dataset = DATASETS.load("phantom")(phantom)
    own = {r.study_id: f"Findings: {r.findings} Impression: {r.impression}" for r in dataset.references("validate")}
    bench("submit", write(tmp_path / "h.jsonl", own), "--name", "x", *data)
    truth = aggregate(tmp_path / "results", "x")["truth"]
    assert truth["reports"] == truth["references"]
    every, *classes = truth["reports"]
    assert every["label"] == "all" and every["drawn"] == sum(row["drawn"] for row in classes) > 5
    row = rows(tmp_path / "results")["x"]
    assert row["truth_found"] == every["found"] / every["drawn"] > 0.85
    assert row["truth_side"] == every["right"]["side"] / every["shaped"]["side"]
    assert row["truth_invented"] == every["invented"] / 12


def test_a_control_says_what_was_lost_and_the_board_shows_it(bench, data, tmp_path):
    out = bench("eval", "second-reader", *data, "--control", "shuffle")
    assert "what is lost" not in out
    out = bench("eval", "second-reader", *data)
    assert "what is lost when the images are shuffled" in out
    found = json.loads(bench("eval", "second-reader", *data, "--control", "shuffle", "--json"))["without_images"]
    (gap,) = found
    test = gap["sections"]["report"]["cider"]
    assert (gap["control"], test["difference"], test["p"]) == ("shuffle", 0, 1)  # it does not look
    row = rows(tmp_path / "results")["second-reader"]
    assert (row["grounding_gap"], row["grounding_gap_low"], row["grounding_gap_high"]) == (0, 0, 0)


def test_a_further_metric_leaves_a_row_rankable(bench, data, reports, tmp_path, monkeypatch):
    import importlib
    import sys

    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "words.py").write_text(WORDS_METRIC)
    package = importlib.import_module(METRICS.package)
    for owner, name in ((package, "__path__"), (package.__spec__, "submodule_search_locations")):
        monkeypatch.setattr(owner, name, [*package.__path__, str(folder)])
    monkeypatch.delitem(sys.modules, "benchmark.metrics.words", raising=False)
    importlib.invalidate_caches()
    results, file = tmp_path / "results", write(tmp_path / "h.jsonl", reports)
    bench("submit", file, "--name", "plain", *data)
    bench("submit", file, "--name", "more", *data, "--metric", "words", "--metric", "words")
    bench("eval", "most-frequent", *data, "--metric", "words")
    found = rows(results)
    assert [found[name]["rank"] for name in ("plain", "more")] == [1, 1] and found["most-frequent"]["rank"]
    assert found["plain"]["words"] is None and found["more"]["words"] > found["most-frequent"]["words"] > 0
    assert found["plain"]["signature"] == found["more"]["signature"]
    (run,) = results.glob("runs/*/val/more/*")
    bench("score", run)  # scored again without being named, it stays
    assert rows(results)["more"]["words"] == found["more"]["words"]
    monkeypatch.setattr(METRICS.load("words"), "signature", "words|split:whitespace|version:2")
    bench("eval", "most-frequent", *data)
    (board,) = leaderboard.boards(results)
    later = rows(results)
    assert later["most-frequent"]["rank"] and later["more"]["rank"]
    shown = {name: row.get("words") for name, row in later.items()}
    newest = max(("more", "most-frequent"), key=lambda name: (later[name]["date"], later[name]["run_id"]))
    assert [name for name, value in shown.items() if value is not None] == [newest]
    assert "words, scored otherwise" in next(row["note"] for name, row in later.items()
                                             if name in ("more", "most-frequent") and name != newest)  # fmt: skip
    assert "Did you mean words" in bench("eval", "most-frequent", *data, "--metric", "word", status=1)


# --- several sites ----------------------------------------------------------------------------------------------


def test_sites_stand_side_by_side_and_are_not_ranked(bench, call_bench, data, reports, tmp_path):
    file = write(tmp_path / "h.jsonl", reports)
    bench("submit", file, "--name", "x", *data)
    other = ("submit", write(tmp_path / "o.jsonl", dict.fromkeys(reports, "Findings: Clear. Impression: Normal.")))
    assert call_bench(tmp_path / "theirs", *other, "--name", "x", *data)[0] == 0
    site = ("leaderboard", "--site", f"theirs={tmp_path / 'theirs' / 'scores'}")
    out = bench(*site, "--metric", "rouge_l")
    assert "rouge_l, report" in out and "here" in out and "theirs" in out and "nothing is ranked" in out
    found = [
        row for row in json.loads(bench(*site, "--json")) if (row["section"], row["metric"]) == ("report", "cider")
    ]
    assert [(row["site"], row["model"]) for row in found] == [("here", "x"), ("theirs", "x")]
    assert found[0]["value"] > found[1]["value"] and "rank" not in found[0]
    for wrong, says in (
        (f"theirs={tmp_path}/none", "No such folder"), (f"here={tmp_path}", "another name"), ("x", "key=value"),
    ):  # fmt: skip
        assert says in bench("leaderboard", "--site", wrong, status=1)
    (tmp_path / "empty").mkdir()
    assert "holds no aggregates" in bench("leaderboard", "--site", f"e={tmp_path / 'empty'}", status=1)
    assert "Did you mean rouge_l" in bench(*site, "--metric", "rouge_1", status=1)


# --- bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["score", "submit"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: [*lines, '{"study_id": "unknown", "text": "x"}'], "have no reference, such as unknown"),
        (lambda lines: [*lines, lines[0]], "stand there twice"),
        (lambda lines: lines[1:], "have no hypothesis"),
        (lambda lines: [lines[0].split(', "text"')[0] + ', "text": NaN}', *lines[1:]], "nan, not a text"),
        (lambda lines: [lines[0].split(', "text"')[0] + ', "text": "\\ud83d"}', *lines[1:]], "half a character"),
        (lambda lines: [*lines[:-1], lines[-1][:-5]], "line 12: not JSON"),
        (lambda lines: [], "is empty"),
    ],
    ids=["unknown", "twice", "missing", "nan", "surrogate", "torn", "empty"],
)
def test_damaged_files_are_refused_and_leave_nothing(bench, data, reports, tmp_path, command, change, says):
    path = tmp_path / "h.jsonl"
    lines = [json.dumps({"study_id": study, "text": text}) for study, text in reports.items()]
    path.write_text("\n".join(change(lines)))
    arguments = ("--name", "x") if command == "submit" else ()
    err = bench(command, path, *arguments, *data, status=1)
    assert says in err and len([line for line in err.splitlines() if line.startswith("Error")]) == 1
    assert not list((tmp_path / "results").glob("runs/*"))


def test_what_is_no_utf_8_is_refused(bench, data, tmp_path):
    (tmp_path / "h.jsonl").write_bytes(b'{"study_id": "a", "text": "\xe4"}\n')
    assert "not UTF-8" in bench("submit", tmp_path / "h.jsonl", "--name", "x", *data, status=1)


def test_strange_texts_are_scored(bench, data, reports, tmp_path):
    """A report of 100,000 words, other scripts, separators of other formats; as JSONL and as CSV."""
    strange = ["clear " * 100_000, "両肺は清明です。 Лёгкие чистые. 🫁", 'a ||| b\n\n"c",\u2028 d\x00', "=1+1"]
    texts = dict(zip(reports, [*strange, *list(reports.values())[len(strange) :]], strict=True))
    call = (*data, "--section", "findings")
    bench("submit", write(tmp_path / "h.jsonl", texts), "--name", "x", *call)
    with (tmp_path / "h.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("study_id", "text"), *texts.items()])
    bench("submit", tmp_path / "h.csv", "--name", "y", *call)
    found = rows(tmp_path / "results", "findings")
    assert found["x"]["cider"] == found["y"]["cider"] > 0
    bench("score", tmp_path / "h.csv", *call, "--json", tmp_path / "s.json")
    scored = json.loads((tmp_path / "s.json").read_text())
    assert scored["metrics"]["cider"]["value"] == found["x"]["cider"] and scored["slices"]


def test_nothing_but_empty_reports_scores_zero(bench, data, reports, tmp_path):
    bench("submit", write(tmp_path / "h.jsonl", dict.fromkeys(reports, " ")), "--name", "x", *data)
    found = rows(tmp_path / "results")["x"]
    assert (found["cider"], found["rouge_l"]) == (0, 0) and found["n_empty"] == found["n"] and found["rank"] == 1


def test_an_encoder_that_is_not_there_leaves_the_other_metrics(bench, data, reports, tmp_path, monkeypatch):
    from benchmark.metrics import bertscore

    every = lambda self, context: [cider.Metric(context), bertscore.Metric(context)]  # noqa: E731
    bench("submit", write(tmp_path / "h.jsonl", reports), "--name", "whole", *data)
    monkeypatch.setattr(type(protocols.load("default")), "metrics", every)
    call = ("submit", tmp_path / "h.jsonl", "--name", "x", *data, "--bertscore-encoder", tmp_path / "none")
    assert "neither a folder" in " ".join(bench(*call).split())
    found = rows(tmp_path / "results")
    assert found["x"]["cider"] > 0 and found["x"]["bertscore_f1"] is None
    assert found["whole"]["rank"] == 1 and "other signatures" in found["x"]["note"]


@pytest.mark.parametrize(
    ("name", "says"),
    [("vgpt2", "is a model of this benchmark"), ("VGPT2", "is a model of this benchmark"), ("../x", "--name takes"),
     ("", "--name takes"), ("a/b", "--name takes"), ("x" * 65, "--name takes"), (".hidden", "--name takes")],
)  # fmt: skip
def test_names_that_cannot_be(bench, data, reports, tmp_path, name, says):
    assert says in bench("submit", write(tmp_path / "h.jsonl", reports), "--name", name, *data, status=1)


@pytest.mark.parametrize(
    ("card", "says"),
    [('{"view": 1}', "Did you mean views"), ('{"views": "two"}', "must be a whole number"), ("[", "not a JSON file"),
     ('{"uses": "prior"}', "a list of texts"), ('{"seconds_per_report": NaN}', "must be a number")],
)  # fmt: skip
def test_cards_that_cannot_be(bench, data, reports, tmp_path, card, says):
    (tmp_path / "card.json").write_text(card)
    file = write(tmp_path / "h.jsonl", reports)
    assert says in bench("submit", file, "--name", "x", *data, "--card", tmp_path / "card.json", status=1)
    assert "Say with --dataset" in bench("submit", file, "--name", "x", status=1)
