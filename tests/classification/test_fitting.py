import json
from dataclasses import replace

import numpy as np
import pytest

from gravlensdiffusion import LensClassifier
from gravlensdiffusion.classification.classifier import PAGE, REPORT, THUMBNAILS, TRAINING
from gravlensdiffusion.classification.fitting import _read_classes
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import load_classifier
from gravlensdiffusion.sets.records import GENERATED, SetHeader
from gravlensdiffusion.training.classifier import predict_logits, train_classifier
from tests.classification.planted import RECIPE, SIZE, planted
from tests.sources import ArraySource

SHORT = replace(RECIPE, total_images=320, batch_size=16, check_images=160)


def test_a_plan_counts_who_learns_and_who_judges():
    source = planted(100, 0)
    source.parameters[GENERATED] = (np.arange(100) >= 60).astype(float)
    planned = LensClassifier(SHORT, size=8).plan(source, name="set.h5")
    assert planned.trained_on == {"empty": 44, "blob": 44}
    assert planned.held_out == {"empty": 6, "blob": 6}
    assert planned.generated == {"empty": 20, "blob": 20}
    assert planned.original_size == SIZE
    assert "40 generated images train and never judge" in planned.notes
    with pytest.raises(GravLensError, match="fewer than 64"):
        LensClassifier(SHORT, size=64).plan(source)


@pytest.fixture(scope="module")
def classifier():
    found = LensClassifier(SHORT, merged={"empty": "sky"}, device="cpu")
    return found.fit(found.plan(planted(100, 0), name="set.h5"))


@pytest.fixture(scope="module")
def fitted(classifier):
    return classifier.fitted


def test_the_classifier_is_that_of_the_recipe(fitted):
    data = planted(100, 0)
    alone = train_classifier(data, SHORT, device="cpu").network
    assert np.array_equal(
        predict_logits(fitted.network, data.images), predict_logits(alone, data.images)
    )
    config = fitted.network.config
    assert config.class_names == ("sky", "blob")
    assert config.merged == (("empty", "sky"),)
    assert (config.pixel_scale_arcsec, config.flux_unit) == (0.1, "e-/s")
    assert config.training_data == "80 images of set.h5"


def test_it_is_judged_on_the_held_out_images_alone(fitted):
    assert fitted.judgement.scores.num_images.tolist() == [10, 10]
    assert "no independent test" in fitted.judgement.notes[-1]
    assert fitted.record["images_seen"] == 320
    assert fitted.record["held_out"] == {"sky": 10, "blob": 10}
    assert fitted.record["recipe"]["seed"] == SHORT.seed


def test_a_classifier_comes_back_from_its_folder(classifier, tmp_path):
    classifier.save(tmp_path / "c")
    files = {each.name for each in (tmp_path / "c").iterdir()}
    assert files == {"model.safetensors", "config.json", THUMBNAILS, TRAINING, REPORT, PAGE}
    fitted = classifier.fitted
    network, images = load_classifier(tmp_path / "c"), planted(20, 1).images
    assert network.config == fitted.network.config
    assert np.array_equal(predict_logits(network, images), predict_logits(fitted.network, images))
    record = json.loads((tmp_path / "c" / TRAINING).read_text(encoding="utf-8"))
    assert record["looks"][-1]["images_seen"] == 320
    with pytest.raises(GravLensError, match=r"not empty|exists"):
        classifier.save(tmp_path / "c")


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
