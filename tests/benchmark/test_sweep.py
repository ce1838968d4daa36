"""`bench sweep` on a phantom of a few studies: what it makes, makes once, and leaves to others."""

import csv

import pytest

from benchmark import registry
from benchmark.store import exclusive

SETTINGS = """epochs=1 batch_size=8 width=32 heads=2 layers=1 encoder=test_resnet.r160_in1k encoder_args={}
image_size=32 vocabulary=300""".split()
NAME = "phantom-16-64-6v5t"
CHANGES = [word for setting in SETTINGS for word in ("--set", setting)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "data"
    registry.DATASETS.load("phantom").provide(folder, n_train=16, n_validate=6, n_test=5, long_side=64)
    return folder


def rows(results, split):
    with (results / f"{NAME}-{split}.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["section"] == "report"]


def test_a_sweep_goes_on_where_it_was(root, tmp_path, call_bench):
    command = ("sweep", "vgpt2", "best-constant", *CHANGES, "--dataset", "phantom", "--root", root)
    held = tmp_path / "checkpoints" / "best-constant" / f"default-{NAME}-0"
    with exclusive(held, "training"):
        status, _, said = call_bench(tmp_path, *command)
    assert status == 0, said
    assert "1 parts are in the hands of other processes" in said
    assert [row["model"] for row in rows(tmp_path, "val")] == ["vgpt2"]
    (first,) = (tmp_path / "checkpoints" / "vgpt2").iterdir()
    made = (first / "card.json").stat().st_mtime_ns

    status, printed, said = call_bench(tmp_path, *command, "--seeds", "0,1", "--splits", "val,test")
    assert status == 0, said
    assert (first / "card.json").stat().st_mtime_ns == made, "trained again"
    for split in ("val", "test"):
        found = rows(tmp_path, split)
        assert sorted(row["model"] for row in found) == ["best-constant", "vgpt2", "vgpt2"]
        assert {row["model"]: row["seeds"] for row in found} == {"best-constant": "1", "vgpt2": "2"}
        values = [float(row["cider"]) for row in found if row["model"] == "vgpt2"]
        means = {float(row["cider_mean"]) for row in found if row["model"] == "vgpt2"}
        assert list(means) == [pytest.approx(sum(values) / 2, abs=2e-6)]
        assert all(row["grounding_gap"] for row in found if row["model"] == "vgpt2")
        assert all(row["rank_basis"] == "tested" for row in found)
    assert f"{NAME}-test" in printed + said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("vgpt2", "--seeds", "0,one"), "--seeds takes numbers divided by commas"),
        (("vgpt2", "--splits", "dev"), "dev"),
        (("vgtp2",), "Did you mean vgpt2"),
        (("vgpt2", "--set", "epoch=1"), "epoch"),
    ],
)
def test_mistakes_are_said_in_a_sentence(root, tmp_path, call_bench, arguments, sentence):
    status, _, said = call_bench(tmp_path, "sweep", *arguments, "--dataset", "phantom", "--root", root)
    assert status != 0 and sentence in said and "Traceback" not in said
    assert not (tmp_path / "checkpoints").exists()
