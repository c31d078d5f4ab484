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
    assert values.min() >= prior.support[0]
    assert values.max() <= prior.support[1]


def test_constant_uses_no_random_number():
    rng = np.random.default_rng(1)
    assert draw(Constant(value=0.3), rng) == 0.3
    assert rng.random() == np.random.default_rng(1).random()


def test_bounds_of_a_normal_are_infinite():
    prior = Normal(mean=0, std=1)
    assert prior.support == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("make", "values", "words"),
    [
        (Uniform, {"low": 1.0, "high": 1.0}, "low must be below high"),
        (Uniform, {"low": 0.0, "high": math.inf}, "uniform high must be finite"),
        (LogUniform, {"low": 0.0, "high": 1.0}, "log uniform low must be positive"),
        (Normal, {"mean": 0.0, "std": 0.0}, "normal std must be positive"),
        (Constant, {"value": math.nan}, "constant value must be finite"),
        (TruncatedNormal, {"mean": 0.0, "std": 0.1, "low": 2.0, "high": 3.0}, "over 5 std"),
    ],
)
def test_impossible_priors_are_refused(make, values, words):
    with pytest.raises(GravLensError, match=words):
        make(**values)
