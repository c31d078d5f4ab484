"""The classifier two-sample test on features."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.two_sample import Auc, compare_features


def features(num: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(num, 6))


def test_auc_is_that_of_scikit_learn_with_ties() -> None:
    rng = np.random.default_rng(0)
    generated, real = rng.integers(0, 9, 70) + 1.0, rng.integers(0, 9, 50) * 1.0
    labels = np.repeat([1, 0], [70, 50])
    expected = roc_auc_score(labels, np.concatenate([generated, real]))
    assert Auc.of(generated, real).value == pytest.approx(expected)


def test_standard_error_is_the_scatter_of_repetitions() -> None:
    rng = np.random.default_rng(1)
    for shift in (0.0, 1.0):
        areas = [Auc.of(rng.normal(shift, 1, 60), rng.normal(size=90)) for _ in range(2000)]
        scatter = np.std([area.value for area in areas])
        assert np.mean([area.standard_error for area in areas]) == pytest.approx(scatter, rel=0.1)
    below, above = rng.normal(size=60), rng.normal(1, 1, 90)
    assert Auc.of(below, above).standard_error == pytest.approx(Auc.of(above, below).standard_error)
    # Exact where there is nothing to tell apart: (M + N + 1) / (12 M N).
    equal = Auc.of(np.array([1.0, 4.0]), np.array([2.0, 3.0]))
    assert equal.standard_error == pytest.approx(math.sqrt(5 / 48))


def test_shifted_means_are_told_apart_as_well_as_theory_allows() -> None:
    found = compare_features(features(800, 0) + 0.75, features(800, 1), seed=0)
    # d' = 0.75 sqrt(6), and the best area is Phi(d' / sqrt(2)).
    best = 0.5 * (1 + math.erf(0.75 * math.sqrt(6) / 2))
    assert best > 0.9
    assert found.value == pytest.approx(best, abs=4 * found.standard_error)


def test_covariances_and_shapes_are_told_apart() -> None:
    mixed = features(1000, 2) @ (np.eye(6) + 0.4 * np.eye(6, k=1))
    mixed = (mixed - mixed.mean(0)) / mixed.std(0)
    assert compare_features(mixed, features(1000, 3), seed=0).value > 0.65
    two_peaks = np.sign(features(1000, 4)) + 0.1 * features(1000, 5)
    assert compare_features(two_peaks, features(1000, 6), seed=0).value > 0.95


def test_one_distribution_gives_one_half() -> None:
    for seed in range(2):
        found = compare_features(features(400, 2 * seed), features(500, 2 * seed + 1), seed=seed)
        assert found.value == pytest.approx(0.5, abs=3 * found.standard_error)


def test_swapping_the_sets_finds_as_much() -> None:
    a, b = features(200, 0) + 0.3, features(150, 1)
    one, other = compare_features(a, b, seed=3), compare_features(b, a, seed=3)
    assert one.value == pytest.approx(other.value, abs=0.01)


def test_seed_fixes_everything() -> None:
    a, b = features(100, 0), features(100, 1)
    one, same, other = (compare_features(a, b, seed=seed) for seed in (0, 0, 1))
    assert one == same != other


def test_constant_and_collinear_features_do_no_harm() -> None:
    a, b = features(100, 0) + 0.8, features(100, 1)
    wide = [np.concatenate([side, side, np.zeros((100, 30))], axis=1) for side in (a, b)]
    assert compare_features(wide[0], wide[1], seed=0).value > 0.85


def test_few_images_of_many_features_are_scored() -> None:
    rng = np.random.default_rng(9)
    found = compare_features(rng.normal(size=(20, 64)), rng.normal(size=(20, 64)), seed=0)
    assert found.value == pytest.approx(0.5, abs=3 * found.standard_error)


def test_mistakes_are_named() -> None:
    with pytest.raises(GravLensError, match="NaN or infinite"):
        compare_features(np.full((30, 6), np.inf), features(50, 1), seed=0)
