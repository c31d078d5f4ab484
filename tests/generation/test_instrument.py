"""Noise of the instrument on the images of a model, and their scale."""

from dataclasses import replace

import numpy as np
import pytest

from gravlensdiffusion.config.model import ObservationConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.instrument import Observer, Observing
from tests.models import LEARNED, ORDERED, SKY

DARK = np.zeros((300, 1, 8, 8), dtype=np.float32)


def lenses(num: int = 5) -> np.ndarray:
    """Return images as a network leaves them: some pixels below zero, no two images alike."""
    random = np.random.default_rng(0)
    return random.normal(0.5, 1.0, (num, 1, 8, 8)).astype(np.float32)


def noise(observing: Observing, flux: np.ndarray, sky: ObservationConfig = SKY) -> np.ndarray:
    """Return the noise that an observer adds to images."""
    observer = Observer(replace(ORDERED, observation=sky), observing, "tiny")
    images, clean = observer.take(flux, range(len(flux)), seed=1)
    assert clean is not None
    return images - clean


def test_what_is_cut_off_at_zero_is_counted_and_told_where_it_matters() -> None:
    observer = Observer(ORDERED, Observing(), "tiny")
    flux = np.full((25, 1, 8, 8), 0.5, dtype=np.float32)
    flux[0, 0, :4, :2] = -0.01
    observer.take(flux, range(25), seed=0)
    assert observer.clipping.share == 0.005
    assert observer.clipping.notes() == []
    # Where the zeros can be seen, every one of them is told.
    assert observer.clipping.notes(seen=True)[0].startswith("0.5% of the pixels were below zero")
    flux[0, 0, :4, :2] = -0.3
    observer.take(flux, range(25), seed=0)
    (line,) = observer.clipping.notes()
    assert "the lowest at -0.3, and were set to 0; 0.25% by more than the noise of the sky" in line
    learned = Observer(LEARNED, Observing(), "tiny")
    learned.take(flux, range(25), seed=0)
    assert learned.clipping.notes(seen=True) == []


@pytest.mark.parametrize(("sky_rms", "expected"), [(None, 0.1), (0.03, 0.03), (2.0, 2.0)])
def test_the_sky_has_the_rms_that_was_asked_for(sky_rms: float | None, expected: float) -> None:
    drawn = noise(Observing(sky_rms=sky_rms), DARK)
    # 19,200 pixels: the rms scatters by half a per cent.
    assert drawn.std() == pytest.approx(expected, rel=0.02)
    assert drawn.mean() == pytest.approx(0, abs=0.03 * expected)


@pytest.mark.parametrize(("exposure_s", "expected"), [(None, 0.1), (100.0, 0.2), (25.0, 0.4)])
def test_the_galaxies_have_the_photon_noise_of_the_exposure(
    exposure_s: float | None, expected: float
) -> None:
    sky = replace(SKY, background_rms=0.0, exposure_time=400.0)
    flux = np.full_like(DARK, 4.0)
    assert noise(Observing(exposure_s=exposure_s), flux, sky).std() == pytest.approx(
        expected, rel=0.02
    )
    # Where there is no light, there is no such noise.
    assert not noise(Observing(exposure_s=exposure_s), DARK, sky).any()


def test_a_set_without_photon_noise_can_be_given_some() -> None:
    sky = replace(SKY, background_rms=0.0)
    flux = np.full_like(DARK, 4.0)
    assert not noise(Observing(), flux, sky).any()
    assert noise(Observing(exposure_s=100.0), flux, sky).std() == pytest.approx(0.2, rel=0.02)


def test_a_smaller_model_gets_the_noise_of_the_reduced_native_image() -> None:
    sky = ObservationConfig(num_pixels=16, background_rms=0.1, resize="area")
    # A pixel of the image holds the flux of four native pixels, and their noise.
    assert noise(Observing(), DARK, sky).std() == pytest.approx(0.2, rel=0.02)


