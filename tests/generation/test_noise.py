"""Noise of the instrument on the images of a model, and their scale."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from gravlensdiffusion.config.instrument import NoiseLevel, ObservationConfig
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.noise import (
    add_noise,
    asked_noise,
    known_noise,
    noise_of_images,
)
from gravlensdiffusion.generation.samples import LensSamples
from gravlensdiffusion.sets.flux import peak_scaled
from tests.models import LEARNED, ORDERED, SKY, awake

DARK = np.zeros((300, 1, 8, 8), dtype=np.float32)


def lenses(num: int = 5) -> np.ndarray:
    """Return images as a network leaves them: some pixels below zero, no two images alike."""
    random = np.random.default_rng(0)
    return random.normal(0.5, 1.0, (num, 1, 8, 8)).astype(np.float32)


def noise(
    flux: np.ndarray,
    sky: ObservationConfig = SKY,
    *,
    exposure_s: float | None = None,
    sky_rms: float | None = None,
) -> np.ndarray:
    """Return the noise that is added to images."""
    observation = asked_noise(replace(ORDERED, observation=sky), exposure_s, sky_rms, "tiny")
    assert observation is not None
    return add_noise(flux, observation, range(len(flux)), seed=1) - flux


def finished(config: ModelConfig, flux: np.ndarray, **asked: object) -> LensSamples:
    """Return images that a network has left as they are handed out."""
    generator = LensGenerator(awake(config), "tiny")
    generator.to_flux = lambda _: flux.copy()  # type: ignore[method-assign]
    return generator.finished(generator.request(len(flux), **asked), torch.zeros(0))


def test_what_is_cut_off_at_zero_is_counted_and_told_where_it_matters() -> None:
    flux = np.full((25, 1, 8, 8), 0.5, dtype=np.float32)
    flux[0, 0, :4, :2] = -0.01
    shallow = finished(ORDERED, flux).clipping
    assert shallow.num_below == 0.005 * flux.size
    assert shallow.note() == ""
    # Where the zeros can be seen, every one of them is told.
    assert shallow.note(seen=True).startswith("0.5% of the pixels were below zero")
    flux[0, 0, :4, :2] = -0.3
    line = (shallow + finished(ORDERED, flux).clipping).note()
    assert "the lowest at -0.3, and were set to 0; 0.25% by more than the noise of the sky" in line
    assert finished(LEARNED, flux).clipping.note(seen=True) == ""


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_pixels_that_too_few_steps_leave_without_bound_are_refused(value: float) -> None:
    flux = np.full((2, 1, 8, 8), 0.5, dtype=np.float32)
    flux[1, 0, 3, 4] = value
    with pytest.raises(GravLensError, match="not finite in 3 steps of sampler 'dpmpp'; take more"):
        finished(ORDERED, flux)


@pytest.mark.parametrize(("sky_rms", "expected"), [(None, 0.1), (0.03, 0.03), (2.0, 2.0)])
def test_the_sky_has_the_rms_that_was_asked_for(sky_rms: float | None, expected: float) -> None:
    drawn = noise(DARK, sky_rms=sky_rms)
    # 19,200 pixels: the rms scatters by half a per cent.
    assert drawn.std() == pytest.approx(expected, rel=0.02)
    assert drawn.mean() == pytest.approx(0, abs=0.03 * expected)


@pytest.mark.parametrize(("exposure_s", "expected"), [(None, 0.1), (100.0, 0.2), (25.0, 0.4)])
def test_the_galaxies_have_the_photon_noise_of_the_exposure(
    exposure_s: float | None, expected: float
) -> None:
    sky = replace(SKY, background_rms=0.0, exposure_time=400.0)
    flux = np.full_like(DARK, 4.0)
    assert noise(flux, sky, exposure_s=exposure_s).std() == pytest.approx(expected, rel=0.02)
    # Where there is no light, there is no such noise.
    assert not noise(DARK, sky, exposure_s=exposure_s).any()


def test_a_set_without_photon_noise_can_be_given_some() -> None:
    sky = replace(SKY, background_rms=0.0)
    flux = np.full_like(DARK, 4.0)
    assert not noise(flux, sky).any()
    assert noise(flux, sky, exposure_s=100.0).std() == pytest.approx(0.2, rel=0.02)


def test_a_smaller_model_gets_the_noise_of_the_reduced_native_image() -> None:
    sky = ObservationConfig(num_pixels=16, background_rms=0.1, resize="area")
    # A pixel of the image holds the flux of four native pixels, and their noise.
    assert noise(DARK, sky).std() == pytest.approx(0.2, rel=0.02)


def test_what_is_known_of_the_noise() -> None:
    assert asked_noise(ORDERED, None, None, "tiny") == ORDERED.observation
    assert known_noise(ORDERED.observation) == {"background_rms": 0.1}
    deeper = asked_noise(ORDERED, 500.0, 0.02, "tiny")
    assert known_noise(deeper) == {"background_rms": 0.02, "exposure_time": 500.0}
    assert asked_noise(LEARNED, None, None, "tiny") is None
    assert known_noise(None) == {}


def test_noise_of_image_k_depends_on_seed_and_k_alone() -> None:
    flux = lenses(6)
    whole = add_noise(flux, SKY, range(6), seed=3)
    part = add_noise(flux[[4, 1]], SKY, [4, 1], seed=3)
    assert np.array_equal(part, whole[[4, 1]])
    other = add_noise(flux, SKY, range(6), seed=4)
    assert not np.isclose(other, whole).any(axis=(1, 2, 3)).all()
    one, two = add_noise(np.repeat(flux[:1], 2, axis=0), SKY, [0, 1], seed=3)
    assert np.abs(one - two).max() > 0.05


def test_no_lens_is_darker_than_the_sky() -> None:
    flux = lenses()
    samples = finished(ORDERED, flux)
    assert samples.noise_free is not None
    assert flux.min() < -0.1
    assert np.array_equal(samples.noise_free, np.where(flux > 0, flux, 0))
    assert samples.images.dtype == samples.noise_free.dtype == np.float32
    assert samples.images.shape == samples.noise_free.shape == flux.shape
    assert finished(ORDERED, flux, noise_free=False).noise_free is None


def test_images_of_a_model_with_noise_of_its_own_stay_as_they_are() -> None:
    flux = lenses()
    samples = finished(LEARNED, flux)
    assert np.array_equal(samples.images, flux)
    assert samples.noise_free is None


@pytest.mark.parametrize("config", [ORDERED, LEARNED], ids=["split", "learned"])
def test_peak_scales_each_image_and_its_twin_alike(config: ModelConfig) -> None:
    flux = lenses()
    plain, scaled = finished(config, flux), finished(config, flux, flux_unit="peak")
    assert scaled.header.flux_unit == "peak"
    assert scaled.images.dtype == np.float32
    low, high = plain.images.min((1, 2, 3)), plain.images.max((1, 2, 3))
    for k in range(5):
        assert (scaled.images[k].min(), scaled.images[k].max()) == (0, 1)
        line = np.polynomial.Polynomial([-low[k], 1]) / (high[k] - low[k])
        np.testing.assert_allclose(scaled.images[k], line(plain.images[k]), atol=1e-6)
        if plain.noise_free is not None:
            assert scaled.noise_free is not None
            expected = line(plain.noise_free[k])
            np.testing.assert_allclose(scaled.noise_free[k], expected, atol=1e-6)
    assert (scaled.noise_free is None) == (plain.noise_free is None)


def test_peak_of_peak_and_of_a_constant_image_change_nothing() -> None:
    flux = lenses()
    peaks = replace(LEARNED, flux_unit="peak")
    assert np.array_equal(finished(peaks, flux, flux_unit="peak").images, flux)
    even, _ = peak_scaled(DARK, None)
    assert not even.any()


@pytest.mark.parametrize(
    ("config", "exposure_s", "sky_rms", "message"),
    [
        (LEARNED, None, 0.1, "'tiny' has learned its noise with its lenses"),
        (LEARNED, 100.0, None, "exposure and sky rms cannot be ordered"),
        (ORDERED, 0.0, None, "exposure_time must lie between 0.001 and .*, got 0"),
        (ORDERED, None, -0.1, "background_rms must lie between 0 and .*, got -0.1"),
    ],
)
def test_noise_that_cannot_be(
    config: ModelConfig, exposure_s: float | None, sky_rms: float | None, message: str
) -> None:
    with pytest.raises(GravLensError, match=message):
        asked_noise(config, exposure_s, sky_rms, "tiny")


def test_each_image_has_a_depth_of_the_training_set_and_says_which() -> None:
    levels = (
        NoiseLevel(background_rms=0.05, exposure_time=900.0),
        NoiseLevel(background_rms=0.2),
    )
    sky = replace(SKY, depths=levels)
    drawn = noise(DARK, sky)
    known = noise_of_images(sky, range(len(DARK)), seed=1)
    np.testing.assert_allclose(drawn.std((1, 2, 3)) / known["background_rms"], 1, atol=0.4)
    deep = known["background_rms"] == 0.05
    assert deep.mean() == pytest.approx(0.5, abs=0.12)
    assert drawn[deep].std() == pytest.approx(0.05, rel=0.03)
    assert drawn[~deep].std() == pytest.approx(0.2, rel=0.03)
    # An image has its depth and its noise wherever it is drawn.
    alone = add_noise(DARK[:2], sky, [7, 8], seed=1)
    np.testing.assert_array_equal(alone, drawn[7:9])
    # A depth that is asked for is that of all images.
    assert noise(DARK, sky, sky_rms=0.1).std() == pytest.approx(0.1, rel=0.02)


def test_where_depths_differ_samples_do_not_state_a_signal_to_noise() -> None:
    sky = replace(SKY, depths=(NoiseLevel(background_rms=0.05), NoiseLevel(background_rms=0.2)))
    samples = finished(replace(ORDERED, observation=sky), lenses(20))
    assert set(samples.parameters["background_rms"]) == {0.05, 0.2}
    assert (
        "signal_to_noise" not in samples.parameters
        or np.isnan(samples.parameters["signal_to_noise"]).all()
    )


@pytest.mark.parametrize(
    ("asked", "is_known"),
    [
        ({}, True),
        ({"flux_unit": "peak"}, True),
        ({"exposure_s": 100.0}, False),
        ({"sky_rms": 0.2}, False),
        ({"sky_rms": 0.1}, True),
    ],
)
def test_a_signal_to_noise_ratio_is_that_of_the_training_depth(
    ordering: LensGenerator, asked: dict[str, Any], is_known: bool
) -> None:
    parameters = {"signal_to_noise": 20.0, "theta_E": 1.2}
    samples = ordering.sample(2, parameters=parameters, **asked)
    assert samples.parameters["theta_E"].tolist() == [1.2, 1.2]
    expected = [20.0, 20.0] if is_known else [np.nan, np.nan]
    assert np.array_equal(samples.parameters["signal_to_noise"], expected, equal_nan=True)
    assert samples.parameters["background_rms"][0] == asked.get("sky_rms", 0.1)
    assert samples.header.flux_unit == asked.get("flux_unit", "e-/s")


def test_noise_changes_neither_lens_nor_order(ordering: LensGenerator) -> None:
    plain, deep = ordering.sample(3, seed=1), ordering.sample(3, seed=1, sky_rms=0.0)
    assert np.array_equal(plain.noise_free, deep.noise_free)
    assert np.array_equal(deep.images, deep.noise_free)
    assert (plain.images - plain.noise_free).std() == pytest.approx(0.1, rel=0.2)
