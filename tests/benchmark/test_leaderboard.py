"""Aggregated scores to leaderboards. The aggregates are invented, in the shape that `aggregates.aggregate` gives."""

import csv
import io
import json

import pandas as pd
import pytest

from benchmark import leaderboard, pairs, store
from benchmark.errors import UserError

DOCUMENTED = (
    "rank model preset run_id section n bleu_1 bleu_2 bleu_3 bleu_4 meteor rouge_l rouge_l_coco cider bertscore_f1 "
    "signature commit date"
).split()
KEYS = DOCUMENTED[6:15]


def metric(value, key="cider"):
    known = value is not None
    return {
        "metric": key.rstrip("_1234"),
        "value": value,
        "low": value - 0.05 if known else None,
        "high": value + 0.05 if known else None,
        "n_scored": 9 if known else 0,
        "n_unscored": 1 if known else 10,
        "seconds": 0.1,
        "signature": f"{key}:1" if known else "",
        "higher_is_better": True,
        "reason": "" if known else "Java is missing.",
    }


def section(cider, signature="protocol:default|version:1 bleu:1", **others):
    values = {key: (i + 1) / 100 for i, key in enumerate(KEYS)} | {"cider": cider} | others
    return {
        "n": 10,
        "n_patients": 9,
        "n_unscored": 1,
        "n_empty_hypotheses": 2,
        "draws": 1000,
        "seed": 0,
        "signature": signature,
        "metrics": {key: metric(value, key) for key, value in values.items()},
        "slices": {},
    }


def aggregate(model="vgpt2", run_id="r1", cider=0.5, sections=None, **changes):
    entry = {
        "model": model,
        "preset": "tiny",
        "run_id": run_id,
        "dataset": "phantom",
        "dataset_version": "1.0",
        "split": "val",
        "fingerprint": "f0",
        "checkpoint": f"hash of {model}",
        "checkpoint_name": "tiny-phantom-0",
        "seed": 0,
        "control": "",
        "settings": {"num_beams": 1},
        "note": "",
        "n": 10,
        "dropped": {},
        "date": "2026-01-01T00:00:00Z",
        "trained_on": {},
        "history": [],
        "card": {},
        "hardware": {},
        "seconds": {"load": 0.1, "generate": 2.0},
        "peak_memory_mb": 100.0,
        "n_errors": 0,
        "n_truncated": 0,
        "image_fingerprint": "i0",
        "settings_id": "settings0",
        "commit": "abc123",
        "packages": {},
        "reports": {
            "distinct_reports": 4,
            "commonest_share": 0.5,
            "ended_share": 1.0,
            "mean_words": 20.0,
            "length_ratio": 1.1,
        },
        "labelled_by": "chexpert",
        "truth": None,
        "given": {"views": 1, "uses": []},
        "submitted": None,
        "n_skipped": 0,
        "seconds_per_report": 0.2,
        "protocol": "protocol:default|version:1",
        "sections": sections or {"findings": section(cider)},
        "protocols": {},
    }
    return {**entry, **changes}


def put(results, *entries, board="phantom-val"):
    for entry in entries:
        store.write_json(results / "scores" / board / f"{entry['model'].strip('=+-@|<')}-{entry['run_id']}.json", entry)


def board(results):
    (found,) = leaderboard.boards(results)
    return found


def order(results, name="findings"):
    return [(row["rank"], row["model"]) for row in board(results).rows if row["section"] == name]


# --- ranks ------------------------------------------------------------------------------------------------------


def test_rows_are_ranked_by_cider_in_each_section(tmp_path):
    put(
        tmp_path,
        aggregate("a", "1", sections={"report": section(0.9), "findings": section(0.1), "impression": section(0.5)}),
        aggregate("b", "2", sections={"report": section(0.2), "findings": section(0.3), "impression": section(0.6)}),
        aggregate("c", "3", sections={"findings": section(0.2)}),
    )
    found = [(row["section"], row["rank"], row["model"]) for row in board(tmp_path).rows]
    assert found == [
        ("findings", 1, "b"),
        ("findings", 2, "c"),
        ("findings", 3, "a"),
        ("impression", 1, "b"),
        ("impression", 2, "a"),
        ("report", 1, "a"),
        ("report", 2, "b"),
    ]


