from dataclasses import replace

import numpy as np
import pytest

from gravlensdiffusion import LensClassifier
from gravlensdiffusion.classification.candidates import NOT_LOOKED_FOR, TRAINED_ON_IT
from gravlensdiffusion.classification.classifier import TRAINING
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import save_model
from gravlensdiffusion.sets.records import GENERATED
from tests.classification.networks import CONFIG, untrained
from tests.classification.planted import HEADER, RECIPE, planted, trained


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "planted"
    network = trained().network
    network.config = replace(network.config, pixel_scale_arcsec=0.1, flux_unit="e-/s")
    save_model(folder, network)
    return folder


def opened(folder):
    return LensClassifier.from_pretrained(folder, device="cpu")


def judgement(folder, source, prior="training"):
    return opened(folder).score(source, prior=prior, name="set.h5")


def test_a_set_is_judged(model):
    found = judgement(model, planted(400, 5))
    assert found.title == "planted on set.h5"
    assert found.scores.auc > 0.9
    assert found.notes == (NOT_LOOKED_FOR,)
    assert found.facts["data"]["images"] == 400


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score"])
def test_a_set_without_images_is_refused(model, method):
    with pytest.raises(GravLensError, match="the set is empty"):
        getattr(opened(model), method)(planted(0, 0))


def test_generated_images_alone_have_no_mix_of_classes(model):
    source = planted(4, 5)
    source.parameters[GENERATED] = np.ones(4)
    with pytest.raises(GravLensError, match="`prior` must be training, even or shares"):
        opened(model).predict_proba(source, prior="data")


def test_a_score_says_the_same_when_it_is_asked_for_again(model):
    classifier = opened(model)
    candidates = classifier.prepare(planted(100, 5))
    assert classifier.score(candidates).notes == classifier.score(candidates).notes


def test_classes_are_known_by_their_name_and_not_by_their_place(model):
    source = planted(400, 5)
    turned = replace(source, header=replace(HEADER, class_names=("blob", "empty")))
    turned.labels = 1 - source.labels
    one, other = (judgement(model, each) for each in (source, turned))
    assert np.array_equal(one.scores.confusion, other.scores.confusion)


def test_generated_images_and_those_without_a_class_do_not_judge(model):
    source = planted(100, 5)
    source.parameters[GENERATED] = (np.arange(100) >= 90).astype(float)
    source.labels[:7] = -1
    found = judgement(model, source)
    assert found.scores.num_images.sum() == 83
    assert "images of no known class, left out: 7" in found.notes
    assert "generated images, which do not judge, left out: 10" in found.notes


def test_another_mix_is_said_and_can_be_chosen(model):
    source = planted(200, 5)
    keep = np.flatnonzero((source.labels == 0) | (np.arange(200) % 8 == 1))
    source.images, source.labels = source.images[keep], source.labels[keep]
    own = judgement(model, source)
    assert "another mix of classes: empty 50% (here 80%)" in own.notes[1]
    fitting = judgement(model, source, "data")
    assert fitting.notes == (NOT_LOOKED_FOR,)
    assert fitting.facts["judging"]["probabilities_for"] == {"empty": 0.8, "blob": 0.2}
    assert fitting.scores.auc == pytest.approx(own.scores.auc)
    assert fitting.scores.recall[0] > own.scores.recall[0]


def test_the_training_set_itself_is_recognised(tmp_path):
    source = planted(60, 5)
    folder = tmp_path / "c"
    save_model(folder, untrained())
    found = judgement(folder, source)
    digest = found.facts["data"]["digest"]
    assert TRAINED_ON_IT not in found.notes
    (folder / TRAINING).write_text(f'{{"data_fingerprint": "{digest}"}}')
    assert judgement(folder, source).notes[0] == TRAINED_ON_IT


def test_classes_of_the_set_are_merged_into_those_of_the_classifier(tmp_path):
    save_model(tmp_path / "c", untrained(replace(CONFIG, merged=(("ring", "blob"),))))
    source = planted(40, 0)
    source.header = replace(HEADER, class_names=("empty", "ring", "arc"))
    source.labels[3] = 2
    classifier = opened(tmp_path / "c")
    candidates = classifier.prepare(source)
    assert candidates.unknown == ("arc",)
    assert candidates.label_names[:4] == ("empty", "blob", "empty", "arc")
    with pytest.raises(GravLensError, match="class 'arc', only empty, blob; `map` arc=empty"):
        candidates.check_judgeable()
    classifier.prepare(source, {"arc": "blob"}).check_judgeable()
    with pytest.raises(GravLensError, match="no class 'disc'; there are"):
        classifier.prepare(source, {"disc": "blob"})


def test_sets_that_cannot_judge_are_refused(model):
    source = planted(40, 0)
    source.labels[:] = 1
    with pytest.raises(GravLensError, match="no image of class 'empty'"):
        judgement(model, source)
    source.labels[:] = -1
    with pytest.raises(GravLensError, match="no classes to judge by"):
        judgement(model, source)


def test_a_notebook_fits_predicts_scores_saves_and_loads(tmp_path):
    labelled, others = planted(100, 0), planted(30, 5)
    classifier = LensClassifier(RECIPE, device="cpu")
    with pytest.raises(GravLensError, match=r"not trained yet; call its fit\(\) first"):
        classifier.predict(others)
    assert classifier.fit(labelled) is classifier
    chances = classifier.predict_proba(others)
    assert chances.shape == (30, 2)
    assert chances.sum(axis=1) == pytest.approx(np.ones(30))
    names = np.array(HEADER.class_names, dtype=object)
    assert np.array_equal(classifier.predict(others), names[chances.argmax(axis=1)])
    classifier.save(tmp_path / "c")
    again = opened(tmp_path / "c")
    assert np.array_equal(again.predict_proba(others), chances)
    assert again.score(others).scores.auc == classifier.score(others).scores.auc
    with pytest.raises(GravLensError, match="copies of those in the classifier's training set"):
        again.score(labelled)
