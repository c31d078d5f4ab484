"""Kernel distances: direct sums, unbiasedness, error bars and p-values."""

import numpy as np
import pytest
from scipy.stats import kstest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.kernel import kid, mmd_test


def direct(x, y, kernel) -> float:
    """Return the unbiased squared discrepancy, pair by pair."""
    n, m = len(x), len(y)
    within_x = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j)
    within_y = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j)
    between = sum(kernel(a, b) for a in x for b in y)
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between / (n * m)


def test_kid_is_the_direct_sum_where_one_subset_holds_all():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 3)) + 0.5
    found = kid(x, y, rng)
    assert found.value == pytest.approx(direct(x, y, lambda a, b: (a @ b / 3 + 1) ** 3), rel=1e-12)
    assert (found.num_x, found.num_y) == (12, 12)


def test_mmd_is_the_direct_sum_of_a_gaussian_kernel():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(9, 3)) + 40, rng.normal(size=(14, 3)) + 40.3
    pairs = [np.linalg.norm(y[i] - y[j]) for i in range(14) for j in range(i)]
    width = np.median(pairs)

    def kernel(a, b):
        return np.exp(-np.sum((a - b) ** 2) / (2 * width**2))

    found = mmd_test(x, y, rng)
    assert found.value == pytest.approx(direct(x, y, kernel), rel=1e-9)
    assert (found.num_x, found.num_y) == (9, 14)


def test_kid_is_unbiased_at_any_size():
    rng = np.random.default_rng(3)
    found = []
    for _ in range(400):
        x, y = rng.normal(size=(10, 4)), rng.normal(size=(20, 4))
        found.append(kid(x, y, rng, num_subsets=5).value)
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error


def test_mmd_is_unbiased_for_36_against_95():
    rng = np.random.default_rng(4)
    found = [
        mmd_test(rng.normal(size=(36, 6)), rng.normal(size=(95, 6)), rng, num_permutations=1).value
        for _ in range(200)
    ]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))
    assert min(found) < 0 < max(found)


# Of one subset with all images of the smaller set, and of few subsets with few images.
@pytest.mark.parametrize(
    ("shift", "size", "num_subsets"), [(0.0, 1000, 5), (0.4, 1000, 5), (0.4, 20, 8)]
)
def test_standard_error_is_the_scatter_over_new_draws(shift, size, num_subsets):
    rng = np.random.default_rng(5)
    options = {"subset_size": size, "num_subsets": num_subsets}
    draws = [
        kid(rng.normal(size=(100, 4)) + shift, rng.normal(size=(120, 4)), rng, **options)
        for _ in range(200)
    ]
    values = np.array([one.value for one in draws])
    stated = np.array([one.standard_error for one in draws])
    assert 0.85 < np.sqrt(np.mean(stated**2)) / values.std() < 1.4
    inside = [one.interval[0] < values.mean() < one.interval[1] for one in draws]
    assert np.mean(inside) > 0.8


def test_kid_grows_by_a_known_amount_with_a_shift():
    # In one dimension with unit scatter, k(x, y) = (x y + 1)^3 has E = 1 + 3 E[x^2] E[y^2] + ...,
    # so the discrepancy is the squared difference of the moments, weighted 3, 3 and 1.
    shift, rng = 0.5, np.random.default_rng(6)
    moments = np.array([shift, shift**2, shift**3 + 3 * shift])
    expected = 3 * moments[0] ** 2 + 3 * moments[1] ** 2 + moments[2] ** 2
    found = kid(rng.normal(size=(4000, 1)) + shift, rng.normal(size=(4000, 1)), rng, num_subsets=40)
    assert abs(found.value - expected) < 3 * found.standard_error
    assert found.standard_error < 0.15 * expected


def test_p_value_is_uniform_where_the_sets_are_alike_and_tiny_where_not():
    rng = np.random.default_rng(7)
    alike = [
        mmd_test(rng.normal(size=(36, 4)), rng.normal(size=(95, 4)), rng, num_permutations=200)
        for _ in range(200)
    ]
    assert kstest([one.p_value for one in alike], "uniform").pvalue > 0.01
    shifted = mmd_test(rng.normal(size=(36, 4)) + 1, rng.normal(size=(95, 4)), rng)
    assert shifted.p_value == 1 / 1001
    wider = mmd_test(2 * rng.normal(size=(36, 4)), rng.normal(size=(95, 4)), rng)
    assert wider.p_value < 0.01


def test_large_sets_are_cut_to_a_subset_that_the_generator_fixes():
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(500, 2)), rng.normal(size=(60, 2))
    runs = [
        mmd_test(x, y, np.random.default_rng(0), max_images=100, num_permutations=10)
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert (runs[0].num_x, runs[0].num_y) == (100, 60)
    assert kid(x, y, rng, num_subsets=3).num_x == 60


def test_what_cannot_be_compared_is_refused():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 3))
    with pytest.raises(GravLensError, match="a set has 1 images; at least 2"):
        mmd_test(x, x[:1], rng)
    with pytest.raises(GravLensError, match="differ in length of their vectors: 3 and 2"):
        kid(x, x[:, :2], rng)
    with pytest.raises(GravLensError, match="more than half of the reference images"):
        mmd_test(x, np.ones((5, 3)), rng)
