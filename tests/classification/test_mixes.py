import numpy as np
import pytest

from gravlensdiffusion.classification.judgement import read_mix
from gravlensdiffusion.errors import GravLensError
from tests.classification.networks import CONFIG


def test_named_mixes():
    assert read_mix("training", CONFIG) is None
    assert read_mix("even", CONFIG).tolist() == [0.5, 0.5]
    labels = np.array([0, 1, 1, 1, -1])
    assert read_mix("data", CONFIG, labels).tolist() == [0.25, 0.75]


def test_shares_come_by_name_in_any_order():
    assert read_mix("blob=0.01, empty=0.99", CONFIG).tolist() == pytest.approx([0.99, 0.01])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data", "`prior` must be training, even or shares like empty=0.5,blob=0.5"),
        ("blob", "`prior` must be"),
        ("blob=many,empty=0.5", "`prior` must be"),
        ("blob=0.5,ring=0.5", "names class 'ring'; the classifier has empty, blob"),
        ("blob=1", "says nothing of class 'empty'"),
        ("blob=0.5,empty=0.6", "sum to 1"),
        ("blob=0,empty=1", "positive"),
        ("blob=nan,empty=1", "`prior` must be"),
    ],
)
def test_other_mixes_are_refused(text, words):
    with pytest.raises(GravLensError, match=words):
        read_mix(text, CONFIG)