def test_what_is_known_of_the_noise() -> None:
    plain = Observer(ORDERED, Observing(), "tiny")
    assert plain.is_as_trained
    assert plain.values == {"background_rms": 0.1}
    assert plain.flux_unit == "e-/s"
    deeper = Observer(ORDERED, Observing(exposure_s=500.0, sky_rms=0.02), "tiny")
    assert not deeper.is_as_trained
    assert deeper.values == {"background_rms": 0.02, "exposure_time": 500.0}
    assert Observer(ORDERED, Observing(sky_rms=0.1, flux_unit="peak"), "tiny").is_as_trained
    learned = Observer(LEARNED, Observing(), "tiny")
    assert learned.is_as_trained
    assert learned.values == {}


def test_noise_of_image_k_depends_on_seed_and_k_alone() -> None:
    observer = Observer(ORDERED, Observing(), "tiny")
    flux = lenses(6)
    whole, _ = observer.take(flux, range(6), seed=3)
    part, _ = observer.take(flux[[4, 1]], [4, 1], seed=3)
    assert np.array_equal(part, whole[[4, 1]])
    other, _ = observer.take(flux, range(6), seed=4)
    assert not np.isclose(other, whole).any(axis=(1, 2, 3)).all()
    same_lens = np.repeat(flux[:1], 2, axis=0)
    one, two = observer.take(same_lens, [0, 1], seed=3)[0]
    assert np.abs(one - two).max() > 0.05


def test_no_lens_is_darker_than_the_sky() -> None:
    flux = lenses()
    before = flux.copy()
    images, clean = Observer(ORDERED, Observing(), "tiny").take(flux, range(5), seed=0)
    assert clean is not None
    assert np.array_equal(flux, before)
    assert flux.min() < -0.1
    assert np.array_equal(clean, np.where(flux > 0, flux, 0))
    assert images.dtype == clean.dtype == np.float32
    assert images.shape == clean.shape == flux.shape


def test_images_of_a_model_with_noise_of_its_own_stay_as_they_are() -> None:
    flux = lenses()
    images, clean = Observer(LEARNED, Observing(), "tiny").take(flux, range(5), seed=0)
    assert np.array_equal(images, flux)
    assert clean is None


@pytest.mark.parametrize("config", [ORDERED, LEARNED], ids=["split", "learned"])
def test_peak_scales_each_image_and_its_twin_alike(config: object) -> None:
    flux = lenses()
    images, clean = Observer(config, Observing(), "tiny").take(flux, range(5), seed=0)
    observer = Observer(config, Observing(flux_unit="peak"), "tiny")
    scaled, scaled_clean = observer.take(flux, range(5), seed=0)
    assert observer.flux_unit == "peak"
    assert scaled.dtype == np.float32
    low, high = images.min((1, 2, 3)), images.max((1, 2, 3))
    for k in range(5):
        assert (scaled[k].min(), scaled[k].max()) == (0, 1)
        line = np.polynomial.Polynomial([-low[k], 1]) / (high[k] - low[k])
        np.testing.assert_allclose(scaled[k], line(images[k]), atol=1e-6)
        if clean is not None:
            np.testing.assert_allclose(scaled_clean[k], line(clean[k]), atol=1e-6)
    assert (scaled_clean is None) == (clean is None)


def test_peak_of_peak_and_of_a_constant_image_change_nothing() -> None:
    flux = lenses()
    peaks = replace(LEARNED, flux_unit="peak")
    images, _ = Observer(peaks, Observing(flux_unit="peak"), "tiny").take(flux, range(5), seed=0)
    assert np.array_equal(images, flux)
    even, _ = Observer(LEARNED, Observing(flux_unit="peak"), "tiny").take(DARK, range(300), seed=0)
    assert not even.any()


@pytest.mark.parametrize(
    ("config", "observing", "message"),
    [
        (LEARNED, Observing(sky_rms=0.1), "'tiny' has learned its noise with its lenses"),
        (LEARNED, Observing(exposure_s=100.0), "exposure and sky rms cannot be ordered"),
        (ORDERED, Observing(exposure_s=0.0), "exposure_time must be positive, got 0"),
        (ORDERED, Observing(sky_rms=-0.1), "background_rms must not be negative, got -0.1"),
    ],
)
def test_noise_that_cannot_be(config: object, observing: Observing, message: str) -> None:
    with pytest.raises(GravLensError, match=message):
        Observer(config, observing, "tiny")
