import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score

from gravlensdiffusion.classification.scores import calibration_error, reliability
from gravlensdiffusion.classification.uncertainty import (
    _Ranked,
    auc_interval,
    chance_error,
    wilson,
)


@pytest.mark.parametrize(("hits", "num"), [(0, 5), (3, 7), (40, 40), (990, 1000)])
def test_intervals_of_shares_are_those_of_scipy(hits, num):
    low, high = wilson(np.array(hits), np.array(num))
    expected = binomtest(hits, num).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_no_trials_no_interval():
    assert np.isnan(wilson(np.array([0]), np.array([0]))).all()


def test_weighted_areas_are_those_of_scikit_learn():
    random = np.random.default_rng(1)
    labels, scores = np.arange(200) % 2 == 0, random.normal(size=200).round(1)
    weights = random.integers(0, 4, 200).astype(float)
    expected = roc_auc_score(labels, scores, sample_weight=weights)
    assert _Ranked(scores, labels).area(weights) == pytest.approx(expected)


def drawn(seed, num=120, distance=1.0):
    random = np.random.default_rng(seed)
    labels = np.arange(num) % 2
    p = norm.cdf(random.normal(size=num) + distance * (labels - 0.5))
    return np.stack([1 - p, p], axis=1), labels


def test_intervals_hold_the_true_area_about_as_often_as_they_say():
    truth = norm.cdf(1.0 / np.sqrt(2))
    held = [
        low < truth < high for low, high in (auc_interval(*drawn(k), k, 200) for k in range(60))
    ]
    # Of 60, 57 are expected; 50 or fewer happen once in 500 times.
    assert sum(held) > 50
    low, high = auc_interval(*drawn(0), 0)
    assert 0.1 < high - low < 0.25
    assert auc_interval(*drawn(0), 0) == (low, high)


def test_the_error_of_chance_is_what_faultless_probabilities_get():
    random = np.random.default_rng(2)
    p = random.uniform(0.5, 1, 900)
    both = np.stack([p, 1 - p], axis=1)
    errors = []
    for _ in range(100):
        labels = (random.random(900) > p).astype(int)
        errors.append(calibration_error(both, labels))
    found = chance_error(reliability(both, labels), seed=0)
    assert found == pytest.approx(np.mean(errors), rel=0.1)
