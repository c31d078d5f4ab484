import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.records import GENERATED, SetHeader
from gravlensdiffusion.training.validation import split
from tests.sources import ArraySource

NAMES = ("no_sub", "cdm")


def made(labels, is_generated=False):
    labels = np.asarray(labels, dtype=np.int16)
    images = np.zeros((len(labels), 1, 8, 8), dtype=np.float32)
    flags = {GENERATED: np.full(len(labels), is_generated, dtype=float)}
    return ArraySource(images, labels, SetHeader(class_names=NAMES), flags)


def test_the_same_share_of_each_class_is_held_out():
    data = made(np.repeat([0, 1, -1], (80, 20, 7)))
    trained_on, held_out = split(data, 0.25, seed=1)
    assert np.bincount(data.labels[held_out]).tolist() == [20, 5]
    assert not set(trained_on) & set(held_out)
    assert sorted([*trained_on, *held_out]) == np.flatnonzero(data.labels >= 0).tolist()
    assert np.array_equal(split(data, 0.25, seed=1)[1], held_out)
    assert not np.array_equal(split(data, 0.25, seed=2)[1], held_out)


def test_generated_images_are_never_held_out_and_do_not_change_who_is():
    labels = np.repeat([0, 1], (30, 10))
    _, alone = split(made(labels), 0.3, seed=4)
    more = np.concatenate([labels, np.ones(200, dtype=int)])
    trained_on, held_out = split(made(more, np.arange(240) >= 40), 0.3, seed=4)
    assert np.array_equal(held_out, alone)
    assert set(range(40, 240)) <= set(trained_on)


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_one_image_of_each_class_trains_and_one_judges(share):
    data = made(np.repeat([0, 1], 5))
    for where in split(data, share, seed=0):
        assert set(data.labels[where]) == {0, 1}


def test_classes_of_few_originals_are_refused():
    labels = np.repeat([0, 1], (50, 30))
    with pytest.raises(GravLensError, match=r"class 'cdm' has 4 original images"):
        split(made(labels, np.arange(80) >= 54), 0.2, seed=0)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.9])
def test_no_copy_of_a_held_out_image_trains(share):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 240)
    groups = np.tile(np.arange(48), 5)
    data = made(labels, np.arange(240) >= 200)
    trained_on, held_out = split(data, share, seed=3, groups=groups)
    assert not set(groups[trained_on]) & set(groups[held_out])
    assert len(set(zip(groups[held_out], labels[held_out], strict=True))) == len(held_out)
    assert set(labels[held_out]) == set(labels[trained_on]) == {0, 1}
    assert not data.is_generated[held_out].any()


def test_copies_are_no_originals_to_judge_by():
    labels = np.repeat([0, 1], (50, 40))
    groups = np.concatenate([np.arange(50), 50 + np.arange(40) % 4])
    with pytest.raises(GravLensError, match="'cdm' has 4 different original images"):
        split(made(labels), 0.2, seed=0, groups=groups)
