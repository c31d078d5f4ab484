import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import auc

from gravlensdiffusion.classification.judgement import NUM_MISTAKES, read_mix
from gravlensdiffusion.classification.report import to_json
from gravlensdiffusion.errors import GravLensError
from tests.classification.judgements import judged, judgement
from tests.classification.networks import CONFIG


def test_the_most_confident_mistakes_come_first():
    labels, p = judged(200, seed=0)
    found = judgement(labels, p)
    wrong = np.flatnonzero(p.argmax(axis=1) != labels)
    assert found.num_mistakes == len(wrong)
    assert len(found.mistakes) == NUM_MISTAKES
    confidence = [each.probability for each in found.mistakes]
    expected = sorted(p.max(axis=1)[wrong], reverse=True)[:NUM_MISTAKES]
    assert confidence == pytest.approx(expected)
    for each in found.mistakes:
        # The image's value and its name tell its position in the set, which is twice that here.
        place = int(each.image[0, 0, 0])
        assert each.name == f"image {place}"
        assert labels[place // 2] == each.label != each.called == p[place // 2].argmax()


def test_a_faultless_classifier_has_no_mistakes():
    labels = np.array([0, 1, 0, 1])
    found = judgement(labels, np.eye(2)[labels])
    assert found.mistakes == ()
    assert found.num_mistakes == 0


def test_a_judgement_is_json_without_nan():
    labels = np.array([0, 1, 0, 1])
    text = to_json(judgement(labels, np.tile([0.6, 0.4], (4, 1))))
    found = json.loads(text)
    assert found["scores"]["precision"] == [0.5, None]
    assert found["precision_intervals"][1] == [None, None]
    assert found["scores"]["auc"] == 0.5
    assert found["pairs"] == [{"classes": ["empty", "blob"], "auc": 0.5}]
    assert found["facts"]["data"]["name"] == "set"


def test_intervals_belong_to_their_numbers():
    found = judgement(*judged(300, seed=1))
    for k in range(2):
        assert found.recall_intervals[k, 0] < found.scores.recall[k] < found.recall_intervals[k, 1]
    assert found.auc_interval[0] < found.scores.auc < found.auc_interval[1]
    for curve, area in zip(found.curves, found.scores.class_auc, strict=True):
        assert auc(*curve) == pytest.approx(area)


def test_named_mixes():
    assert read_mix("training", CONFIG) is None
    assert read_mix("even", CONFIG).tolist() == [0.5, 0.5]
    labels = np.array([0, 1, 1, 1, -1])
    assert read_mix("data", CONFIG, labels).tolist() == [0.25, 0.75]


def test_shares_come_by_name_in_any_order():
    assert read_mix("blob=0.01, empty=0.99", CONFIG).tolist() == pytest.approx([0.99, 0.01])


@pytest.mark.parametrize("num", [2, 3, 7, 60])
def test_shares_that_are_advised_are_taken(num):
    names = tuple(f"class{k}" for k in range(num))
    config = replace(CONFIG, class_names=names, class_mix=(1 / num,) * num)
    with pytest.raises(GravLensError, match="shares like") as told:
        read_mix("none", config)
    advised = str(told.value).partition("shares like ")[2].partition(", ")[0]
    assert read_mix(advised, config).tolist() == pytest.approx([1 / num] * num)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data", "`prior` must be training, even or shares like empty=0.5,blob=0.5"),
        ("blob", "`prior` must be"),
        ("blob=many,empty=0.5", "`prior` must be"),
        ("blob=0.5,ring=0.5", "names class 'ring'; the classifier has empty, blob"),
        ("blob=1", "says nothing of class 'empty'"),
        ("blob=0.5,empty=0.6", "sum to 1"),
        ("blob=0.9,blob=0.4,empty=0.6", "class 'blob' two shares"),
        ("blob=0,empty=1", "positive"),
        ("blob=nan,empty=1", "`prior` must be"),
    ],
)
def test_other_mixes_are_refused(text, words):
    with pytest.raises(GravLensError, match=words):
        read_mix(text, CONFIG)
