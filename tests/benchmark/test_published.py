"""Published rows: the file itself, where they are shown, and RadCliQ, which reproduces some of them."""

import json

import numpy as np
import pytest

from benchmark import published
from benchmark.errors import UserError
from benchmark.metrics._radcliq import VERSIONS, radcliq
from benchmark.protocols import names


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The project's own, as read from a results folder without any."""
    return published.read(tmp_path_factory.mktemp("results"))


def test_each_row_names_its_source_and_what_keeps_it_from_being_compared(rows):
    assert len(rows) > 15
    assert all(row["system"] and row["source"] and row["not_comparable"] and row["unit"] for row in rows)
    assert {row["protocol"] for row in rows if row["protocol"]} <= set(names())


def test_some_values_as_published(rows):
    found = {(row["system"], row["dataset"], row["source"]): row for row in rows}
    r2gen = found["R2Gen", "mimic-cxr", "Chen et al., EMNLP 2020"]
    assert (r2gen["bleu_4"], r2gen["meteor"], r2gen["ce_f1"], r2gen["n"]) == ("0.103", "0.142", "0.276", "3858")
    assert found["R2GenCMN", "iu-xray", "Chen et al., ACL 2021"]["rouge_l_coco"] == "0.375"
    assert found["MedVersa", "mimic-cxr", "ReXrank leaderboard"]["radcliq_v1"] == "1.088"


def test_rows_go_under_the_board_of_their_data_set_in_any_form(rows):
    test = published.of_board(rows, "mimic-cxr-test")
    assert {row["dataset"] for row in test} == {"mimic-cxr"} and {row["split"] for row in test} == {"test"}
    assert published.of_board(rows, "mimic-cxr-r2gen-test") == test
    assert published.of_board(rows, "phantom-val") == []
    assert {row["dataset"] for row in published.of_board(rows, "iu-xray-test")} == {"iu-xray"}


def test_tables_hold_one_protocol_each_and_no_empty_column(rows):
    tables = published.tables(rows)
    assert sum(map(len, tables.values())) == len(rows)
    assert "radcliq_v1" in tables["mimic-cxr-test, rexrank"][0] and "meteor" not in tables["mimic-cxr-test, rexrank"][0]
    for shown in tables.values():
        assert all(any(row[column] for row in shown) for column in shown[0])


HEAD = "system,dataset,split,n,unit,protocol,bleu_4,source,not_comparable\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("system,dataset\na,b\n", r"published\.csv has no column n, not_comparable, protocol, source, split, unit"),
        (HEAD + "a,b,test,1,study,,.1,c,d\na,b,test,1,study,,high,c,d\n", "row 3: bleu_4 is no number: 'high'"),
        (HEAD + "a,b,test,1,study,,nan,c,d\n", "row 2: bleu_4 is no number: 'nan'"),
        (HEAD + "a,b,test,1,study,,.1,c,d,e\n", "row 2: more or fewer cells than columns"),
        (HEAD + "a,b,test\n", "row 2: more or fewer cells than columns"),
    ],
    ids=["columns", "words", "nan", "more", "fewer"],
)
def test_a_damaged_file_is_named(tmp_path, text, says):
    (tmp_path / "published.csv").write_text(text)
    with pytest.raises(UserError, match=says):
        published.read(tmp_path)


def test_the_command_shows_them_apart_and_without_a_rank(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from benchmark.cli import app

    monkeypatch.setenv("BENCH_RESULTS", str(tmp_path))
    shown = CliRunner().invoke(app, ["leaderboard", "--published"]).stdout
    assert "published, not ranked: iu-xray-test, r2gen-iu" in shown
    as_json = json.loads(CliRunner().invoke(app, ["leaderboard", "--published", "--json"]).stdout)
    assert list(as_json) == ["published"] and not any("rank" in row for row in as_json["published"])


# --- RadCliQ ----------------------------------------------------------------------------------------------------

COMPONENTS = ("radgraph", "bertscore", "semb_score", "bleu_2")


def test_radcliq_of_rexranks_rows_is_what_rexrank_printed(rows):
    """As it is linear, it follows from the means; both have three decimals."""
    rexrank = [row for row in rows if row["protocol"] == "rexrank"]
    assert len(rexrank) == 10
    weights = VERSIONS["v1"]
    rounding = 0.0005 * (1 + sum(abs(c) / s for c, s in zip(weights.coefficients, weights.scales, strict=True)))
    values = np.array([[float(row[key]) for key in COMPONENTS] for row in rexrank])
    printed = [float(row["radcliq_v1"]) for row in rexrank]
    np.testing.assert_allclose(radcliq(*values.T), printed, rtol=0, atol=rounding)
    assert rounding < 0.0026


def test_radcliq_of_identical_reports_is_minus_1_4407():
    assert radcliq(1.0, 1.0, 1.0, 1.0) == pytest.approx(-1.4407, abs=5e-5)


@pytest.mark.parametrize("version", VERSIONS)
def test_radcliq_of_the_mean_is_the_mean_of_radcliq(version):
    components = np.random.default_rng(0).random((4, 30))
    each = radcliq(*components, version=version)
    assert each.shape == (30,)
    assert radcliq(*components.mean(axis=1), version=version) == pytest.approx(each.mean())


def test_radcliq_v0_at_the_means_is_its_intercept():
    weights = VERSIONS["v0"]
    assert radcliq(*weights.means, version="v0") == pytest.approx(weights.intercept)
    with pytest.raises(KeyError):
        radcliq(0, 0, 0, 0, version="v2")
