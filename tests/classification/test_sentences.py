import pytest

from gravlensdiffusion.classification.sentences import calibration, headline, percent, verdict
from tests.classification.judgements import judged, judgement


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1.0, "100%"),
        (0.99999, ">99.9%"),
        (0.0, "0%"),
        (1e-5, "<0.1%"),
        (0.5, "50%"),
        (0.127, "12.7%"),
    ],
)
def test_only_all_is_written_as_all(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("sharpness", "words"),
    [
        (1.0, "can be taken at their word"),
        (4.0, "too confident"),
        (0.3, "not confident enough"),
    ],
)
def test_calibration_is_said_in_words(sharpness, words):
    assert words in calibration(judgement(*judged(2000, 0, sharpness=sharpness)))


def test_the_class_that_is_found_least_is_named():
    names = ("no_sub", "cdm", "axion")
    found = judgement(*judged(900, 1, num_classes=3), names)
    auc, accuracy, worst, _ = verdict(found)
    assert f"{found.scores.auc:.3f} ({found.auc_interval[0]:.3f} to" in auc
    assert "averaged over the classes" in auc
    assert accuracy.startswith(percent(found.scores.accuracy))
    assert names[found.scores.recall.argmin()] in worst
    assert headline(found).startswith("Judged on 900 images: no_sub ")


def test_two_classes_are_told_apart_one_by_one():
    first, *_ = verdict(judgement(*judged(100, 2)))
    assert "given one image of empty and one of blob" in first