def test_equal_values_stand_in_the_order_of_their_names(tmp_path):
    put(tmp_path, aggregate("c", "1"), aggregate("a", "3"), aggregate("b", "2"), aggregate("d", "0", cider=0.6))
    assert [model for _, model in order(tmp_path)] == ["d", "a", "b", "c"]


def test_a_row_without_a_value_stands_last_and_without_a_rank(tmp_path):
    put(tmp_path, aggregate("a", "1", cider=None), aggregate("b", "2", cider=-0.1), aggregate("c", "3", cider=0.0))
    assert order(tmp_path) == [(1, "c"), (2, "b"), (None, "a")]
    assert "not ranked" in board(tmp_path).rows[-1]["note"]


@pytest.mark.parametrize("newest", ["old", "new"])
def test_only_rows_of_the_newest_data_are_ranked_and_the_others_say_why(tmp_path, newest):
    dates = {"old": "2026-01-01T00:00:00Z", "new": "2026-01-01T00:00:00Z", newest: "2026-05-01T00:00:00Z"}
    put(
        tmp_path,
        aggregate("a", "1", 0.9, fingerprint="old", date=dates["old"], note="baseline: ignores the image"),
        aggregate("b", "2", 0.1, fingerprint="new", date=dates["new"]),
    )
    rows = {row["model"]: row for row in board(tmp_path).rows}
    ranked, other = ("a", "b") if newest == "old" else ("b", "a")
    assert (rows[ranked]["rank"], rows[other]["rank"]) == (1, None)
    assert rows[other]["note"].endswith("not ranked: other data")
    assert "not ranked" not in rows[ranked]["note"]
    assert rows["a"]["note"].startswith("baseline: ignores the image")


def test_only_rows_of_the_newest_signatures_are_ranked(tmp_path):
    put(
        tmp_path,
        aggregate("a", "1", sections={"findings": section(0.9, "other"), "impression": section(0.9)}),
        aggregate("b", "2", date="2026-02-01T00:00:00Z", sections={"findings": section(0.1), "impression": section(0)}),
    )
    assert order(tmp_path) == [(1, "b"), (None, "a")]
    assert order(tmp_path, "impression") == [(1, "a"), (2, "b")]
    assert next(row["note"] for row in board(tmp_path).rows if row["model"] == "a") == "not ranked: other signatures"


# --- places -----------------------------------------------------------------------------------------------------


def put_pairs(results, p, *, signature="protocol:default|version:1 bleu:1", fingerprint="f0", metric="cider"):
    """A `pairs.json` with the p of pairs such as `ab`, of the models of those names."""
    test = {"difference": 0.1, "low": 0.05, "high": 0.2, "p_bootstrap": 0.1, "effect": 0.1, "wins": 0.5, "losses": 0.2}
    found = [{"a": a, "b": b, "metrics": {metric: {**test, "p": value}}} for (a, b), value in p.items()]
    group = {"section": "findings", "fingerprint": fingerprint, "signature": signature, "n": 9, "n_patients": 9}
    store.write_json(results / "scores" / "phantom-val" / pairs.NAME, {"groups": [{**group, "pairs": found}]})


