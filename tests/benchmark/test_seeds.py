"""Trainings with several seeds. Means and deviations by numpy."""

import numpy as np
import pytest

from benchmark import seeds


def run(run_id, seed, cider, signature="s", options=None, **changes):
    return {
        "run_id": run_id,
        **dict.fromkeys(seeds.IDENTITY, "same"),
        "trained_on": {"seed": seed, "options": options or {"layers": 2}},
        "submitted": None,
        "sections": {"report": {"signature": signature, "metrics": {"cider": {"value": cider}}}},
        **changes,
    }


def test_trainings_that_differ_in_the_seed_alone_are_put_together():
    values = [0.4, 0.7, 0.5]
    runs = [run(f"r{i}", i, value) for i, value in enumerate(values)]
    others = [
        run("wider", 3, 0.9, options={"layers": 3}),
        run("other", 4, 0.9, preset="large"),
        run("sampled", 5, 0.9, settings_id="sampled"),
        run("sent", 6, 0.9, submitted={"missing": "fail"}),
        run("no training", 0, 0.9, trained_on=None),
    ]
    found = seeds.spread([*runs, *others], ["cider"])
    for each in runs:
        told = found[each["run_id"], "report"]
        assert told["seeds"] == 3
        assert told["cider_mean"] == pytest.approx(np.mean(values))
        assert told["cider_deviation"] == pytest.approx(np.std(values, ddof=1))
    assert all(found[each["run_id"], "report"] == {"seeds": 1} for each in others)


@pytest.mark.parametrize("second", [{"signature": "another"}, {"cider": None}, {"sections": {}}])
def test_values_that_cannot_be_compared_have_no_mean(second):
    given = {"cider": 0.7, **second}
    found = seeds.spread([run("a", 0, 0.4), run("b", 1, **given)], ["cider"])
    assert found["a", "report"] == {"seeds": 2}
