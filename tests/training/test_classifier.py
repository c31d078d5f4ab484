from dataclasses import replace

import numpy as np
import pytest
import torch

from gravlensdiffusion.classification.judgement import probabilities
from gravlensdiffusion.classification.scores import Reliability, Scores
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.records import GENERATED, SetHeader
from gravlensdiffusion.training.classifier import (
    _fit_temperature,
    configure,
    predict_logits,
    train_classifier,
)
from gravlensdiffusion.training.validation import split
from tests.classification.networks import CONFIG
from tests.classification.planted import (
    BEST_AUC,
    NAMES,
    NOISE,
    RECIPE,
    planted,
    trained,
)
from tests.sources import ArraySource

SHORT = replace(RECIPE, total_images=192, batch_size=16, check_images=64)
TEST = planted(4000, 9)
LABELS = TEST.labels.astype(np.int64)


def said(training):
    """Return probabilities of the test images."""
    return probabilities(training.network.config, predict_logits(training.network, TEST.images))


def test_a_planted_problem_is_learned_almost_as_well_as_it_can_be():
    found = Scores.of(said(trained()), LABELS, NAMES)
    # The deviation of such an area, by chance, is 0.003.
    assert BEST_AUC - 0.025 < found.auc < BEST_AUC + 0.01
    assert found.calibration_error < 0.06


def test_from_shuffled_labels_nothing_is_learned():
    source = planted(3000, 0)
    source.labels = np.random.default_rng(1).permutation(source.labels)
    recipe = replace(RECIPE, total_images=3_200)
    training = train_classifier(source, recipe, device="cpu")
    found = Scores.of(said(training), LABELS, NAMES)
    # Whatever it ranks by, its area on other images may differ from 0.5 by what 3,000 labels that
    # mean nothing and 4,000 images allow by chance, and by no more.
    assert found.auc == pytest.approx(0.5, abs=0.15)
    held = training.held_out
    p = probabilities(
        training.network.config, predict_logits(training.network, source.images, held)
    )
    labels = source.labels[held].astype(np.int64)
    # Of 600 images, half of each class: the deviation is sqrt(1 / (12 * 150)).
    assert Scores.of(p, labels, NAMES).auc == pytest.approx(0.5, abs=3 * 0.0236)
    # It knows that it knows nothing.
    assert np.abs(p - 0.5).max() < 0.2


def test_probabilities_are_calibrated_on_the_held_out_images():
    training, data = trained(), planted(3000, 0)
    config, held = training.network.config, training.held_out
    logits = predict_logits(training.network, data.images, held)

    def loss(factor):
        scaled = replace(config, temperature=factor * config.temperature)
        return Scores.of(probabilities(scaled, logits), data.labels[held], NAMES).log_loss

    assert loss(1.0) < min(loss(0.95), loss(1.05), loss(1 / config.temperature))


def test_training_ends_when_nothing_gets_better_and_keeps_the_best_weights():
    data = planted(60, 0)
    recipe = replace(SHORT, total_images=16 * 400, check_images=16, patience=2, learning_rate=0.02)
    training = train_classifier(data, recipe, device="cpu")
    looks, held = training.looks, training.held_out
    assert len(looks) < 400
    assert [each["is_best"] for each in looks[-3:]] == [True, False, False]
    # The held-out loss is that before calibration.
    plain = replace(training.network.config, temperature=1.0)
    p = probabilities(plain, predict_logits(training.network, data.images, held))
    best = looks[-3]["held_out_loss"]
    assert best == min(each["held_out_loss"] for each in looks)
    assert Scores.of(p, data.labels[held], NAMES).log_loss == pytest.approx(best, rel=1e-5)


def short(source, **changes):
    return train_classifier(source, replace(SHORT, **changes), device="cpu")


def weights(training):
    return torch.cat([each.flatten() for each in training.network.state_dict().values()])


def test_the_same_seed_gives_the_same_classifier_and_leaves_global_generators_alone():
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first, second = (weights(short(planted(80, 0))) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, weights(short(planted(80, 0), seed=4)))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.random.get_state()[1].tolist() == legacy  # noqa: NPY002


class Watched(ArraySource):
    """A set that remembers which images were asked for after which."""

    def __init__(self, source):
        super().__init__(source.images, source.labels, source.header, source.parameters)
        self.asked = []

    def read(self, indices):
        self.asked.append(np.asarray(indices))
        return super().read(indices)


def test_held_out_images_do_not_train_and_generated_ones_do_not_judge():
    source = planted(120, 0)
    generated = np.arange(120) >= 60
    source.parameters[GENERATED] = generated.astype(float)
    watched = Watched(source)
    trained_on, held_out = split(source, SHORT.held_out, SHORT.seed)
    training = train_classifier(watched, SHORT, device="cpu")
    assert np.array_equal(training.held_out, held_out)
    assert not generated[held_out].any()
    # First come the scales, then steps of 16 images and looks at the held-out ones.
    for where in watched.asked:
        assert np.array_equal(where, held_out) or set(where) <= set(trained_on)
    steps = np.concatenate([each for each in watched.asked if len(each) == 16])
    assert generated[steps].any()
    # What the held-out images show changes no step, so that the first look's loss is the same.
    other = replace(source, images=source.images.copy())
    other.images[held_out] = other.images[held_out][:, :, ::-1]
    again = train_classifier(other, SHORT, device="cpu")
    assert again.looks[0]["loss"] == training.looks[0]["loss"]
    assert again.looks[0]["held_out_loss"] != training.looks[0]["held_out_loss"]


