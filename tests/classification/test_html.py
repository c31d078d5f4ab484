import numpy as np

from gravlensdiffusion.classification.html import page
from tests.classification.judgements import judged, judgement
from tests.reports.reader import check_harmless, read_page

EVIL = '<script>alert("x")</script>'
NAMES = ("no_sub", EVIL, "axion")


def test_a_report_is_whole_and_runs_nothing_whatever_its_classes_are_called():
    found = judgement(*judged(300, 0, num_classes=3), NAMES, title=EVIL)
    text = page(found)
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
    assert page(found) == text


def test_a_classifier_without_mistakes_has_no_such_section():
    labels = np.array([0, 1, 0, 1])
    read = read_page(page(judgement(labels, np.eye(2)[labels])))
    assert "mistakes" not in [each["id"] for each in read.all("section")]


def test_classes_that_no_image_is_called_are_shown():
    read = read_page(page(judgement(np.array([0, 1, 0]), np.tile([0.6, 0.4], (3, 1)))))
    assert "none called" in read.texts
