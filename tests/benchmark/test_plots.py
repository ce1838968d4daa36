"""Figures: which files there are, that they show the numbers, and that the same numbers give the same bytes."""

import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmark import aggregates, leaderboard, store
from benchmark.errors import UserError
from benchmark.plots.write import write

ROOT = Path(__file__).parents[2]
BOARD = "phantom-val"
pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra plot)")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Committed aggregates, one of a model and the baselines', each as if scored under a second protocol."""
    folder, source = tmp_path_factory.mktemp("results"), ROOT / "results" / "scores" / BOARD
    (folder / "scores" / BOARD).mkdir(parents=True)
    shutil.copy(source / "pairs.json", folder / "scores" / BOARD)
    # The newest of each: whoever has run the quick start has two of a model.
    for entry in leaderboard.newest_entries(leaderboard.read_entries(source)):
        one = "tiny-phantom-0" if entry["model"] == "vgpt2" else "default-phantom-0"
        if entry["checkpoint_name"] == one and not entry["control"]:
            compact = aggregates.compact(entry["sections"]["findings"])
            compact["metrics"]["bleu_4"] |= {"value": 0.77, "low": 0.7, "high": 0.8}
            entry |= {"protocols": {"r2gen-mimic": {"findings": compact}}}
            store.write_json(folder / "scores" / BOARD / f"{entry['model']}-{entry['run_id']}.json", entry)
    return folder


def texts(path):
    """What is written in an SVG: matplotlib draws letters as shapes, and says in a comment what they are."""
    return [line.strip()[5:-4] for line in path.read_text("utf-8").splitlines() if line.strip().startswith("<!-- ")]


def test_files_their_names_and_what_they_show(results, tmp_path):
    files = write(results, tmp_path)
    sections = ("findings", "impression", "report")
    stems = {f"{BOARD}-{section}-{what}" for section in sections for what in ("leaderboard", "slices-cider")}
    stems |= {f"{BOARD}-findings-protocols", "training-vgpt2-tiny-phantom-0"}
    assert {path.name for path in files} == {f"{stem}.{form}" for stem in stems for form in ("svg", "png")}
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in files}
    for path in tmp_path.glob("*.png"):
        assert Image.open(path).size >= (800, 500)
    shown = texts(tmp_path / f"{BOARD}-report-leaderboard.svg")
    assert {"CIDEr", "BLEU-4", "second-reader  1", "vgpt2 (tiny)  1", "most-frequent  3"} <= set(shown)
    entry = next(store.read_json(each) for each in (results / "scores" / BOARD).glob("vgpt2-*.json"))
    slices = texts(tmp_path / f"{BOARD}-report-slices-cider.svg")
    for name, each in entry["sections"]["report"]["slices"].items():
        assert f"{each['metrics']['cider']['value']:.2f}" in slices
        assert any(name.rpartition(":")[2] in text and f"({each['n']}" in text for text in slices)
    assert {"default", "r2gen-mimic", "BLEU-4"} <= set(texts(tmp_path / f"{BOARD}-findings-protocols.svg"))


def test_the_same_numbers_give_the_same_bytes_and_no_date(results, tmp_path):
    first = write(results, tmp_path / "a", sections=["findings"], metrics=["bleu_4"])
    again = write(results, tmp_path / "b", sections=["findings"], metrics=["bleu_4"])
    assert [path.name for path in first] == [path.name for path in again] and len(first) == 8
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert b"dc:date" not in one.read_bytes()


def test_names_that_are_formulas_or_markup_are_drawn_as_they_are(tmp_path):
    entry = store.read_json(next((ROOT / "results" / "scores" / BOARD).glob("random-train-*.json")))
    entry |= {"model": "$\\frac{1}", "preset": "<b>--&"}
    store.write_json(tmp_path / "scores" / BOARD / "x.json", entry)
    (svg, _, *_) = write(tmp_path, tmp_path / "out", sections=["report"])
    assert any(text.startswith("$\\frac{1} (&lt;b&gt;") for text in texts(svg))


def test_slices_that_are_kept_back_are_not_drawn(tmp_path):
    entry = aggregates.read(next((ROOT / "results" / "scores" / BOARD).glob("random-train-*.json")))
    section = entry["sections"]["report"]
    slices = {
        name: {**each, "n_patients_beside": section["n_patients"] - each["n_patients"]}
        for name, each in section["slices"].items()
    }
    entry["sections"] = {"report": section | aggregates.slices_to_leave([], slices)}
    store.write_json(tmp_path / "scores" / BOARD / "x.json", entry)
    write(tmp_path, tmp_path / "out")
    shown = texts(tmp_path / "out" / f"{BOARD}-report-slices-cider.svg")
    hidden = entry["sections"]["report"]["suppressed"]
    assert "finding:Pleural Other" in hidden and not any("Pleural Other" in text for text in shown)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"board": "phantom-vol"}, "Did you mean phantom-val"),
        ({"sections": ["finding"]}, "Did you mean findings"),
        ({"metrics": ["cidr"]}, "Did you mean cider"),
    ],
)
def test_unknown_names(results, tmp_path, given, sentence):
    with pytest.raises(UserError, match=sentence):
        write(results, tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_with_nothing_to_draw_or_to_draw_with_a_sentence(results, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="Nothing to draw: no scores under"):
        write(tmp_path, tmp_path / "out")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"needs matplotlib: pip install 'cxr-report-bench\[plot\]'"):
        write(results, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_not_drawn_is_said(tmp_path, capsys):
    entry = store.read_json(next((ROOT / "results" / "scores" / BOARD).glob("random-train-*.json")))
    del entry["protocols"]
    store.write_json(tmp_path / "scores" / BOARD / "x.json", entry)
    write(tmp_path, tmp_path / "out", sections=["report"])
    assert "no figure of protocols" in capsys.readouterr().err
