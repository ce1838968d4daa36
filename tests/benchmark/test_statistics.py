"""The bootstrap and the paired tests: shapes, seeds, coverage, p-values under the null, and what clusters do."""

import itertools

import numpy as np
import pytest
from scipy import stats

from benchmark.statistics import (
    bootstrap,
    bootstrap_groups,
    bootstrap_p,
    effect_size,
    effective_clusters,
    holm,
    interval,
    randomisation_p,
    signed,
    swapped,
)


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


# --- intervals for few clusters ---------------------------------------------------------------------------------


def test_clusters_of_unequal_size_count_as_fewer():
    assert effective_clusters(names(np.arange(12) // 3)) == pytest.approx(4)
    # Kish: (1 + 9)² / (1² + 9²)
    assert effective_clusters(names([0] + [1] * 9)) == pytest.approx(100 / 82)
    assert effective_clusters([]) == 0


@pytest.mark.parametrize("clusters", [5, 12.5, 300])
def test_few_clusters_widen_the_interval_as_student_and_hesterberg_do(clusters):
    """Of draws that are normal, the ends are those of Student's interval; quantiles are scipy's."""
    draws = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    end = stats.t.ppf(0.975, clusters - 1) * np.sqrt(clusters / (clusters - 1))
    assert interval(draws, 0.95, clusters) == pytest.approx((-end, end), rel=0.01)


def test_of_one_cluster_everything_drawn_is_the_interval():
    assert interval(np.arange(100), 0.95, 1) == (0, 99)


def corpora(number, patients, per_patient, seed):
    """Invented corpora with a skewed score; patients have 1 to many studies, which are alike. The true mean is 1."""
    random = np.random.default_rng(seed)
    for _ in range(number):
        of = np.repeat(np.arange(patients), random.geometric(1 / per_patient, patients))
        shared, own = random.normal(size=patients)[of], random.normal(size=len(of))
        scores = np.exp(0.4 * (shared + own)) / np.exp(0.16)
        yield np.column_stack([scores, np.ones_like(scores)]), of


def coverage(clustered, number=600, patients=100):
    held = 0
    for trial, (rows, of) in enumerate(corpora(number, patients, 4, seed=7)):
        clusters = names(of if clustered else range(len(of)))
        sums = bootstrap(rows, clusters, 500, seed=trial)
        low, high = interval(sums[:, 0] / sums[:, 1], 0.95, effective_clusters(clusters))
        held += low <= 1 <= high
    return held / number


def test_groups_share_the_draws_of_the_whole():
    random = np.random.default_rng(0)
    rows, clusters = random.random((40, 2)), names(np.arange(40) // 3)
    groups = [np.arange(0, 25), np.arange(25, 40), np.array([], int)]
    first, second, none = bootstrap_groups(rows, clusters, groups, 200, 2)
    assert len(first) == len(second) == 200
    np.testing.assert_allclose(first + second, bootstrap(rows, clusters, 200, 2))
    assert none.shape == (0, 2)


def test_draws_without_a_group_are_left_out():
    # One of ten patients is drawn in 1 - .9^10 = 65 of 100 draws.
    (alone,) = bootstrap_groups(np.ones((10, 1)), names(range(10)), [np.array([3])], 2000, 1)
    assert 0.62 < len(alone) / 2000 < 0.68 and alone.min() == 1


def test_the_interval_of_a_group_covers_the_truth_too():
    """A quarter of the studies, in patients who have others: about 95 of 100 corpora."""
    random, covered, corpora = np.random.default_rng(7), 0, 400
    for trial in range(corpora):
        clusters = np.repeat(np.arange(150), random.integers(1, 4, 150))
        values = random.normal(0, 1, 150)[clusters] + random.normal(0, 1, len(clusters))
        group = np.flatnonzero(random.random(len(clusters)) < 0.25)
        rows, patients = np.column_stack([values, np.ones_like(values)]), names(clusters)
        (sums,) = bootstrap_groups(rows, patients, [group], 400, trial)
        few = effective_clusters([patients[i] for i in group])
        low, high = interval(sums[:, 0] / sums[:, 1], clusters=few)
        covered += low <= 0 <= high
    assert 0.92 < covered / corpora < 0.98


def test_the_interval_covers_the_truth_in_95_of_100_corpora():
    assert 0.93 <= coverage(clustered=True) <= 0.97


def test_without_clusters_the_interval_is_far_too_narrow():
    assert coverage(clustered=False, number=200) < 0.85


# --- paired randomisation ---------------------------------------------------------------------------------------


def mean(sums):
    return sums[..., 0] / sums[..., 1]


def scored(values):
    return np.column_stack([values, np.ones(len(values))])


def p_value(a, b, clusters, trials=999, seed=0):
    """Of two systems' rows, compared by the mean."""
    total = a.sum(axis=0), b.sum(axis=0)
    sums = swapped(*total, signed(a, clusters, trials, seed), signed(b, clusters, trials, seed))
    return randomisation_p(*map(mean, total), *map(mean, sums))


def test_signs_are_of_whole_clusters_and_the_same_for_any_rows():
    rows, clusters = np.random.default_rng(0).integers(1, 9, (20, 3)).astype(float), names(np.arange(20) // 5)
    sums = signed(rows, clusters, 450, seed=3)
    assert sums.shape == (450, 3)
    np.testing.assert_array_equal(sums[:, 1:2], signed(rows[:, 1:2], clusters, 450, seed=3))
    by_cluster = rows.reshape(4, 5, 3).sum(axis=1)
    possible = {tuple(np.array(signs) @ by_cluster) for signs in itertools.product((-1, 1), repeat=4)}
    assert {tuple(each) for each in sums} == possible


def test_swapping_keeps_the_total_of_both_systems():
    random = np.random.default_rng(1)
    a, b, clusters = random.integers(0, 9, (30, 2)), random.integers(0, 9, (30, 2)), names(np.arange(30) // 3)
    a, b = a.astype(float), b.astype(float)
    one, other = swapped(a.sum(axis=0), b.sum(axis=0), signed(a, clusters, 50, 0), signed(b, clusters, 50, 0))
    np.testing.assert_array_equal(one + other, np.tile(a.sum(axis=0) + b.sum(axis=0), (50, 1)))
    assert len(np.unique(one, axis=0)) > 20


def test_identical_systems_have_p_1():
    rows = scored(np.random.default_rng(0).random(50))
    assert p_value(rows, rows, names(range(50))) == 1


def test_a_system_that_is_better_everywhere_has_the_smallest_p():
    values = np.random.default_rng(0).random(200)
    assert p_value(scored(values + 1), scored(values), names(range(200))) == 1 / 1000


def test_p_is_that_of_scipys_permutation_test():
    random = np.random.default_rng(4)
    a, b = random.normal(0.25, 1, 14), random.normal(0, 1, 14)
    exact = stats.permutation_test(
        (a, b), lambda x, y: np.mean(x) - np.mean(y), permutation_type="samples", n_resamples=np.inf
    ).pvalue  # fmt: skip
    assert p_value(scored(a), scored(b), names(range(14)), trials=40_000) == pytest.approx(exact, abs=0.01)


def test_with_one_patient_nothing_can_be_told():
    """Both swaps of one patient give the same difference but for its sign."""
    values = np.random.default_rng(0).random(40)
    assert p_value(scored(values + 1), scored(values), ["p"] * 40) == 1


def test_the_order_of_systems_and_of_studies_does_not_matter_to_p():
    random = np.random.default_rng(2)
    a, b, clusters = scored(random.random(60)), scored(random.random(60)), np.array(names(np.arange(60) // 3))
    p, order = p_value(a, b, list(clusters)), random.permutation(60)
    assert p_value(b, a, list(clusters)) == p
    assert p_value(a[order], b[order], list(clusters[order])) == p


def null_p_values(number, clustered):
    """Two systems alike in truth, whose differences in one patient's studies go together."""
    random = np.random.default_rng(11)
    found = []
    for trial in range(number):
        of = np.repeat(np.arange(25), 4)
        a, b = (scored(random.normal(size=25)[of] + 0.5 * random.normal(size=100)) for _ in range(2))
        clusters = names(of if clustered else range(100))
        found.append(p_value(a, b, clusters, trials=199, seed=trial))
    return np.array(found)


def test_p_values_are_uniform_under_the_null():
    p = null_p_values(500, clustered=True)
    assert stats.kstest(p, "uniform").pvalue > 0.01
    # Three standard errors of 500 trials at .05 are .029.
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.029)


def test_swapping_studies_one_by_one_would_call_chance_a_difference():
    assert np.mean(null_p_values(200, clustered=False) <= 0.05) > 0.2


# --- what goes with it ------------------------------------------------------------------------------------------


def test_bootstrap_p_agrees_with_the_interval():
    draws = np.arange(-20, 979)
    assert bootstrap_p(draws) == pytest.approx(2 * 22 / 1000)
    assert bootstrap_p(-draws) == bootstrap_p(draws)
    assert bootstrap_p(np.zeros(99)) == 1
    assert bootstrap_p(np.ones(99)) == 2 / 100


def test_effect_size_is_cohens_d_of_patients_whatever_their_number():
    random = np.random.default_rng(3)
    for n in (100, 1600):
        differences = random.normal(0.5, 1, n)
        drawn = bootstrap(scored(differences), names(range(n)), 2000, 0)
        d = differences.mean() / differences.std()
        assert effect_size(differences.mean(), mean(drawn), names(range(n))) == pytest.approx(d, rel=0.06)


def test_effect_size_without_spread():
    assert effect_size(0.0, np.zeros(10), ["a", "b"]) == 0
    assert effect_size(0.5, np.full(10, 0.5), ["a", "b"]) is None


def test_holm():
    """By hand: .005 × 4, .01 × 3, .03 × 2, and for .04 no less than its forerunner."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []
