"""Parameters of images that are asked for none."""

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import ks_2samp, spearmanr

from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.generation import prior
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.prior import draw_missing_parameters
from tests.models import LEARNED, ORDERED, PRIOR, SIGNAL_TO_NOISE, SOURCE_X, THETA_E, awake

SOURCE_Y = replace(SOURCE_X, name="source_y")
CONFIG = replace(ORDERED, parameters=(THETA_E, SOURCE_X, SOURCE_Y, SIGNAL_TO_NOISE))
NUM = 2000


@pytest.fixture(scope="module")
def table() -> NDArray[np.float64]:
    """Training images of two classes: radii of 0.8 to 1.1 and of 1.2 to 1.6; y follows x."""
    rng = np.random.default_rng(1)
    label = np.arange(NUM) % 2
    radius = np.where(label == 0, rng.uniform(0.8, 1.1, NUM), rng.uniform(1.2, 1.6, NUM))
    x = rng.uniform(-0.4, 0.4, NUM)
    y = x + rng.uniform(-0.1, 0.1, NUM)
    ratio = 10 * radius
    return np.stack([label, radius, x, y, ratio], axis=1)


def drawn(
    table: NDArray[np.float64],
    labels: NDArray[np.int16],
    config: ModelConfig = CONFIG,
    asked: Mapping[int, NDArray[np.float64]] = MappingProxyType({}),
) -> NDArray[np.float64]:
    parameters = np.full((len(labels), len(config.parameters)), np.nan)
    for column, values in asked.items():
        parameters[:, column] = values
    draw_missing_parameters(known_by(table, config), labels, parameters, range(len(labels)), seed=3)
    return parameters


def known_by(table: NDArray[np.float64], config: ModelConfig) -> Any:
    """Return what of a model counts here: a table of training images, and nothing that is computed."""
    config = replace(config, prior_size=len(table))
    return SimpleNamespace(config=config, prior=torch.from_numpy(table), expected=None)


def test_they_are_spread_as_in_the_class_of_the_training_set(table: NDArray[np.float64]) -> None:
    labels = (np.arange(NUM) % 2).astype(np.int16)
    found = drawn(table, labels)
    for label in (0, 1):
        for column in range(3):
            known = table[table[:, 0] == label, 1 + column]
            assert ks_2samp(found[labels == label, column], known).pvalue > 0.001
    assert spearmanr(found[:, 1], found[:, 2]).statistic > 0.7
    assert abs(spearmanr(found[:, 0], found[:, 1]).statistic) < 0.1


def test_what_is_left_out_is_drawn_given_what_is_asked(table: NDArray[np.float64]) -> None:
    labels = np.zeros(NUM, dtype=np.int16)
    x = np.linspace(-0.3, 0.3, NUM)
    found = drawn(table, labels, asked={1: x})
    assert np.array_equal(found[:, 1], x)
    # y follows x within 0.1, and the width of the kernel; the radius does not.
    assert np.corrcoef(found[:, 2], x)[0, 1] > 0.6
    assert abs(np.mean(found[:, 2] - x)) < 0.02
    assert ks_2samp(found[:, 0], table[table[:, 0] == 0, 1]).pvalue > 0.001
    # What follows from the others tells of them.
    found = drawn(table, labels, asked={3: np.linspace(8.5, 10.5, NUM)})
    assert spearmanr(found[:, 0], found[:, 3]).statistic > 0.6
    # Beyond what was seen, the nearest.
    found = drawn(table, labels, asked={1: np.full(NUM, 0.7)})
    assert found[:, 2].mean() > 0.25


def test_what_follows_from_the_others_is_met_where_it_can_be_computed(
    table: NDArray[np.float64], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prior, "_can_derive", lambda _: True)
    monkeypatch.setattr(prior, "_derive", lambda _, parameters: 10 * parameters[:, 0])
    asked = np.linspace(8.5, 10.5, 200)
    parameters = drawn(table, np.zeros(200, np.int16), asked={3: asked})
    assert np.array_equal(parameters[:, 3], asked)
    assert np.median(np.abs(10 * parameters[:, 0] / asked - 1)) < 0.01


