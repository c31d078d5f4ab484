"""The Fréchet distance against closed forms and sqrtm."""

import numpy as np
import pytest
from scipy import linalg

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.features import frechet_distance


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


def test_distance_of_known_gaussians():
    # Of covariances that commute: the sum of squared differences of means and standard deviations.
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    white = rng.normal(size=(40, 5))
    white -= white.mean(axis=0)
    white = np.linalg.qr(white)[0] * np.sqrt(39)
    widths, others = np.array([1.0, 2, 3, 0.5, 0]), np.array([2.0, 2, 1, 0, 0.25])
    first, second = white * widths @ rotation.T, white * others @ rotation.T + np.arange(5.0)
    expected = 30 + np.sum((widths - others) ** 2)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(second, first[::-1]) == pytest.approx(expected, rel=1e-10)


def test_equal_sets_have_distance_0_and_shifted_ones_the_square_of_the_shift():
    x = features(300, 20, seed=0)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(x, x + 0.3) == pytest.approx(20 * 0.09, rel=1e-10)
    assert frechet_distance(x, 1.5 * x - 0.5 * x.mean(axis=0)) == pytest.approx(
        0.25 * np.trace(np.cov(x, rowvar=False)), rel=1e-10
    )


@pytest.mark.parametrize(("n", "m"), [(400, 700), (64, 200), (30, 500), (500, 30), (40, 30)])
def test_agrees_with_sqrtm(n, m):
    x, y = features(n, 64, seed=1), 1.2 * features(m, 64, seed=2, shift=0.1)
    # Where the covariances are singular, sqrtm itself is only good to about 1e-6.
    tolerance = 1e-9 if min(n, m) > 64 else 1e-5
    expected = distance_by_sqrtm(x, y)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=tolerance)
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
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_agrees_with_sqrtm_of_the_whole_matrix_at_rank_99_of_2048():
    x, y = hundred_images()
    assert frechet_distance(x, y) == pytest.approx(distance_by_sqrtm(x, y), rel=1e-5)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "a set has 1 images; at least 2"),
        (np.zeros((5, 3)), np.full((5, 3), np.nan), "NaN or infinite"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "differ in length of their vectors: 3 and 4"),
        (np.zeros(5), np.zeros((5, 4)), r"shape \(N, D\), got shape \(5,\)"),
    ],
)
def test_features_are_checked(x, y, message):
    with pytest.raises(GravLensError, match=message):
        frechet_distance(x, y)
