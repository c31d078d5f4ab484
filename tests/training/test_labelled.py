from dataclasses import replace

import numpy as np
import pytest

from gravlensdiffusion.classification.classes import merge
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.training.labelled import LabelledSet, split

NAMES = ("no_sub", "cdm")


def made(labels, is_generated=None):
    labels = np.asarray(labels)
    flags = np.zeros(len(labels), dtype=bool) if is_generated is None else is_generated
    images = np.zeros((len(labels), 1, 8, 8), dtype=np.float32)
    return LabelledSet(images=images, labels=labels, class_names=NAMES, is_generated=flags)


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


def test_classes_are_merged_by_name():
    names, labels = merge(
        ("no_sub", "cdm", "empty"), np.array([2, -1, 0, 1]), {"no_sub": "lens", "cdm": "lens"}
    )
    assert names == ("lens", "empty")
    assert labels.tolist() == [1, -1, 0, 0]
    with pytest.raises(GravLensError, match="no class 'axion' to merge; there are: no_sub, cdm"):
        merge(NAMES, np.zeros(1, dtype=int), {"axion": "cdm"})


def test_counts_leave_unknown_classes_out():
    assert made([0, 1, 1, -1]).counts() == {"no_sub": 1, "cdm": 2}


def test_each_image_needs_a_label():
    with pytest.raises(GravLensError, match="one label and one flag"):
        made([0, 1, 1], np.zeros(2, dtype=bool))


@pytest.mark.parametrize("share", [0.05, 0.2, 0.9])
def test_no_copy_of_a_held_out_image_trains(share):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 240)
    groups = np.tile(np.arange(48), 5)
    data = replace(made(labels, np.arange(240) >= 200), groups=groups)
    trained_on, held_out = split(data, share, seed=3)
    assert not set(groups[trained_on]) & set(groups[held_out])
    assert len(set(zip(groups[held_out], labels[held_out], strict=True))) == len(held_out)
    assert set(labels[held_out]) == set(labels[trained_on]) == {0, 1}
    assert not data.is_generated[held_out].any()


def test_copies_are_no_originals_to_judge_by():
    labels = np.repeat([0, 1], (50, 40))
    groups = np.concatenate([np.arange(50), 50 + np.arange(40) % 4])
    with pytest.raises(GravLensError, match="'cdm' has 4 different original images"):
        split(replace(made(labels), groups=groups), 0.2, seed=0)
