"""The Fréchet distance against closed forms and sqrtm."""

import numpy as np
import pytest
from scipy import linalg

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.frechet import (
    FeatureStatistics,
    distance_by_nuclear_norm,
    distance_of_statistics,
    feature_statistics,
    frechet_distance,
)


def features(num: int, num_features: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Return correlated features whose scatter falls as a power, as that of real ones does."""
    mixing = np.random.default_rng(12).normal(size=(num_features, num_features))
    falling = mixing * np.arange(1, num_features + 1) ** -0.5
    return np.random.default_rng(seed).normal(size=(num, num_features)) @ falling.T + shift


def distance_by_sqrtm(x: np.ndarray, y: np.ndarray) -> float:
    """Return the distance as pytorch-fid does."""
    product = np.cov(x, rowvar=False) @ np.cov(y, rowvar=False)
    traces = np.trace(np.cov(x, rowvar=False)) + np.trace(np.cov(y, rowvar=False))
    shift = x.mean(axis=0) - y.mean(axis=0)
    return float(shift @ shift + traces - 2 * np.trace(linalg.sqrtm(product)).real)


def in_common_span(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both sets in an orthonormal basis of all that they span, which moves no distance."""
    basis = np.linalg.qr(np.concatenate([x, y]).T)[0]
    return x @ basis, y @ basis


def test_statistics_are_mean_and_covariance():
    x = features(50, 7, seed=0)
    statistics = feature_statistics(x.astype(np.float32))
    assert statistics.num == 50
    assert statistics.covariance.dtype == np.float64
    assert np.allclose(statistics.mean, x.mean(axis=0), atol=1e-6)
    assert np.allclose(statistics.covariance, np.cov(x, rowvar=False), rtol=1e-4)


def test_distance_of_known_gaussians():
    # Of covariances that commute: the sum of squared differences of means and standard deviations.
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    widths, others = np.array([1.0, 2, 3, 0.5, 0]), np.array([2.0, 2, 1, 0, 0.25])
    first = FeatureStatistics(mean=np.zeros(5), covariance=rotation * widths**2 @ rotation.T, num=9)
    second = FeatureStatistics(
        mean=np.arange(5.0), covariance=rotation * others**2 @ rotation.T, num=9
    )
    expected = 30 + np.sum((widths - others) ** 2)
    # The root of an eigenvalue that should be 0 is of the order of 1e-8.
    assert distance_of_statistics(first, second) == pytest.approx(expected, rel=1e-8)
    assert distance_of_statistics(second, first) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("distance", [frechet_distance, distance_by_nuclear_norm])
def test_equal_sets_have_distance_0_and_shifted_ones_the_square_of_the_shift(distance):
    x = features(300, 20, seed=0)
    assert distance(x, x) == pytest.approx(0, abs=1e-10)
    assert distance(x, x + 0.3) == pytest.approx(20 * 0.09, rel=1e-10)
    assert distance(x, 1.5 * x - 0.5 * x.mean(axis=0)) == pytest.approx(
        0.25 * np.trace(np.cov(x, rowvar=False)), rel=1e-10
    )


@pytest.mark.parametrize(("n", "m"), [(400, 700), (64, 200), (30, 500), (500, 30), (40, 30)])
def test_agrees_with_sqrtm(n, m):
    x, y = features(n, 64, seed=1), 1.2 * features(m, 64, seed=2, shift=0.1)
    # Where the covariances are singular, sqrtm itself is only good to about 1e-6.
    tolerance = 1e-9 if min(n, m) > 64 else 1e-5
    expected = distance_by_sqrtm(x, y)
    both = distance_of_statistics(feature_statistics(x), feature_statistics(y))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=tolerance)
    assert both == pytest.approx(expected, rel=tolerance)
    assert both == pytest.approx(distance_by_nuclear_norm(x, y), rel=1e-9)
    assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y), rel=1e-10)


def hundred_images() -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of 100 images with 2048 features: covariances of rank 99."""
    falling = np.arange(1, 2049) ** -0.5
    rng = np.random.default_rng(3)
    return rng.normal(size=(100, 2048)) * falling, 1.1 * rng.normal(size=(100, 2048)) * falling


def test_agrees_with_sqrtm_at_rank_99_of_2048():
    x, y = hundred_images()
    # sqrtm of the 2048 x 2048 matrix takes long; the 200 dimensions that hold all images suffice.
    expected = distance_by_sqrtm(*in_common_span(x, y))
    by_statistics = distance_of_statistics(feature_statistics(x), feature_statistics(y))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-5)
    assert by_statistics == pytest.approx(frechet_distance(x, y), rel=1e-10)


@pytest.mark.slow
def test_agrees_with_sqrtm_of_the_whole_matrix_at_rank_99_of_2048():
    x, y = hundred_images()
    assert frechet_distance(x, y) == pytest.approx(distance_by_sqrtm(x, y), rel=1e-5)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "the generated set has 1 images; at least 2"),
        (np.zeros((5, 3)), np.full((5, 3), np.nan), "the reference set hold values .* not finite"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "differ in number: 3 and 4"),
        (np.zeros(5), np.zeros((5, 4)), r"must have shape \(N, D\), got \(5,\)"),
    ],
)
def test_features_are_checked(x, y, message):
    for distance in (frechet_distance, distance_by_nuclear_norm):
        with pytest.raises(GravLensError, match=message):
            distance(x, y)


def test_statistics_of_different_numbers_of_features_are_refused():
    with pytest.raises(GravLensError, match="number of features: 3 and 2"):
        distance_of_statistics(feature_statistics(np.eye(3)), feature_statistics(np.eye(2)))
