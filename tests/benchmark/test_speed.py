"""What `bench speed` measures, on a small scale."""

from __future__ import annotations

import csv
import multiprocessing
import os

import numpy as np
import pytest
from PIL import Image

from benchmark.speed import data, measure


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scratch")
    found = data.data(n=3, rounds=2, width=1200, height=1500, a_process=20, scratch=folder)
    assert not list(folder.iterdir()), "films or caches were left behind"
    return found


def test_rows_and_ratios(rows):
    assert [(row["name"], row["peer"]) for row in rows] == list(data.COMPARED)
    seconds = {row["peer"]: row["peer_s"] for row in rows}
    for row in rows:
        assert row["peer_s"] == seconds[row["peer"]]
        assert row["ratio"] == pytest.approx(row["peer_s"] / row["ours_s"], rel=0.01)


def test_the_cache_is_close_to_the_whole_picture(rows):
    assert 0 < rows[0]["difference"] < 0.5


def test_films_weigh_what_radiographs_do_and_are_always_the_same(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    (first,) = data.make_films(tmp_path / "a", 1, 2500, 3000)
    again, other = data.make_films(tmp_path / "b", 2, 2500, 3000)
    assert 2e6 < first.stat().st_size < 3e6
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()
    with Image.open(first) as image:
        assert image.size == (2500, 3000) and image.mode == "L"
        assert np.asarray(image).std() > 10


# --- what all speed runs share ----------------------------------------------------------------------------------


def test_sides_take_turns_and_the_median_counts():
    calls = []
    found = measure.take_turns({name: lambda name=name: calls.append(name) or len(calls) for name in "ab"}, 3)
    assert calls == list("ababab") and found == {"a": [1, 3, 5], "b": [2, 4, 6]}
    row = measure.row("a", "b", [2.0, 1.0, 50.0], [3.0, 8.0, 1.0], n=7)
    assert row == {"name": "a", "peer": "b", "ours_s": 2.0, "peer_s": 3.0, "ratio": 1.5, "rounds": 3, "n": 7}


def test_a_fresh_process_gives_its_result_and_its_memory():
    pid, memory = measure.in_fresh_process(os.getpid)
    assert pid != os.getpid() and 5 < memory < 100_000


def test_a_fresh_process_starts_its_own_as_the_platform_has_it():
    start, _ = measure.in_fresh_process(eval, "__import__('multiprocessing').get_start_method()")
    assert start == multiprocessing.get_all_start_methods()[0]


def test_a_machine_s_rows_make_room_and_others_stay(tmp_path, monkeypatch):
    for machine, ours in (("one", 2.0), ("other", 4.0), ("one", 1.0)):
        monkeypatch.setattr(measure, "machine", lambda machine=machine: machine)
        path = measure.write(tmp_path, "x", [measure.row("a", "b", [ours], [8.0])])
    with path.open(newline="") as file:
        assert {line["hardware"]: float(line["ratio"]) for line in csv.DictReader(file)} == {"other": 2, "one": 8}
