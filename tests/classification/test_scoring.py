from dataclasses import replace

import numpy as np
import pytest

from gravlensdiffusion.classification.fitting import TRAINING
from gravlensdiffusion.classification.scoring import (
    TRAINED_ON_IT,
    check_judgeable,
    judge_set,
    prepare_sorting,
)
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import save_model
from gravlensdiffusion.sets.records import GENERATED
from tests.classification.networks import CONFIG, untrained
from tests.classification.planted import HEADER, planted, trained


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "planted"
    network = trained().network
    network.config = replace(network.config, pixel_scale_arcsec=0.1, flux_unit="e-/s")
    save_model(folder, network)
    return folder


def judgement(sorting, prior="training"):
    return judge_set(
        sorting,
        sorting.predict("cpu"),
        prior=prior,
        model_name="planted",
        data_name="set.h5",
        seed=0,
    )


def test_a_set_is_judged(model):
    found = judgement(prepare_sorting(model, planted(400, 5)))
    assert found.title == "planted on set.h5"
    assert found.scores.auc > 0.9
    assert found.notes == ()
    assert found.facts["data"]["images"] == 400


def test_classes_are_known_by_their_name_and_not_by_their_place(model):
    source = planted(400, 5)
    turned = replace(source, header=replace(HEADER, class_names=("blob", "empty")))
    turned.labels = 1 - source.labels
    one, other = (judgement(prepare_sorting(model, each)) for each in (source, turned))
    assert np.array_equal(one.scores.confusion, other.scores.confusion)


def test_generated_images_and_those_without_a_class_do_not_judge(model):
    source = planted(100, 5)
    source.parameters[GENERATED] = (np.arange(100) >= 90).astype(float)
    source.labels[:7] = -1
    found = judgement(prepare_sorting(model, source))
    assert found.scores.num_images.sum() == 83
    assert "images of no known class, left out: 7" in found.notes
    assert "generated images, which do not judge, left out: 10" in found.notes


def test_another_mix_is_said_and_can_be_chosen(model):
    source = planted(200, 5)
    keep = np.flatnonzero((source.labels == 0) | (np.arange(200) % 8 == 1))
    source.images, source.labels = source.images[keep], source.labels[keep]
    sorting = prepare_sorting(model, source)
    assert "another mix of classes: empty 50% (here 80%)" in judgement(sorting).notes[0]
    fitting = judgement(sorting, "data")
    assert fitting.notes == ()
    assert fitting.facts["judging"]["probabilities_for"] == {"empty": 0.8, "blob": 0.2}
    assert fitting.scores.auc == pytest.approx(judgement(sorting).scores.auc)
    assert fitting.scores.recall[0] > judgement(sorting).scores.recall[0]


def test_the_training_set_itself_is_recognised(tmp_path):
    source = planted(60, 5)
    folder = tmp_path / "c"
    save_model(folder, untrained())
    sorting = prepare_sorting(folder, source)
    digest = sorting.predict("cpu").digest
    assert TRAINED_ON_IT not in judgement(sorting).notes
    (folder / TRAINING).write_text(f'{{"data_fingerprint": "{digest}"}}')
    assert judgement(prepare_sorting(folder, source)).notes[0] == TRAINED_ON_IT


def test_classes_of_the_set_are_merged_into_those_of_the_classifier(tmp_path):
    save_model(tmp_path / "c", untrained(replace(CONFIG, merged=(("ring", "blob"),))))
    source = planted(40, 0)
    source.header = replace(HEADER, class_names=("empty", "ring", "arc"))
    source.labels[3] = 2
    sorting = prepare_sorting(tmp_path / "c", source)
    assert sorting.unknown == ("arc",)
    assert sorting.label_names[:4] == ("empty", "blob", "empty", "arc")
    with pytest.raises(GravLensError, match="class 'arc', only empty, blob; `merge` empty=arc"):
        check_judgeable(sorting)
    check_judgeable(prepare_sorting(tmp_path / "c", source, {"arc": "blob"}))
    with pytest.raises(GravLensError, match="no class 'disc' to merge"):
        prepare_sorting(tmp_path / "c", source, {"disc": "blob"})


def test_sets_that_cannot_judge_are_refused(model):
    source = planted(40, 0)
    source.labels[:] = 1
    with pytest.raises(GravLensError, match="no image of class 'empty'"):
        check_judgeable(prepare_sorting(model, source))
    source.labels[:] = -1
    with pytest.raises(GravLensError, match="no classes to judge by"):
        check_judgeable(prepare_sorting(model, source))
