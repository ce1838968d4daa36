"""Scored runs to paired tests and `pairs.json`. Most run folders are invented, in the shape that scoring leaves."""

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmark import compare, evaluate, leaderboard, opening, pairs, score, scored_runs, store
from benchmark.contracts import MetricContext
from benchmark.errors import UserError
from benchmark.provenance import file_hash
from benchmark.registry import DATASETS
from benchmark.schema import GenerationSettings

N = 60
QUICK = {"trials": 199, "draws": 100}
BASE = np.random.default_rng(0).random(N)


def run(results, model, values, run_id=None, *, order=None, section="report", patients=30, signature="s1", **changes):
    """A run folder whose CIDEr of study i is `values[i]`, two studies a patient, and its aggregate."""
    run_id = run_id or f"{model}0000"
    record = {
        "model": model, "preset": "default", "run_id": run_id, "dataset": "data", "dataset_version": "1",
        "split": "val", "n": len(values), "control": "", "checkpoint": "c", "settings": {}, "seed": 0,
        "may_leave": ["values"], "fingerprint": "f1", **changes,
    }  # fmt: skip
    folder = store.RunFolder(results / "runs" / "data" / "val" / model / run_id)
    store.write_json(folder.record, record)
    store.write_text(folder.predictions, model)
    metrics = {"cider": {"value": float(np.sum(values)) / N, "low": 0.0, "high": 1.0}}
    sections = {section: {"n": len(values), "n_patients": patients, "signature": signature, "metrics": metrics}}
    scores = {"predictions": file_hash(folder.predictions), "fingerprint": record["fingerprint"], "sections": sections}
    store.write_json(folder.scores, scores)
    lines = [
        {"study_id": f"s{i}", "patient_id": f"p{i % patients}", section: {"rows": {"cider": [x, 1.0]}}}
        for i, x in enumerate(values)
    ]
    lines = [lines[i] for i in order] if order is not None else lines
    store.write_text(folder.per_study, "".join(json.dumps(line) + "\n" for line in [*lines, {"study_id": "unscored",
                     "patient_id": "p0", section: None}]))  # fmt: skip
    aggregate = {
        **record, "checkpoint_name": "x", "settings_id": "x", "note": "", "date": run_id, "commit": "c",
        "reports": {"distinct_reports": 2, "commonest_share": 0.5, "ended_share": 1.0}, "seconds_per_report": 0.1,
        "sections": {section: {**sections[section], "n_unscored": 1, "n_empty_hypotheses": 0}},
    }  # fmt: skip
    store.write_json(results / "scores" / "data-val" / f"{model}-{run_id}.json", aggregate)
    return scored_runs.open_run(folder.path)


def only(group):
    (pair,) = group["pairs"]
    return pair["metrics"]["cider"]


# --- tests ------------------------------------------------------------------------------------------------------


def test_identical_systems(tmp_path):
    test = only(compare.compare([run(tmp_path, "a", BASE), run(tmp_path, "b", BASE)], "report", **QUICK))
    assert test == {"difference": 0, "low": 0, "high": 0, "p": 1, "p_bootstrap": 1, "effect": 0, "wins": 0, "losses": 0}


def test_a_clearly_better_system(tmp_path):
    better = run(tmp_path, "a", BASE + 1 + 0.1 * np.random.default_rng(1).random(N))
    group = compare.compare([better, run(tmp_path, "b", BASE)], "report", **QUICK)
    test = only(group)
    assert test["p"] == 1 / 200 and test["p_bootstrap"] == pytest.approx(2 / 101, rel=1e-5)
    assert 1 < test["low"] < test["difference"] < test["high"] < 1.1
    assert test["effect"] > 3 and (test["wins"], test["losses"]) == (1, 0)
    assert (group["n"], group["n_patients"], group["fingerprint"], group["signature"]) == (N, 30, "f1", "s1")


def test_the_order_of_runs_and_of_studies_does_not_matter(tmp_path):
    values = [BASE, BASE + np.random.default_rng(1).normal(0.05, 0.3, N)]
    one = only(compare.compare([run(tmp_path, m, v) for m, v in zip("ab", values, strict=True)], "report", **QUICK))
    order = np.random.default_rng(2).permutation(N)
    moved = [run(tmp_path, m, v, order=order) for m, v in zip("ba", values[::-1], strict=True)]
    assert pairs.reversed_test(only(compare.compare(moved, "report", **QUICK))) == pytest.approx(one)
    assert 0.01 < one["p"] < 1 and one["low"] < one["difference"] < one["high"]


