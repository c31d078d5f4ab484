import numpy as np
import pytest

from gravlensdiffusion.classification.report import _headline, _told_calibration, _verdict, to_html
from gravlensdiffusion.reports.numbers import exact_share
from tests.classification.judgements import judged, judgement
from tests.reports.reader import check_harmless, read_page

EVIL = '<script>alert("x")</script>'
NAMES = ("no_sub", EVIL, "axion")


def test_a_report_is_whole_and_runs_nothing_whatever_its_classes_are_called():
    found = judgement(*judged(300, 0, num_classes=3), NAMES, title=EVIL)
    text = to_html(found).decode()
    check_harmless(text)
    read = read_page(text)
    anchors = [each["id"] for each in read.all("section")]
    assert anchors == ["classes", "roc", "calibration", "mistakes", "reading", "protocol"]
    assert f"{found.scores.class_auc[1]:.3f}" in read.texts
    assert f"no_sub / {EVIL}" in read.texts
    assert "a note." in " ".join(read.texts)
    # A matrix, curves, a diagram, and the mistakes, all of them told to those who see none.
    assert len(read.all("img")) == 3 + len(found.mistakes)
    assert all(each["alt"] for each in read.all("img"))
    row = found.scores.confusion[0]
    assert any(f"no_sub: {row[0]} called no_sub" in each["alt"] for each in read.all("img"))
    assert to_html(found).decode() == text


def test_a_classifier_without_mistakes_has_no_such_section():
    labels = np.array([0, 1, 0, 1])
    read = read_page(to_html(judgement(labels, np.eye(2)[labels])).decode())
    assert "mistakes" not in [each["id"] for each in read.all("section")]


def test_classes_that_no_image_is_called_are_shown():
    read = read_page(to_html(judgement(np.array([0, 1, 0]), np.tile([0.6, 0.4], (3, 1)))).decode())
    assert "none called" in read.texts


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
    assert exact_share(share) == text


@pytest.mark.parametrize(
    ("sharpness", "words"),
    [
        (1.0, "can be taken at their word"),
        (4.0, "too confident"),
        (0.3, "not confident enough"),
    ],
)
def test_calibration_is_said_in_words(sharpness, words):
    assert words in _told_calibration(judgement(*judged(2000, 0, sharpness=sharpness)))


def test_the_class_that_is_found_least_is_named():
    names = ("no_sub", "cdm", "axion")
    found = judgement(*judged(900, 1, num_classes=3), names)
    auc, accuracy, worst, _ = _verdict(found)
    assert f"{found.scores.auc:.3f} ({found.auc_interval[0]:.3f} to" in auc
    assert "averaged over the classes" in auc
    assert accuracy.startswith(exact_share(found.scores.accuracy))
    assert names[found.scores.recall.argmin()] in worst
    assert _headline(found).startswith("Judged on 900 images: no_sub ")


def test_two_classes_are_told_apart_one_by_one():
    first, *_ = _verdict(judgement(*judged(100, 2)))
    assert "given one image of empty and one of blob" in first
