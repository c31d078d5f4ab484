import math

import numpy as np
import pytest
from scipy import stats

from gravlensdiffusion.config.priors import (
    Constant,
    LogUniform,
    Normal,
    TruncatedNormal,
    Uniform,
    lower_bound,
    upper_bound,
)
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.simulation.population import draw

LAWS = [
    (Uniform(low=-1, high=3), stats.uniform(-1, 4)),
    (LogUniform(low=1e-24, high=1e-22), stats.loguniform(1e-24, 1e-22)),
    (Normal(mean=2, std=0.5), stats.norm(2, 0.5)),
    (
        TruncatedNormal(mean=0.1, std=0.5, low=-0.2, high=1.5),
        stats.truncnorm(-0.6, 2.8, loc=0.1, scale=0.5),
    ),
]


@pytest.mark.parametrize(("prior", "law"), LAWS, ids=lambda x: getattr(x, "kind", ""))
def test_draws_follow_the_law(prior, law):
    rng = np.random.default_rng(1)
    values = np.array([draw(prior, rng) for _ in range(3000)])
    assert stats.kstest(values, law.cdf).pvalue > 0.01
    assert values.min() >= lower_bound(prior)
    assert values.max() <= upper_bound(prior)


def test_constant_uses_no_random_number():
    rng = np.random.default_rng(1)
    assert draw(Constant(value=0.3), rng) == 0.3
    assert rng.random() == np.random.default_rng(1).random()


def test_bounds_of_a_normal_are_infinite():
    prior = Normal(mean=0, std=1)
    assert (lower_bound(prior), upper_bound(prior)) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (Uniform, {"low": 1.0, "high": 1.0}),
        (Uniform, {"low": 0.0, "high": math.inf}),
        (LogUniform, {"low": 0.0, "high": 1.0}),
        (Normal, {"mean": 0.0, "std": 0.0}),
        (Constant, {"value": math.nan}),
        (TruncatedNormal, {"mean": 0.0, "std": 0.1, "low": 2.0, "high": 3.0}),
    ],
)
def test_impossible_priors_are_refused(make, values):
    with pytest.raises(GravLensError, match="prior"):
        make(**values)