def test_no_image_takes_those_of_a_training_image(table: NDArray[np.float64]) -> None:
    labels = np.zeros(NUM, dtype=np.int16)
    found = drawn(table, labels)
    rows = {tuple(row[1:4]) for row in table}
    assert not any(tuple(row[:3]) in rows for row in found)
    # They are as far from them as training images are from one another.
    own = table[table[:, 0] == 0, 1:4]
    scaled = [values / own.std(axis=0) for values in (found[:300, :3], own)]
    to_training = np.linalg.norm(scaled[0][:, None] - scaled[1], axis=-1).min(axis=1)
    among = np.linalg.norm(scaled[1][:300, None] - scaled[1], axis=-1)
    among[among == 0] = np.inf
    assert np.median(to_training) > 0.8 * np.median(among.min(axis=1))


def test_parameters_are_drawn_together_only_where_they_depend_on_each_other() -> None:
    # A disc of sources, of which neither coordinate tells the sign of the other, and a radius.
    rng = np.random.default_rng(2)
    angle, away = rng.uniform(0, 2 * np.pi, NUM), rng.uniform(0.3, 0.4, NUM)
    x, y = away * np.cos(angle), away * np.sin(angle)
    radius = rng.uniform(0.8, 1.6, NUM)
    disc = np.stack([np.zeros(NUM), radius, x, y, 10 * radius], axis=1)
    found = drawn(disc, np.zeros(NUM, dtype=np.int16))
    assert np.mean(np.hypot(found[:, 1], found[:, 2]) < 0.15) < 0.05
    assert spearmanr(np.abs(found[:, 1]), np.abs(found[:, 2])).statistic < -0.6
    assert abs(spearmanr(found[:, 0], found[:, 1]).statistic) < 0.1


def test_a_model_of_before_takes_those_of_a_training_image(table: NDArray[np.float64]) -> None:
    found = drawn(table, np.zeros(50, dtype=np.int16), replace(CONFIG, prior_draws="rows"))
    rows = {tuple(row[1:]) for row in table if row[0] == 0}
    assert {tuple(row) for row in found} <= rows


def test_what_follows_from_the_others_is_left_to_the_model(table: NDArray[np.float64]) -> None:
    labels = np.zeros(20, dtype=np.int16)
    assert np.isnan(drawn(table, labels)[:, 3]).all()
    alone = replace(CONFIG, parameters=(SIGNAL_TO_NOISE,))
    assert np.isfinite(drawn(table[:, [0, 4]], labels, alone)).all()


def test_what_training_images_lack_is_left_out_as_often(table: NDArray[np.float64]) -> None:
    lacking = table.copy()
    lacking[::4, 2:4] = np.nan
    found = drawn(lacking, np.zeros(NUM, dtype=np.int16))
    missing = np.isnan(found[:, 1])
    assert missing.mean() == pytest.approx(0.5, abs=0.05)
    assert np.array_equal(missing, np.isnan(found[:, 2]))
    assert np.isfinite(found[:, 0]).all()


def test_a_value_that_many_share_is_drawn_as_often(table: NDArray[np.float64]) -> None:
    shared = table.copy()
    shared[:, 2] = np.where(np.arange(NUM) % 10 < 4, 0.0, 0.25)
    found = drawn(shared, np.zeros(NUM, dtype=np.int16))[:, 1]
    assert set(found) == {0.0, 0.25}
    assert np.mean(found == 0.0) == pytest.approx(0.4, abs=0.05)


