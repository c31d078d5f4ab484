import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    auc,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from gravlensdiffusion.classification.scores import calibration_error, reliability, roc, score
from gravlensdiffusion.errors import GravLensError

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
    found, called = score(p, labels, NAMES), p.argmax(axis=1)
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
    assert score(p, labels, NAMES).pair_auc[0, 2] == pytest.approx(wins)


def test_classes_that_no_image_is_called_have_no_precision():
    p = np.tile([0.6, 0.4], (4, 1))
    found = score(p, np.array([0, 1, 1, 0]), NAMES[:2])
    assert found.precision[0] == 0.5
    assert np.isnan(found.precision[1])
    assert found.auc == 0.5


def test_certain_mistakes_cost_much_and_not_infinitely_much():
    p = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert 100 < score(p, np.array([1, 0]), NAMES[:2]).log_loss < 1000


def test_each_class_needs_an_image(judged):
    p, labels = judged
    with pytest.raises(GravLensError, match="no image of class 'c'"):
        score(p[labels < 2], labels[labels < 2], NAMES)


def test_calibration_error_of_known_gaps():
    # Ten images of confidence 0.9, six of them right; ten of 0.6, six of them right.
    confidence = np.repeat([0.9, 0.6], 10)
    p = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.tile([0] * 6 + [1] * 4, 2)
    bins = reliability(p, labels, num_bins=2)
    assert bins.confidence == pytest.approx([0.6, 0.9])
    assert bins.hits.tolist() == [6, 6]
    assert bins.num.tolist() == [10, 10]
    assert calibration_error(p, labels, num_bins=2) == pytest.approx(0.15)


def test_there_are_no_more_bins_than_images():
    p = np.array([[0.7, 0.3], [0.4, 0.6]])
    assert reliability(p, np.array([0, 1])).num.tolist() == [1, 1]


def test_the_curve_has_the_area_of_its_class(judged):
    p, labels = judged
    false, true, _ = roc(p, labels, 1)
    assert auc(false, true) == pytest.approx(score(p, labels, NAMES).class_auc[1])
