import numpy as np
import pytest

from gravlensdiffusion.classification.fitting import _read_classes
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.records import SetHeader
from tests.sources import ArraySource

NAMES = ("no_sub", "cdm", "axion", "no_lens")


def made(labels, names=NAMES):
    images = np.zeros((len(labels), 1, 8, 8), dtype=np.float32)
    header = SetHeader(class_names=names)
    return ArraySource(images, np.array(labels, dtype=np.int16), header)


def test_classes_without_images_are_left_out_and_said():
    found, notes = _read_classes(made([3, 0, -1, 3]), {})
    assert found.header.class_names == ("no_sub", "no_lens")
    assert found.labels.tolist() == [1, 0, -1, 1]
    assert notes == [
        "1 image of no known class was left out",
        "no image belongs to cdm, axion, which is left out",
    ]


def test_classes_are_merged_by_name():
    found, _ = _read_classes(made([0, 1, 2, -1, 3]), dict.fromkeys(NAMES[:3], "lens"))
    assert found.header.class_names == ("lens", "no_lens")
    assert found.labels.tolist() == [0, 0, 0, -1, 1]


def test_a_class_that_the_set_lacks_is_not_merged():
    with pytest.raises(GravLensError, match="no class 'dust'; there are: no_sub, cdm, ax"):
        _read_classes(made([0, 1]), {"dust": "cdm"})


@pytest.mark.parametrize(
    ("source", "merged", "words"),
    [
        (made([0, 1], names=()), {}, "no classes: put them into one folder per class"),
        (made([-1, -1]), {}, "no classes"),
        (made([1, 1]), {}, "one class, cdm; a classifier needs two"),
        (made([0, 1]), {"no_sub": "lens", "cdm": "lens"}, "one class, lens"),
    ],
)
def test_sets_without_two_classes_are_refused(source, merged, words):
    with pytest.raises(GravLensError, match=words):
        _read_classes(source, merged)