def test_images_that_nothing_is_asked_of_are_like_training_images(
    ordering: LensGenerator,
) -> None:
    request = ordering.request(60, label=["no_sub", "cdm"], seed=5)
    rows = {label: np.array([row[1:3] for row in PRIOR if row[0] == label]) for label in (0, 1)}
    for k, values in enumerate(request.parameters):
        assert all(value in column for value, column in zip(values, rows[k % 2].T, strict=False))
    # The signal-to-noise ratio follows from the lens.
    assert np.isnan(request.parameters[:, 2]).all()
    # Of a class that the table lacks, and of any class, every row will do.
    for label in ("axion", "any"):
        found = ordering.request(60, label=label, seed=5).parameters
        assert set(found[:, 0]) == {row[1] for row in PRIOR}
    samples = ordering.sample(2, label="cdm", seed=5)
    assert set(samples.parameters["theta_E"]) <= set(rows[1][:, 0])


def test_parameters_of_training_images_can_be_ordered_again() -> None:
    # In single precision 0.1 is larger than 0.1, by more than is forgiven.
    source_x = replace(ORDERED.parameters[1], low=-0.5, high=0.1)
    generator = LensGenerator(awake(replace(ORDERED, parameters=(source_x,))))
    generator.model.prior = torch.tensor([[0.0, 0.1], [0.0, math.nan]]).repeat(3, 1)
    found = generator.request(30).parameters[:, 0]
    assert np.array_equal(np.unique(found), [0.1, np.nan], equal_nan=True)
    generator.request(30, parameters={"source_x": found})


def test_what_is_asked_for_is_left_as_it_is(ordering: LensGenerator) -> None:
    radii = np.array([np.nan, 1.2, np.nan, 1.3, np.nan])
    asked = ordering.request(5, label="cdm", parameters={"theta_E": radii}, seed=5).parameters
    assert asked[[1, 3], 0].tolist() == [1.2, 1.3]
    # The rest is drawn; the signal-to-noise ratio follows from the lens.
    assert np.isfinite(asked[:, :2]).all()
    assert np.isnan(asked[:, 2]).all()
    # The values of image k depend on the seed, on k, its class and what is asked of it alone.
    alone = ordering.request(5, label="cdm", seed=5).parameters
    assert np.array_equal(alone[[0, 2, 4]], asked[[0, 2, 4]], equal_nan=True)
    fewer = ordering.request(3, label="cdm", seed=5).parameters
    assert np.array_equal(fewer, alone[:3], equal_nan=True)
    drawn = {ordering.request(3, label="cdm", seed=k).parameters.tobytes() for k in range(5)}
    assert len(drawn) > 1
    asked = {"theta_E": np.array([1.1, 1.2]), "source_x": 0.1, "signal_to_noise": 20.0}
    drawn = {ordering.request(2, parameters=asked, seed=k).parameters.tobytes() for k in range(5)}
    assert len(drawn) == 1


def test_a_model_without_a_table_leaves_values_open() -> None:
    generator = LensGenerator(awake(replace(ORDERED, prior_size=0)))
    assert np.isnan(generator.request(3).parameters).all()
    plain = LensGenerator(awake(LEARNED))
    samples = plain.sample(2)
    assert samples.parameters == {}
    assert samples.noise_free is None


def test_any_class_has_the_parameters_of_all(table: NDArray[np.float64]) -> None:
    few = table.copy()
    few[:3, 0] = -1
    few[:3, 1] = 0.95
    found = drawn(few, np.full(NUM, -1, np.int16))[:, 0]
    assert ks_2samp(found, few[:, 1]).pvalue > 0.001


def test_images_without_what_is_asked_for_are_no_neighbours(table: NDArray[np.float64]) -> None:
    some = table.copy()
    some[::4, 1:4] = np.nan  # no lenses
    labels = np.full(400, -1, np.int16)
    found = drawn(some, labels, asked={0: np.full(400, 1.0), 3: np.full(400, 10.0)})
    assert np.isfinite(found[:, 1:3]).all()
    some[:, 1] = np.nan
    assert drawn(some, labels, asked={0: np.full(400, 1.0)}).shape == (400, 4)
