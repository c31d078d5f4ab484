import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from gravlensdiffusion.classification.scores import (
    Reliability,
    Scores,
    _area,
    auc_interval,
    wilson,
)

NAMES = ("a", "b", "c")


@pytest.fixture
def judged():
    random = np.random.default_rng(0)
    labels = random.choice(3, 400, p=(0.5, 0.3, 0.2))
    logits = random.normal(size=(400, 3)) + 1.2 * np.eye(3)[labels]
    # Rounded, so that some are equal.
    odds = np.exp(logits.round(1))
    return odds / odds.sum(axis=1, keepdims=True), labels


def test_scores_are_those_of_scikit_learn(judged):
    p, labels = judged
    found, called = Scores.of(p, labels, NAMES), p.argmax(axis=1)
    assert found.num_images.tolist() == np.bincount(labels).tolist()
    assert found.auc == pytest.approx(roc_auc_score(labels, p, multi_class="ovr"))
    assert found.accuracy == pytest.approx(accuracy_score(labels, called))
    assert found.recall == pytest.approx(recall_score(labels, called, average=None))
    assert found.precision == pytest.approx(precision_score(labels, called, average=None))
    assert found.log_loss == pytest.approx(log_loss(labels, p))
    one_by_one = [brier_score_loss(labels == k, p[:, k]) for k in range(3)]
    assert found.brier == pytest.approx(sum(one_by_one))
    assert np.array_equal(found.confusion, confusion_matrix(labels, called))


def test_a_pair_is_ranked_by_the_odds_of_its_classes(judged):
    _, labels = judged
    p = np.random.default_rng(1).dirichlet((1, 1, 1), len(labels))
    p[labels == 2, 2] += 0.3
    p /= p.sum(axis=1, keepdims=True)
    odds = p[:, 2] / p[:, 0]
    wins = (odds[labels == 2][:, None] > odds[labels == 0]).mean()
    assert Scores.of(p, labels, NAMES).pair_auc[0, 2] == pytest.approx(wins)


def test_classes_that_no_image_is_called_have_no_precision():
    p = np.tile([0.6, 0.4], (4, 1))
    found = Scores.of(p, np.array([0, 1, 1, 0]), NAMES[:2])
    assert found.precision[0] == 0.5
    assert np.isnan(found.precision[1])
    assert found.auc == 0.5


def test_certain_mistakes_cost_much_and_not_infinitely_much():
    p = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert 100 < Scores.of(p, np.array([1, 0]), NAMES[:2]).log_loss < 1000


def test_calibration_error_of_known_gaps():
    # Ten images of confidence 0.9, six of them right; ten of 0.6, six of them right.
    confidence = np.repeat([0.9, 0.6], 10)
    p = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.tile([0] * 6 + [1] * 4, 2)
    bins = Reliability.of(p, labels, num_bins=2)
    assert bins.confidence == pytest.approx([0.6, 0.9])
    assert bins.hits.tolist() == [6, 6]
    assert bins.num.tolist() == [10, 10]
    assert Reliability.of(p, labels, num_bins=2).error == pytest.approx(0.15)


def test_there_are_no_more_bins_than_images():
    p = np.array([[0.7, 0.3], [0.4, 0.6]])
    assert Reliability.of(p, np.array([0, 1])).num.tolist() == [1, 1]


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
    groups = np.unique(scores, return_inverse=True)[1]
    assert _area(groups, labels, weights) == pytest.approx(expected)


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
        errors.append(Reliability.of(both, labels).error)
    found = Reliability.of(both, labels).chance_error(seed=0)
    assert found == pytest.approx(np.mean(errors), rel=0.1)
