"""Rows against numbers that are known: Gaussian features, and a plan made for them."""

import numpy as np
import pytest

from gravlensdiffusion.evaluation.compare import compare
from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.evaluation.plan import ComparisonPlan
from gravlensdiffusion.evaluation.statistics import FRECHET, MMD
from gravlensdiffusion.metrics.features import scaled_wasserstein


def frechet_row(shift):
    rng = np.random.default_rng(0)
    generated = rng.normal(size=(1000, 8))
    generated[:, 0] += shift
    real = Measurements.of(rng.normal(size=(2000, 8)))
    plan = ComparisonPlan.of(1000, 1000, 1000, num_seeds=4, seed=0)
    (row,) = compare([FRECHET], Measurements.of(generated), real, plan, seed=0)
    return row


def test_equal_distributions_are_at_the_floor_and_correct_to_nothing():
    row = frechet_row(0.0)
    assert row.floor > 0.02
    assert row.ratio == pytest.approx(1, abs=0.4)
    assert row.corrected < 0.3 * row.floor


def test_the_corrected_distance_is_that_of_the_distributions():
    """Two Gaussians of unit covariance, half a unit apart: a squared distance of 0.25."""
    row = frechet_row(0.5)
    assert row.value > 0.27
    assert row.corrected == pytest.approx(0.25, abs=0.06)
    assert row.ratio == pytest.approx(row.value / row.floor)
    assert row.z == pytest.approx((row.value - row.floor) / row.floor_spread)


def test_a_value_that_no_seed_changes_has_no_spread():
    """All images of both sets are compared at each seed, other ones of the floor."""
    row = frechet_row(0.5)
    assert row.value_spread is None
    assert 0 < row.floor_spread < row.floor


def test_wasserstein_distance_is_in_units_of_the_real_scatter():
    real = np.random.default_rng(0).normal(5, 2, 20_000)
    assert scaled_wasserstein(real + 1, real) == pytest.approx(0.5, rel=0.02)
    assert scaled_wasserstein(np.append(real, np.nan), real) == pytest.approx(0, abs=1e-9)
    assert np.isnan(scaled_wasserstein(real, np.ones(5)))


def test_the_seed_draws_the_p_value_too():
    rng = np.random.default_rng(0)
    generated, real = (Measurements.of(rng.normal(size=(num, 8))) for num in (60, 120))
    plan = ComparisonPlan.of(60, 60, 60, num_seeds=2, seed=0)
    p_values = [
        compare([MMD], generated, real, plan, seed=seed)[0].p_value for seed in (0, 0, 1, 2)
    ]
    assert p_values[0] == p_values[1]
    assert len(set(p_values)) == 3
    assert np.ptp(p_values) < 0.15
