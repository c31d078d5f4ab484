import numpy as np
import pytest

from gravlensdiffusion.classification.classes import classes_known_to, read_classes, read_merged
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.records import GENERATED, SetHeader
from tests.sources import ArraySource

NAMES = ("no_sub", "cdm", "axion", "no_lens")


def made(labels, names=NAMES):
    images = np.zeros((len(labels), 1, 8, 8), dtype=np.float32)
    header = SetHeader(class_names=names)
    return ArraySource(images, np.array(labels, dtype=np.int16), header)


def test_classes_without_images_are_left_out_and_said():
    found = read_classes(made([3, 0, -1, 3]), {})
    assert found.names == ("no_sub", "no_lens")
    assert found.labels.tolist() == [1, 0, -1, 1]
    assert found.notes == (
        "1 image of no known class was left out",
        "no image belongs to cdm, axion, which is left out",
    )


def test_merged_classes_are_remembered():
    source = made([0, 1, 2, 3])
    found = read_classes(source, {"no_sub": "lens", "cdm": "lens", "axion": "lens"})
    assert found.names == ("lens", "no_lens")
    assert found.labels.tolist() == [0, 0, 0, 1]
    assert dict(found.merged) == {"no_sub": "lens", "cdm": "lens", "axion": "lens"}


def test_flags_of_generated_images_are_read():
    source = made([0, 1, 1])
    source.parameters[GENERATED] = np.array([np.nan, 0.0, 1.0])
    assert read_classes(source, {}).is_generated.tolist() == [False, False, True]


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
        read_classes(source, merged)


def test_a_set_is_read_in_the_numbers_of_the_classifier():
    merged = (("no_sub", "lens"), ("cdm", "lens"))
    labels, unknown = classes_known_to(("no_lens", "lens"), merged, made([0, 1, 3, -1, 2]))
    assert labels.tolist() == [1, 1, 0, -1, -1]
    assert unknown == ("axion",)
    # A class that has a name and no image is no matter.
    assert classes_known_to(("no_lens", "lens"), merged, made([0, 3]))[1] == ()


def test_merges_are_read_from_texts():
    found = read_merged(["lens=no_sub, cdm", "rest=axion"])
    assert found == {"no_sub": "lens", "cdm": "lens", "axion": "rest"}
    for text in ("lens", "=a", "lens=a,,b"):
        with pytest.raises(GravLensError, match="`merge` must be like"):
            read_merged([text])
    with pytest.raises(GravLensError, match="both as a and b"):
        read_merged(["a=x", "b=x"])
