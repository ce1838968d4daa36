"""`bench speed generate` on a decoder of two narrow layers."""

from __future__ import annotations

import pytest

from benchmark.speed import generate, measure

SHAPE = {"vocab_size": 2000, "n_positions": 32, "n_embd": 128, "n_layer": 2, "n_head": 2}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """In this process: starting new ones is `measure`'s own, and takes most of the time."""
    folder = tmp_path_factory.mktemp("scratch")
    options = {"batch_sizes": (1, 2), "precisions": ("fp32",), "tokens": 16, "rounds": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "in_fresh_process", lambda work, *arguments: (work(*arguments), 1.0))
        found = generate.generate(folder, **options, decoder=SHAPE)
    assert not list(folder.iterdir()), "weights or pictures were left behind"
    return found


def test_every_batch_size_stands_beside_every_peer(rows):
    peers = [generate.SAME_BATCH, generate.ONE_IMAGE, generate.NO_CACHE]
    assert [row["peer"] for row in rows] == [*peers[1:], *peers]
    assert [row["name"] for row in rows] == ["vgpt2, 1 at a time, fp32"] * 2 + ["vgpt2, 2 at a time, fp32"] * 3
    for row in rows:
        assert row["ratio"] == pytest.approx(row["peer_s"] / row["ours_s"], rel=0.01)
        assert row["roofline_s"] > 0


def test_all_write_the_same_texts(rows):
    assert [row["same_texts"] for row in rows] == [1.0] * 5
    assert [row["texts_compared"] for row in rows] == [1, 1, 2, 1, 1]
    assert rows[-1]["different"] == 2, "both texts are alike: the comparison shows little"