def uneven(num=300):
    source = planted(num, 0)
    keep = np.flatnonzero((source.labels == 0) | (np.arange(num) % 10 == 1))
    source.images, source.labels = source.images[keep], source.labels[keep]
    return source


def test_probabilities_are_for_the_mix_that_was_trained_on():
    mixes = {
        balance: short(uneven(), balance=balance).network.config.class_mix
        for balance in ("none", "weights", "oversample")
    }
    assert mixes["none"] == pytest.approx((5 / 6, 1 / 6))
    assert mixes["weights"] == mixes["oversample"] == (0.5, 0.5)


def test_rare_classes_come_more_often_where_that_is_asked_for():
    source = uneven()
    shares = {}
    for balance in ("none", "oversample"):
        watched = Watched(source)
        recipe = replace(SHORT, total_images=640, balance=balance)
        train_classifier(watched, recipe, device="cpu")
        steps = np.concatenate([each for each in watched.asked if len(each) == 16])
        shares[balance] = source.labels[steps].mean()
    assert shares["none"] == pytest.approx(1 / 6, abs=0.06)
    assert shares["oversample"] == pytest.approx(1 / 2, abs=0.08)


def test_the_temperature_of_known_logits_is_found():
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (20_000, 3))
    odds = np.exp(logits)
    cumulated = np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)
    labels = (random.random((20_000, 1)) > cumulated).sum(axis=1).clip(max=2)
    found = _fit_temperature(
        torch.from_numpy(3 * logits), torch.from_numpy(labels), torch.ones(20_000)
    )
    assert found == pytest.approx(3, rel=0.04)
    config = replace(CONFIG, class_names=tuple("abc"), class_mix=(0.2, 0.3, 0.5))
    before, after = (
        Reliability.of(
            probabilities(replace(config, temperature=t), (3 * logits).astype(np.float32)), labels
        ).error
        for t in (1.0, found)
    )
    assert before > 0.15
    assert after < 0.02


def test_another_mix_follows_from_the_theorem_of_bayes():
    logits = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    p = probabilities(CONFIG, logits)
    assert p.sum(axis=1) == pytest.approx(1)
    expected = p * np.array([0.1, 0.9]) / np.array(CONFIG.class_mix)
    expected /= expected.sum(axis=1, keepdims=True)
    assert probabilities(CONFIG, logits, np.array([0.1, 0.9])) == pytest.approx(expected)


def test_logits_do_not_depend_on_the_batch():
    network, images = trained().network, TEST.images[:50]
    whole = predict_logits(network, images)
    assert predict_logits(network, images[:7]) == pytest.approx(whole[:7], abs=1e-4)
    places = np.array([3, 40])
    assert predict_logits(network, images, places) == pytest.approx(whole[places], abs=1e-4)


def test_sky_noise_and_brightness_are_measured():
    images = 2 + NOISE * np.random.default_rng(0).normal(size=(50, 1, 40, 40))
    images[:, :, 10:20, 10:20] += 3
    data = ArraySource(images.astype(np.float32), np.arange(50) % 2, SetHeader(class_names=NAMES))
    config = configure(data, SHORT, np.arange(50))
    (sky,), (noise,), (bright,) = config.sky, config.noise, config.bright
    assert sky == pytest.approx(2, abs=NOISE)
    assert noise == pytest.approx(NOISE, rel=0.1)
    assert bright == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((20, 1, 6, 6)), "8 pixels or more, these have 6 x 6"),
        (np.zeros((20, 1, 9, 12)), "square images"),
        (np.zeros((20, 1, 8, 8)), "no bright pixels"),
    ],
)
def test_images_that_cannot_be_learned_from_are_refused(images, words):
    source = planted(20, 0)
    source.images = images.astype(np.float32)
    with pytest.raises(GravLensError, match=words):
        train_classifier(source, SHORT, device="cpu")


def test_a_loss_that_is_not_finite_ends_training():
    source = planted(40, 0)
    source.images[:10] *= np.float32(1e37)
    with pytest.raises(GravLensError, match="not finite"):
        train_classifier(source, SHORT, device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(GravLensError, match="no CUDA device"):
        train_classifier(planted(20, 0), SHORT, device="cuda")


@pytest.mark.parametrize("size", [8, 28, 47, 48, 64, 150])
def test_the_last_map_has_four_to_seven_pixels_a_side(size):
    source = planted(20, 0)
    source.images = np.random.default_rng(0).random((20, 1, size, size), dtype=np.float32)
    config = configure(source, RECIPE, np.arange(10))
    for stride in config.strides:
        size = (size - 1) // stride + 1
    assert 4 <= size <= 7
