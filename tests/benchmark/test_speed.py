"""What `bench speed data` measures, on a small scale."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from benchmark import speed


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return folder, speed.data(folder, n=3, rounds=2, width=1200, height=1500, a_process=20)


def test_the_record_is_written_and_returned(results):
    folder, record = results
    written = json.loads((folder / "speed" / "data.json").read_text())
    assert {key: written[key] for key in record} == record
    assert [path.name for path in folder.iterdir()] == ["speed"], "films or caches were left behind"


def test_rows_and_ratios(results):
    rows = results[1]["rows"]
    assert [row["what"] for row in rows] == [speed.PILLOW, speed.PILLOW_ALL, speed.DECODE, speed.MAKE, speed.READ]
    for key, ratio in (("images_per_second", "ratio"), ("images_per_core_second", "ratio_per_core")):
        for row in rows:
            assert row[ratio] == pytest.approx(row[key] / rows[0][key], rel=0.01)


def test_the_cache_is_close_to_the_whole_picture(results):
    assert 0 < results[1]["difference"] < 0.5


def test_films_weigh_what_radiographs_do_and_are_always_the_same(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    (first,) = speed._make_films(tmp_path / "a", 1, 2500, 3000)
    again, other = speed._make_films(tmp_path / "b", 2, 2500, 3000)
    assert 2e6 < first.stat().st_size < 3e6
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()
    with Image.open(first) as image:
        assert image.size == (2500, 3000) and image.mode == "L"
        assert np.asarray(image).std() > 10