def test_a_metric_of_which_less_is_better_wins_by_less(tmp_path, monkeypatch):
    from benchmark.metrics.cider import Metric

    monkeypatch.setattr(Metric, "HIGHER_IS_BETTER", False)
    test = only(compare.compare([run(tmp_path, "a", BASE + 1), run(tmp_path, "b", BASE)], "report", **QUICK))
    assert (test["difference"], test["wins"], test["losses"]) == (pytest.approx(1), 0, 1)


def test_holm_is_over_the_pairs_of_the_table(tmp_path):
    noise = np.random.default_rng(3)
    runs = [run(tmp_path, m, BASE + shift + noise.normal(0, 0.3, N)) for m, shift in (("a", 0), ("b", 0.1), ("c", 1))]
    group = compare.corrected(compare.compare(runs, "report", **QUICK))
    tests = [pair["metrics"]["cider"] for pair in group["pairs"]]
    assert len(tests) == 3
    least = min(test["p"] for test in tests)
    assert min(test["p_holm"] for test in tests) == pytest.approx(3 * least)
    assert all(test["p"] <= test["p_holm"] <= 1 for test in tests)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"fingerprint": "f2", "n": 9},
            r"a \(a0000\) and b \(b0000\) are of different data: data 1 val 60 studies and data 1 val 9",
        ),
        ({"fingerprint": "f2"}, "two states of data 1 val 60 studies"),
        ({"signature": "s2"}, "different signatures in report: s1 and s2"),
        ({"section": "findings"}, "has no scores of the section 'report'"),
        ({"patients": 20}, "rows of different studies in report"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_what_cannot_be_compared_is_refused(tmp_path, change, says):
    with pytest.raises(UserError, match=says):
        compare.compare([run(tmp_path, "a", BASE), run(tmp_path, "b", BASE, **change)], "report", **QUICK)


def test_one_run_alone_and_a_section_without_studies_are_refused(tmp_path):
    with pytest.raises(UserError, match="at least two runs"):
        compare.compare([run(tmp_path, "a", BASE)], "report")
    with pytest.raises(UserError, match="No study has a reference in the section 'report'"):
        compare.compare([run(tmp_path, "a", []), run(tmp_path, "b", [])], "report")


# --- finding runs -----------------------------------------------------------------------------------------------


def test_runs_are_found_by_folder_id_and_model(tmp_path):
    a, _ = run(tmp_path, "a", BASE, "abcd1234"), run(tmp_path, "a", BASE, "abff5678", control="shuffle")
    for name in (str(a.folder), "abcd", "a"):
        assert scored_runs.find_run(name, tmp_path).run_id == "abcd1234"
    assert scored_runs.find_run("abff", tmp_path).words == "a (abff56, shuffle)"
    with pytest.raises(UserError, match="No run 'zzz'"):
        scored_runs.find_run("zzz", tmp_path)
    run(tmp_path, "a", BASE, "abcd9999")
    for name in ("a", "abcd"):
        with pytest.raises(UserError, match=f"'{name}' stands for 2 runs .*abcd1234, .*abcd9999"):
            scored_runs.find_run(name, tmp_path)


def test_predictions_that_changed_since_they_were_scored_are_refused(tmp_path):
    folder = run(tmp_path, "a", BASE).folder
    (folder / "predictions.jsonl").write_text("other")
    with pytest.raises(UserError, match="not scored as they are now. Run `bench score"):
        scored_runs.open_run(folder)
    (folder / "scores.json").unlink()
    with pytest.raises(UserError, match="not scored as they are now"):
        scored_runs.open_run(folder)
    (folder / "run.json").unlink()
    with pytest.raises(UserError, match="is no run folder"):
        scored_runs.open_run(folder)


def test_rows_without_patients_are_refused(tmp_path):
    a = run(tmp_path, "a", BASE)
    path = a.folder / "per_study.jsonl"
    path.write_text(path.read_text().replace("patient_id", "x"))
    with pytest.raises(UserError, match="scored by an earlier version"):
        a.studies("report")


# --- pairs.json and the leaderboard -----------------------------------------------------------------------------


def test_what_is_kept_holds_aggregates_alone_and_ranks_the_board(tmp_path):
    runs = [run(tmp_path, m, BASE + shift) for m, shift in (("a", 0), ("b", 0), ("c", 1))]
    path = compare.refresh(tmp_path, "data", "val")
    assert path == tmp_path / "scores" / "data-val" / "pairs.json"
    (group,) = json.loads(path.read_text())["groups"]
    assert [(p["a"], p["b"]) for p in group["pairs"]] == [("a0000", "b0000"), ("a0000", "c0000"), ("b0000", "c0000")]
    assert not any(f'"s{i}"' in path.read_text() or f'"p{i}"' in path.read_text() for i in range(N) if i != 1)
    (board,) = leaderboard.boards(tmp_path)
    assert [(r["model"], r["rank"], r["rank_basis"]) for r in board.rows] == [
        ("c", 1, "tested"), ("a", 2, "tested"), ("b", 2, "tested")
    ]  # fmt: skip
    before = path.read_bytes()
    assert compare.refresh(tmp_path, "data", "val") == path and path.read_bytes() == before
    assert compare.keep([compare.compare(runs[::-1], "report")], runs, tmp_path) == path
    (group,) = json.loads(path.read_text())["groups"]
    assert len(group["pairs"]) == 3


def test_a_run_that_is_added_while_others_are_compared_keeps_its_tests(tmp_path, monkeypatch):
    for model in "ab":
        run(tmp_path, model, BASE)
    whole = compare.compare

    def meanwhile(*arguments, **more):
        monkeypatch.setattr(compare, "compare", whole)
        run(tmp_path, "c", BASE)
        compare.refresh(tmp_path, "data", "val")
        return whole(*arguments, **more)

    monkeypatch.setattr(compare, "compare", meanwhile)
    compare.refresh(tmp_path, "data", "val")
    (group,) = json.loads((tmp_path / "scores" / "data-val" / "pairs.json").read_text())["groups"]
    assert len(group["pairs"]) == 3


def test_processes_that_add_to_one_board_lose_nothing(tmp_path):
    folder = tmp_path / "scores" / "data-val"
    code = """if True:
        import sys
        from pathlib import Path
        from benchmark import pairs
        folder, own = Path(sys.argv[1]), sys.argv[2]
        for i in range(20):
            pair = {"a": "x", "b": f"{own}{i}", "metrics": {}}
            group = {"section": "report", "fingerprint": "f", "signature": "s", "pairs": [pair]}
            every = {"x", *(f"{name}{n}" for name in "pq" for n in range(20))}
            pairs.merge(folder, [group], lambda: every)
    """
    both = [subprocess.Popen([sys.executable, "-c", code, folder, name]) for name in "pq"]
    assert [each.wait() for each in both] == [0, 0]
    (group,) = json.loads((folder / "pairs.json").read_text())["groups"]
    assert len(group["pairs"]) == 40


def test_refresh_compares_a_control_with_its_own_run_alone(tmp_path):
    for model in "ab":
        run(tmp_path, model, BASE + 1 + 0.1 * np.random.default_rng(ord(model)).random(N), f"{model}0000")
        run(tmp_path, model, BASE, f"{model}9999", control="shuffle")
    path = compare.refresh(tmp_path, "data", "val")
    (group,) = json.loads(path.read_text())["groups"]
    found = {(pair["a"], pair["b"]) for pair in group["pairs"]}
    assert found == {("a0000", "b0000"), ("a0000", "a9999"), ("b0000", "b9999")}
    (board,) = leaderboard.boards(tmp_path)
    for row in board.rows:
        assert 1 < row["grounding_gap_low"] < row["grounding_gap"] < row["grounding_gap_high"] < 1.1


def test_refresh_leaves_out_what_is_not_here_and_says_what_is_stale(tmp_path, capsys):
    assert compare.refresh(tmp_path, "data", "val") is None
    runs = {model: run(tmp_path, model, BASE) for model in "abc"}
    other = run(tmp_path, "d", BASE, signature="s2")
    (runs["c"].folder / "predictions.jsonl").write_text("other")
    path = compare.refresh(tmp_path, "data", "val")
    assert "Not compared: The predictions in" in capsys.readouterr().err
    (group,) = json.loads(path.read_text())["groups"]
    assert [(p["a"], p["b"]) for p in group["pairs"]] == [("a0000", "b0000")]
    assert other.run_id not in path.read_text()


def test_pairs_of_runs_whose_aggregates_are_gone_are_dropped(tmp_path):
    for model in "abc":
        run(tmp_path, model, BASE)
    path = compare.refresh(tmp_path, "data", "val")
    (tmp_path / "scores" / "data-val" / "c-c0000.json").unlink()
    compare.refresh(tmp_path, "data", "val")
    assert len(json.loads(path.read_text())["groups"][0]["pairs"]) == 1


@pytest.mark.parametrize(("may_leave", "kept"), [([], False), (["values"], True)])
def test_tests_of_few_patients_stay_on_the_machine(tmp_path, may_leave, kept, capsys):
    runs = [run(tmp_path, model, BASE, patients=9, may_leave=may_leave) for model in "ab"]
    path = compare.keep([compare.compare(runs, "report", **QUICK)], runs, tmp_path)
    assert (path is not None) is kept
    assert ("fewer than 10 patients" in capsys.readouterr().err) is not kept


def test_a_damaged_file_is_named_and_not_overwritten(tmp_path):
    run(tmp_path, "a", BASE), run(tmp_path, "b", BASE)
    path = tmp_path / "scores" / "data-val" / "pairs.json"
    store.write_json(path, {"groups": [{"section": "report"}]})
    with pytest.raises(UserError, match=r"pairs\.json holds no comparisons"):
        compare.refresh(tmp_path, "data", "val")
    with pytest.raises(UserError, match=r"pairs\.json holds no comparisons"):
        leaderboard.boards(tmp_path)


def test_a_pair_can_be_asked_for_from_either_side():
    test = {
        "difference": 1,
        "low": 0,
        "high": 3,
        "p": 0.1,
        "p_bootstrap": 0.2,
        "effect": None,
        "wins": 0.5,
        "losses": 0,
    }
    found = pairs.Pairs({("report", "f", "s"): {("a", "b"): {"cider": test}}})
    assert found.find(("report", "f", "s"), "a", "b", "cider") == test
    assert found.find(("report", "f", "s"), "b", "a", "cider") == {
        **test, "difference": -1, "low": -3, "high": 0, "wins": 0, "losses": 0.5
    }  # fmt: skip
    assert found.find(("report", "f", "s"), "a", "b", "bleu_4") is None
    assert found.find(("report", "f", "other"), "a", "b", "cider") is None


def test_real_runs_are_compared_by_the_numbers_that_scoring_gave(tmp_path):
    root = tmp_path / "phantom"
    DATASETS.load("phantom").provide(root, n_train=16, n_validate=12, n_test=2, long_side=64)
    dataset, results = opening.open_dataset("phantom", root, None, tmp_path), tmp_path / "results"
    selection = evaluate.select(dataset, "val", None)
    metrics = score.load_metrics(MetricContext(), ["rouge-l"])
    runs = []
    for model in ("most-frequent", "random-train"):
        folder = evaluate.write_reports(model, dataset, selection, GenerationSettings(), results)
        evaluate.score_run(folder, selection, results, MetricContext(), metrics)
        runs.append(scored_runs.open_run(folder.path))
    values = [run.scores["sections"]["report"]["metrics"] for run in runs]
    (pair,) = compare.compare(runs, "report", **QUICK)["pairs"]
    assert set(pair["metrics"]) == {"rouge_l"}
    for key, test in pair["metrics"].items():
        assert test["difference"] == pytest.approx(values[0][key]["value"] - values[1][key]["value"], rel=1e-5)
    assert compare.refresh(results, dataset.name, selection.short).exists()


def test_the_command_prints_keeps_and_refuses(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from benchmark.cli import app

    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path))
    run(tmp_path, "a", BASE + 1), run(tmp_path, "b", BASE), run(tmp_path, "c", BASE)
    done = CliRunner().invoke(app, ["compare", "a", "b", "c0000", "--metric", "cider", "--json"])
    found = json.loads(done.stdout)
    assert [r["model"] for r in found["runs"]] == ["a", "b", "c"]
    p = {(pair["a"], pair["b"]): pair["metrics"]["cider"]["p_holm"] for pair in found["pairs"]}
    assert p == {("a0000", "b0000"): pytest.approx(3e-4, rel=1e-3), ("a0000", "c0000"): pytest.approx(3e-4, rel=1e-3),
                 ("b0000", "c0000"): 1}  # fmt: skip
    assert (tmp_path / "scores" / "data-val" / "pairs.json").exists()
    table = CliRunner().invoke(app, ["compare", "a", "b"]).stdout
    assert "report: 60 studies of 30 patients" in table and "+1.0000" in table
    for arguments, says in ((["--metric", "cidr"], "Did you mean cider"), (["--section", "x"], "--section takes")):
        with pytest.raises(UserError, match=says):
            CliRunner().invoke(app, ["compare", "a", "b", *arguments], catch_exceptions=False)
