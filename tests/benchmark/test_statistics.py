"""The bootstrap: shapes, seeds, coverage and what clusters do."""

import numpy as np
import pytest

from benchmark.statistics import bootstrap, interval


def names(numbers):
    return [f"p{number}" for number in numbers]


def test_shape_and_seed():
    rows = np.random.default_rng(0).random((30, 4))
    clusters = names(np.arange(30) // 2)
    first = bootstrap(rows, clusters, 450, seed=1)
    assert first.shape == (450, 4)
    np.testing.assert_array_equal(first, bootstrap(rows, clusters, 450, seed=1))
    assert not np.array_equal(first, bootstrap(rows, clusters, 450, seed=2))


def test_draws_are_the_same_for_any_rows():
    rows = np.random.default_rng(0).random((20, 3))
    clusters = names(np.arange(20) // 3)
    whole = bootstrap(rows, clusters, 100, seed=5)
    np.testing.assert_allclose(whole[:, :1], bootstrap(rows[:, :1], clusters, 100, seed=5))


def test_fewer_draws_are_the_first_of_more():
    rows = np.ones((10, 1)) * np.arange(10)[:, None]
    clusters = names(range(10))
    np.testing.assert_array_equal(bootstrap(rows, clusters, 150, 3), bootstrap(rows, clusters, 1000, 3)[:150])


def test_the_order_of_studies_does_not_matter():
    random = np.random.default_rng(0)
    rows, clusters = random.random((40, 2)), np.array(names(np.arange(40) // 3))
    order = random.permutation(40)
    np.testing.assert_allclose(
        bootstrap(rows, list(clusters), 50, 1), bootstrap(rows[order], list(clusters[order]), 50, 1)
    )


def test_each_draw_takes_as_many_clusters_as_there_are():
    sums = bootstrap(np.ones((25, 1)), names(range(25)), 300, seed=0)
    np.testing.assert_array_equal(sums, 25)


def test_a_cluster_is_taken_whole():
    """Two patients of 1 and 9 studies: a draw holds 2, 10 or 18 of them, never another number."""
    sums = bootstrap(np.ones((10, 1)), names([0] + [1] * 9), 300, seed=0)
    assert set(sums.ravel()) == {2.0, 10.0, 18.0}


def test_no_rows():
    np.testing.assert_array_equal(bootstrap(np.zeros((0, 3)), [], 10, 0), np.zeros((10, 3)))


def test_wrong_lengths_are_refused():
    with pytest.raises(ValueError, match="3 rows, but 2 clusters"):
        bootstrap(np.ones((3, 1)), ["a", "b"], 10, 0)


def test_interval_is_the_percentiles():
    assert interval(np.arange(1001), 0.9) == pytest.approx((50, 950))
    with pytest.raises(ValueError, match="between 0 and 1"):
        interval(np.arange(5), 95)


def simulate(clustered: bool, trials=200, patients=60, per_patient=4):
    """Share of trials whose 90 % interval of the mean holds the true mean, 0; studies of a patient are alike."""
    random = np.random.default_rng(7)
    held = 0
    for trial in range(trials):
        scores = np.repeat(random.normal(size=patients), per_patient) + 0.5 * random.normal(size=patients * per_patient)
        rows = np.column_stack([scores, np.ones_like(scores)])
        of = np.repeat(np.arange(patients), per_patient) if clustered else np.arange(len(scores))
        sums = bootstrap(rows, names(of), 300, seed=trial)
        low, high = interval(sums[:, 0] / sums[:, 1], 0.9)
        held += low <= 0 <= high
    return held / trials


def test_coverage_with_clusters():
    """Three standard errors of 200 trials are .064, and the percentile interval is a little narrow at 60 patients."""
    assert 0.81 <= simulate(clustered=True) <= 0.96


def test_without_clusters_the_interval_is_far_too_narrow():
    assert simulate(clustered=False) < 0.75
