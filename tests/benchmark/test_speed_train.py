"""What `bench speed train` measures, on a small scale."""

import pytest

from benchmark.speed.train import ORIGINAL, ORIGINAL_CACHED, train


@pytest.mark.slow
def test_a_step_beside_the_originals_loop(tmp_path):
    small = {"n_layer": 1, "n_embd": 32, "n_head": 2, "vocab_size": 1500}
    sizes = {"batch_size": 2, "accumulation": 2, "steps": 1, "rounds": 1, "width": 300, "height": 400, "size": 64}
    rows = train(tmp_path, precisions=("fp32",), decoder=small, **sizes)
    assert [row["peer"] for row in rows] == [ORIGINAL, ORIGINAL_CACHED]
    assert not list(tmp_path.iterdir()), "films, caches or weights were left behind"
    for row in rows:
        assert row["name"] == "vgpt2 paper, a step in fp32" and row["studies"] == 4
        assert row["ours_s"] > 0 and row["ratio"] == pytest.approx(row["peer_s"] / row["ours_s"], rel=0.01)
        assert row["of_roofline"] > 0 and row["memory_mb"] > 100
        # The same weights and texts, in another order and with another draw of dropout.
        assert row["loss"] == pytest.approx(row["peer_loss"], rel=0.02)