def places(results):
    return "".join(f"{row['model']}{row['rank']}{'' if row['rank_basis'] == 'tested' else '?'} " for row in
                   board(results).rows).strip()  # fmt: skip


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        # Holm triples .01, doubles the next and leaves the greatest.
        ({"ab": 0.01, "ac": 0.01, "bc": 0.01}, "a1 b2 c3"),
        ({"ab": 0.3, "ac": 0.01, "bc": 0.01}, "a1 b1 c3"),
        ({"ab": 0.01, "ac": 0.01, "bc": 0.3}, "a1 b2 c2"),
        ({"ab": 0.3, "ac": 0.3, "bc": 0.3}, "a1 b1 c1"),
        # b is as good as either: all share a place, though a and c differ.
        ({"ab": 0.3, "ac": 0.001, "bc": 0.3}, "a1 b1 c1"),
        # a and c cannot be told apart, so b between them cannot stand apart.
        ({"ab": 0.001, "ac": 0.3, "bc": 0.001}, "a1 b1 c1"),
        # Each p is below .05, but not after the correction.
        ({"ab": 0.03, "ac": 0.03, "bc": 0.03}, "a1 b1 c1"),
        ({"ba": 0.01, "ca": 0.01, "cb": 0.3}, "a1 b2 c2"),
        ({"ab": 0.3}, "a1? b1? c3?"),
        ({"bc": 0.3, "ac": 0.001}, "a1? b2? c2"),
        ({}, "a1? b2? c3?"),
    ],
    ids=str,
)
def test_rows_that_cannot_be_told_apart_share_a_place(tmp_path, p, expected):
    put(tmp_path, *(aggregate(model, model, value) for model, value in (("a", 0.9), ("b", 0.8), ("c", 0.7))))
    put_pairs(tmp_path, p)
    assert places(tmp_path) == expected


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        ({"ab": 0.3, "ac": 0.001, "bc": 0.3}, [1, 0, 0]),  # all share a place
        ({"ab": 0.01, "ac": 0.01, "bc": 0.01}, [2, 1, 0]),
        ({"bc": 0.3, "ac": 0.001}, [1, 0, 0]),
        ({}, [0, 0, 0]),
    ],
    ids=str,
)
def test_a_row_beats_those_that_it_was_tested_to_be_better_than(tmp_path, p, expected):
    put(tmp_path, *(aggregate(model, model, value) for model, value in (("a", 0.9), ("b", 0.8), ("c", 0.7))))
    put_pairs(tmp_path, p)
    assert [row["beats"] for row in board(tmp_path).rows] == expected


def test_trainings_are_told_apart_by_their_seed(tmp_path):
    trained = {"dataset": {"name": "phantom", "version": "1"}, "seed": 3, "options": {"epochs": 1}}
    put(
        tmp_path,
        aggregate("a", "1", 0.9, trained_on=trained),
        aggregate("b", "2", trained_on={**trained, "options": {}}),
    )
    text = leaderboard.to_csv(board(tmp_path))
    assert [row["training_seed"] for row in csv.DictReader(io.StringIO(text))] == ["3", ""]


@pytest.mark.parametrize(
    "other", [{"signature": "other"}, {"fingerprint": "f1"}, {"metric": "bleu_4"}], ids=lambda other: next(iter(other))
)
def test_tests_of_other_data_scores_or_metrics_do_not_count(tmp_path, other):
    put(tmp_path, aggregate("a", "a", 0.9), aggregate("b", "b", 0.8))
    put_pairs(tmp_path, {"ab": 0.9}, **other)
    assert places(tmp_path) == "a1? b2?"


def test_equal_values_share_a_place_untested(tmp_path):
    put(tmp_path, aggregate("a", "1"), aggregate("b", "2"), aggregate("c", "3", 0.1))
    assert places(tmp_path) == "a1? b1? c3?"


def test_the_correction_is_for_the_rows_ranked(tmp_path):
    put(tmp_path, aggregate("a", "a", 0.9), aggregate("b", "b", 0.8))
    put_pairs(tmp_path, {"ab": 0.03, "ax": 0.9, "bx": 0.9})
    assert places(tmp_path) == "a1 b2"


def test_tables_say_which_ranks_are_untested(tmp_path):
    put(tmp_path, aggregate("a", "a", 0.9), aggregate("b", "b", 0.8))
    assert [row["#"] for row in leaderboard.shown_rows(board(tmp_path), "findings")] == ["1?", "2?"]
    put_pairs(tmp_path, {"ab": 0.2})
    assert [row["#"] for row in leaderboard.shown_rows(board(tmp_path), "findings")] == ["1", "1"]
    rows = list(csv.DictReader(io.StringIO(leaderboard.to_csv(board(tmp_path)))))
    assert [(row["rank"], row["rank_basis"]) for row in rows] == [("1", "tested"), ("1", "tested")]


