"""`bench protocols`, and `bench score` under protocols, as a user calls them."""

import json
from pathlib import Path

import pytest

from benchmark import protocols, rescore
from benchmark.cli._app import FINISHED_WITH_PROBLEMS
from benchmark.registry import DATASETS


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def bench(call_bench, results):
    return lambda *arguments: call_bench(results, *arguments)


@pytest.fixture
def files(tmp_path):
    """Two files of texts by id, in different orders."""
    reports = {"a": "The lungs are clear.", "b": "The heart is large.", "c": "Small left effusion."}
    for name, texts in (("h", reports), ("r", dict(reversed(reports.items())))):
        lines = [json.dumps({"study_id": study, "text": text}) for study, text in texts.items()]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    return tmp_path / "h.jsonl", tmp_path / "r.jsonl"


def test_protocols_are_listed_and_described(bench):
    status, out, _ = bench("protocols")
    assert status == 0 and all(name in out for name in protocols.names())
    status, out, _ = bench("protocols", "rexrank")
    assert status == 0 and "the word None" in out and "smoothing method 1" in out
    status, out, _ = bench("protocols", "r2gen-iu", "--json")
    facts = json.loads(out)
    assert facts["references cut"] == "59 words" and facts["metrics"].keys() >= {"bleu", "meteor", "rouge-l-coco"}
    status, _, err = bench("protocols", "rexrnk")
    assert status == 1 and "Did you mean rexrank" in err


def test_several_protocols_in_one_table(bench, files, tmp_path):
    hypotheses, references = files
    out_file = tmp_path / "out.json"
    names = "radeval,cxr-report-metric"
    status, out, err = bench("score", hypotheses, "--references", references, "--protocol", names, "--json", out_file)
    assert status == 0, err
    found = json.loads(out_file.read_text())["protocols"]
    assert found["radeval"]["metrics"]["bleu_4"]["value"] == pytest.approx(1, abs=1e-5)
    assert found["cxr-report-metric"]["metrics"]["bleu_2"]["value"] == pytest.approx(1)
    digests = [each["metrics"]["bleu_2"]["signature_short"] for each in found.values()]
    assert len(set(digests)) == 2 and all(digest.rpartition("|")[2] in out for digest in digests)
    # The encoders are not here (the suite works offline), and no other takes their place.
    missing = found["radeval"]["metrics"]["bertscore_f1"]
    assert (
        missing["value"] is None and "distilbert-base-uncased" in missing["reason"] and not missing["signature_short"]
    )


def test_a_protocol_that_refuses_leaves_the_others(bench, files, tmp_path):
    hypotheses, references = files
    call = ("score", hypotheses, "--references", references, "--protocol")
    status, _, err = bench(*call, "r2gengpt")
    assert status == 1 and "--model-folder" in err and "Traceback" not in err
    status, out, _ = bench(*call, "r2gengpt,radeval", "--json", tmp_path / "out.json")
    assert status == FINISHED_WITH_PROBLEMS and "no value: r2gengpt cuts references" in " ".join(out.split())
    found = json.loads((tmp_path / "out.json").read_text())["protocols"]
    assert found["radeval"]["metrics"]["bleu_1"]["value"] and not found["r2gengpt"]["metrics"]["bleu_1"]["value"]


def test_wrong_calls_end_in_one_sentence(bench, files):
    hypotheses, references = files
    for arguments, says in (
        ([], "one of the two"),
        (["--references", references, "--dataset", "phantom"], "one of the two"),
        (["--references", references, "--protocol", "rexrnk"], "Did you mean rexrank"),
        (["--references", references, "--protocol", "vilmedic"], "--training-texts"),
        (["--references", references, "--model-folder", "x"], "--model-folder takes key=value"),
    ):
        status, _, err = bench("score", hypotheses, *arguments)
        assert status == 1 and says in err and len(err.strip().splitlines()) == 1


def test_a_file_that_cannot_be_written_is_named_before_the_scoring(bench, files, tmp_path, monkeypatch):
    hypotheses, references = files
    monkeypatch.setattr(rescore, "score_files", lambda *_: pytest.fail("scored"))
    for path in (tmp_path, hypotheses / "x.json"):
        status, _, err = bench("score", hypotheses, "--references", references, "--json", path)
        assert status == 1 and err.startswith(f"Error: --json {path} cannot be written (")


def test_a_board_without_rows_tells_why_where_runs_are_scored(call_bench, tmp_path):
    status, _, err = call_bench(tmp_path, "leaderboard")
    assert status == 1 and "Run `bench eval MODEL" in err
    run = tmp_path / "runs/own/val/most-frequent/0123"
    run.mkdir(parents=True)
    (run / "scores.json").write_text("{}")
    status, _, err = call_bench(tmp_path, "leaderboard")
    assert status == 1 and "fewer than 10 patients" in err and "bench eval" not in err


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "phantom"
    DATASETS.load("phantom").provide(root, n_train=16, n_validate=6, n_test=3, long_side=64)
    return root


def test_a_data_set_and_a_run_folder_give_the_same(bench, phantom, tmp_path):
    status, _, err = bench("generate", "most-frequent", "--dataset", "phantom", "--root", phantom)
    assert status == 0, err
    folder = Path(err.strip().splitlines()[-1].removeprefix("Run: "))
    names = ("--protocol", "radeval,rexrank", "--json")
    status, _, err = bench("score", folder, *names, tmp_path / "run.json")
    assert status == 0, err
    call = ("score", folder / "predictions.jsonl", "--dataset", "phantom", "--root", phantom, "--split", "val")
    status, _, err = bench(*call, *names, tmp_path / "file.json")
    assert status == 0, err
    run, file = (json.loads((tmp_path / name).read_text()) for name in ("run.json", "file.json"))
    assert run["fingerprint"] == file["fingerprint"] and run["protocols"].keys() == {"radeval", "rexrank"}
    for name, scored in run["protocols"].items():
        values = {key: metric["value"] for key, metric in scored["metrics"].items()}
        assert values == {key: metric["value"] for key, metric in file["protocols"][name]["metrics"].items()}
    assert not (folder / "scores.json").exists()
    text = json.loads((folder / "predictions.jsonl").read_text().splitlines()[0])["text"]
    assert text.startswith("Findings:")  # rexrank keeps the headings that radeval's report has not
