from dataclasses import replace

import pytest

from gravlensdiffusion.codec import from_json, to_json
from gravlensdiffusion.config.classifier import ClassifierConfig, ClassifierTraining
from gravlensdiffusion.errors import GravLensError
from tests.classification.networks import CONFIG


def test_a_configuration_comes_back_from_its_text():
    config = replace(CONFIG, merged=(("ring", "blob"),))
    assert from_json(ClassifierConfig, to_json(config), source="c") == config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"class_names": ("a",), "class_mix": (1.0,)}, "two classes or more"),
        ({"class_names": ("a", "a")}, "is there twice"),
        ({"class_mix": (1.0,)}, "a positive share of each class"),
        ({"class_mix": (1.0, 0.0)}, "class_mix must be positive"),
        ({"strides": (1,)}, "as many strides as channels"),
        ({"image_size": 0}, "image_size must lie between 1 and 4096, got 0"),
        ({"sky": (0.0, 0.0)}, "sky needs one number per channel"),
        ({"noise": (0.0,)}, "must be positive"),
        ({"pixel_scale_arcsec": 0.0}, "pixel_scale_arcsec must be positive"),
        ({"temperature": float("nan")}, "must be positive"),
        ({"dropout": 1.0}, r"dropout must lie between 0 and 1 \(not 1\), got 1.0"),
    ],
)
def test_impossible_classifiers_are_refused(changes, words):
    with pytest.raises(GravLensError, match=words):
        replace(CONFIG, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"total_images": 0}, "total_images must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"held_out": 0.0}, "held_out must lie between 0 and 1"),
        ({"held_out": float("nan")}, "held_out must lie between 0 and 1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
        ({"seed": -1}, "seed must lie between 0 and 2\\^63 - 1, got -1"),
    ],
)
def test_impossible_recipes_are_refused(changes, words):
    with pytest.raises(GravLensError, match=words):
        ClassifierTraining(**changes)