def test_a_model_that_always_writes_one_report_is_named_as_such(tmp_path):
    reports = aggregate()["reports"]
    for run_id, share in (("1", 1.0), ("2", 0.99), ("3", 0.98)):
        put(tmp_path, aggregate(f"m{run_id}", run_id, reports={**reports, "commonest_share": share}, note="fact"))
    notes = {row["model"]: row["note"] for row in board(tmp_path).rows}
    assert notes["m1"] == notes["m2"] == "fact; writes one report for every image"
    assert notes["m3"] == "fact"


# --- runs of one model ------------------------------------------------------------------------------------------


def test_a_newer_run_takes_the_place_of_an_older_one(tmp_path):
    put(
        tmp_path,
        aggregate(run_id="new", cider=0.3, date="2026-03-01T00:00:00Z", checkpoint="trained again"),
        aggregate(run_id="old", cider=0.5, date="2026-02-01T00:00:00Z"),
        aggregate(run_id="oldest", cider=0.7, date="2026-01-01T00:00:00Z"),
    )
    found = board(tmp_path)
    assert [row["run_id"] for row in found.rows] == ["new"]
    assert found.n_superseded == 2
    assert "2 earlier runs" in leaderboard.to_markdown(found)


@pytest.mark.parametrize(
    "change",
    [{"model": "m"}, {"checkpoint_name": "paper-phantom-0"}, {"settings_id": "beams"}, {"seed": 1}],
    ids=lambda change: next(iter(change)),
)
def test_other_models_checkpoints_settings_and_seeds_have_rows_of_their_own(tmp_path, change):
    put(tmp_path, aggregate(run_id="1"), aggregate(**{"run_id": "2", "date": "2026-03-01T00:00:00Z", **change}))
    assert {row["run_id"] for row in board(tmp_path).rows} == {"1", "2"}
    assert board(tmp_path).n_superseded == 0


def test_grounding_gap_is_what_shuffled_images_cost(tmp_path):
    both = {"findings": section(0.5), "impression": section(0.8)}
    put(
        tmp_path,
        aggregate("a", "1", sections=both),
        aggregate("a", "2", control="shuffle", sections={"findings": section(0.2)}),
        aggregate("a", "3", control="blank", sections={"findings": section(0.1)}),
        aggregate("b", "4"),
    )
    rows = {(row["model"], row["section"]): row for row in board(tmp_path).rows}
    assert len(rows) == 3
    assert rows["a", "findings"]["grounding_gap"] == pytest.approx(0.3)
    assert "grounding_gap" not in rows["a", "impression"]
    assert "grounding_gap" not in rows["b", "findings"]


def test_the_gap_has_the_interval_of_its_test(tmp_path):
    put(tmp_path, aggregate("a", "a"), aggregate("a", "z", 0.4, control="shuffle"))
    put_pairs(tmp_path, {"za": 0.1})
    (row,) = board(tmp_path).rows
    assert (row["grounding_gap"], row["grounding_gap_low"], row["grounding_gap_high"]) == pytest.approx(
        (0.1, -0.2, -0.05)
    )


