"""`bench speed generate` on a decoder of one narrow layer."""

from __future__ import annotations

import pytest

from benchmark.speed import generate

SHAPE = {"vocab_size": 300, "n_positions": 32, "n_embd": 64, "n_layer": 1, "n_head": 1}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scratch")
    options = {"batch_sizes": (1, 2), "precisions": ("fp32",), "tokens": 8, "rounds": 1}
    found = generate.generate(folder, **options, decoder=SHAPE)
    assert not list(folder.iterdir()), "weights or pictures were left behind"
    return found


def test_every_batch_size_stands_beside_every_peer(rows):
    peers = [generate.SAME_BATCH, generate.ONE_IMAGE, generate.NO_CACHE]
    assert [row["peer"] for row in rows] == [*peers[1:], *peers]
    assert [row["name"] for row in rows] == ["vgpt2, 1 at a time, fp32"] * 2 + ["vgpt2, 2 at a time, fp32"] * 3
    for row in rows:
        assert row["ratio"] == pytest.approx(row["peer_s"] / row["ours_s"], rel=0.01)
        assert row["roofline_s"] > 0 and row["memory_mb"] > 100


def test_all_write_the_same_texts(rows):
    assert [row["same_texts"] for row in rows] == [1.0] * 5
    assert rows[-1]["different"] == 2, "both texts are alike: the comparison shows little"