@pytest.mark.parametrize(
    "change",
    [
        {"settings_id": "beams"},
        {"fingerprint": "f1"},
        {"seed": 1},
        {"checkpoint_name": "paper-phantom-0"},
        {"checkpoint": "trained again"},
        {"sections": {"findings": section(0.2, "other signature")}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_grounding_gap_is_only_taken_within_one_checkpoint_data_and_settings(tmp_path, change):
    put(tmp_path, aggregate(run_id="1"), aggregate(**{"run_id": "2", "control": "shuffle", **change}))
    (row,) = board(tmp_path).rows
    assert row.get("grounding_gap") is None


# --- files ------------------------------------------------------------------------------------------------------


def test_csv_is_read_alike_by_pandas_and_csv(tmp_path):
    put(
        tmp_path,
        aggregate("vgpt2", "0012", 0.5, note='says "hello", twice;\nand breaks', commit="12e4"),
        aggregate("other", "9", None, sections={"findings": section(0.25, meteor=None)}),
    )
    text = leaderboard.to_csv(board(tmp_path))
    by_csv = list(csv.DictReader(io.StringIO(text)))
    by_pandas = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    assert by_pandas.to_dict("records") == by_csv
    columns = list(by_csv[0])
    assert [column for column in columns if column in DOCUMENTED] == DOCUMENTED
    assert len(set(columns)) == len(columns)
    first, second = by_csv
    assert (first["rank"], first["model"], first["preset"], first["run_id"]) == ("1", "vgpt2", "tiny", "0012")
    # Of the 10 studies 1 has no reference in this section.
    assert (first["section"], first["n"], first["n_unscored"], first["n_empty"]) == ("findings", "9", "1", "2")
    assert [float(first[key]) for key in KEYS] == [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.5, 0.09]
    assert (first["cider_low"], first["cider_high"], first["grounding_gap"]) == ("0.450000", "0.550000", "")
    assert (first["commit"], first["date"]) == ("12e4", "2026-01-01T00:00:00Z")
    assert first["note"] == 'says "hello", twice;\nand breaks'
    assert (second["meteor"], second["rank"]) == ("", "2")
    numbers = pd.read_csv(io.StringIO(text))
    assert numbers["cider"].tolist() == [0.5, 0.25] and numbers["meteor"].isna().tolist() == [False, True]


def test_a_metric_that_somebody_added_has_a_column(tmp_path):
    put(tmp_path, aggregate(sections={"findings": section(0.5, radgraph=0.125)}), aggregate("b", "2"))
    rows = list(csv.DictReader(io.StringIO(leaderboard.to_csv(board(tmp_path)))))
    assert {row["model"]: row["radgraph"] for row in rows} == {"vgpt2": "0.125000", "b": ""}


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1+1"])
def test_a_cell_that_a_spreadsheet_would_run_is_disarmed(tmp_path, name):
    put(tmp_path, aggregate(name, cider=-0.25, note=name, preset=f"a{name}"))
    (row,) = csv.DictReader(io.StringIO(leaderboard.to_csv(board(tmp_path))))
    assert (row["model"], row["note"], row["preset"]) == (f"'{name}", f"'{name}", f"a{name}")
    assert float(row["cider"]) == -0.25


def test_markdown_cells_do_not_break_the_table(tmp_path):
    put(tmp_path, aggregate("a|b", note="<script>x</script>\n| \\"))
    text = leaderboard.to_markdown(board(tmp_path))
    (row,) = [line for line in text.splitlines() if "script" in line]
    assert "a\\|b" in row and "<" not in row and row.endswith("&lt;script>x&lt;/script> \\| \\\\ |")
    heading = next(line for line in text.splitlines() if line.startswith("| #"))
    cells = row.replace("\\\\", "").replace("\\|", "").count("|")
    assert cells == heading.count("|")


def test_markdown_shows_values_intervals_and_dashes(tmp_path):
    put(tmp_path, aggregate(sections={"findings": section(0.5, meteor=None)}))
    text = leaderboard.to_markdown(board(tmp_path))
    assert text.startswith("# phantom-val\n")
    assert "## findings" in text and "## impression" not in text
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    shown = dict(zip(lines[0], lines[2], strict=True))
    expected = {"#": "1", "model": "vgpt2", "BLEU-4": "0.040", "METEOR": "–", "CIDEr": "0.500",
                "95 % interval": "0.450–0.550", "gap": "", "distinct": "4"}  # fmt: skip
    assert {key: shown[key] for key in expected} == expected
    assert "Signature: `protocol:default|version:1 bleu:1`" in text


def test_each_data_set_and_split_has_its_own_files(tmp_path):
    put(tmp_path, aggregate())
    put(tmp_path, aggregate("other", cider=0.1), board="mimic-cxr-test")
    (tmp_path / "scores" / "empty").mkdir()
    found = leaderboard.write(tmp_path)
    assert [each.name for each in found] == ["mimic-cxr-test", "phantom-val"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "mimic-cxr-test.csv",
        "mimic-cxr-test.md",
        "phantom-val.csv",
        "phantom-val.md",
    ]
    assert "other" not in (tmp_path / "phantom-val.csv").read_text("utf-8")


def test_the_files_do_not_depend_on_the_order_of_writing(tmp_path):
    entries = [aggregate(model, str(i)) for i, model in enumerate("cab")]
    put(tmp_path / "one", *entries)
    put(tmp_path / "two", *entries[::-1])
    leaderboard.write(tmp_path / "one")
    leaderboard.write(tmp_path / "two")
    for name in ("phantom-val.csv", "phantom-val.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_outdated_finds_what_was_changed_forgotten_or_left_over(tmp_path):
    put(tmp_path, aggregate())
    table, page = tmp_path / "phantom-val.csv", tmp_path / "phantom-val.md"
    assert leaderboard.outdated(tmp_path) == [table, page]
    leaderboard.write(tmp_path)
    assert leaderboard.outdated(tmp_path) == []
    table.write_text(table.read_text("utf-8").replace("0.500000", "0.600000"), "utf-8")
    assert leaderboard.outdated(tmp_path) == [table]
    leaderboard.write(tmp_path)
    page.unlink()
    assert leaderboard.outdated(tmp_path) == [page]
    leaderboard.write(tmp_path)
    orphan = tmp_path / "phantom-test.csv"
    orphan.write_text("rank\n")
    assert leaderboard.outdated(tmp_path) == [orphan]
    orphan.unlink()
    put(tmp_path, aggregate("new", "2"))
    assert leaderboard.outdated(tmp_path) == [table, page]


def test_pairs_are_no_row_and_foreign_files_are_named(tmp_path):
    put(tmp_path, aggregate())
    (tmp_path / "scores" / "phantom-val" / "pairs.json").write_text('{"schema": 1}')
    assert len(board(tmp_path).rows) == 1
    (tmp_path / "scores" / "phantom-val" / "notes.json").write_text('{"a": 1}')
    with pytest.raises(UserError, match=r"notes\.json holds no aggregated scores"):
        leaderboard.boards(tmp_path)


def test_without_scores_there_are_no_boards(tmp_path):
    assert leaderboard.boards(tmp_path) == []
    assert leaderboard.outdated(tmp_path) == []


def test_rows_are_plain_json(tmp_path):
    put(tmp_path, aggregate(), aggregate("b", "2", fingerprint="f1"))
    assert json.loads(json.dumps(board(tmp_path).rows)) == board(tmp_path).rows


def test_the_invented_aggregates_have_the_shape_of_real_ones():
    # The real functions on invented predictions; only shapes are compared.
    from benchmark import aggregates
    from benchmark.protocols import load
    from benchmark.schema import Prediction, Reference
    from benchmark.score import score_pairs

    invented = aggregate()
    scored = score_pairs(["s1"], ["p1"], ["a"], ["a"], protocol=load("default"), metrics=[])
    assert set(scored.to_dict()) == set(invented["sections"]["findings"])
    run = {**invented, "images": "i0", "code": {"commit": "abc", "dirty": True, "packages": {}}}
    reports = aggregates.describe([Prediction("s1", "a", "a", "")], [Reference("s1", "p1", "a")], None)
    real = aggregates.aggregate(
        run, {"protocol": "p", "reports": reports, "sections": {}, "labelled_by": "x", "truth": None}
    )
    assert set(real) == set(invented)
    assert real["commit"] == "abc+changes"
    assert set(real["reports"]) == set(invented["reports"])


def test_several_trainings_are_shown_with_mean_and_deviation(tmp_path):
    for seed, cider in enumerate((0.4, 0.6)):
        trained = {"seed": seed, "options": {"layers": 2}, "dataset": {"name": "phantom", "version": "1.0"}}
        name = f"tiny-phantom-{seed}"
        put(tmp_path, aggregate(run_id=f"r{seed}", cider=cider, checkpoint_name=name, trained_on=trained))
    put(tmp_path, aggregate("best-constant", "c", 0.1))
    found = board(tmp_path)
    rows = {row["run_id"]: row for row in found.rows}
    assert [rows[run]["seeds"] for run in ("r0", "r1", "c")] == [2, 2, 1]
    assert rows["r0"]["cider_mean"] == rows["r1"]["cider_mean"] == pytest.approx(0.5)
    assert "cider_mean" not in rows["c"]
    (shown,) = leaderboard.seed_rows(found, "findings")
    assert (shown["model"], shown["seeds"], shown["CIDEr"]) == ("vgpt2", "2", "0.500 ± 0.141")
    assert "| vgpt2 | tiny | 2 |" in leaderboard.to_markdown(found)
