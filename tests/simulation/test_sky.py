"""Correlated noise: its variance and correlation are those that were asked for."""

import math
from dataclasses import replace

import numpy as np
import pytest

from gravlensdiffusion.codec import from_json, to_json
from gravlensdiffusion.config.instrument import (
    Camera,
    Depth,
    Imaging,
    NoiseLevel,
    ObservationConfig,
    SkyCorrelation,
)
from gravlensdiffusion.config.priors import Constant, Uniform
from gravlensdiffusion.config.simulation import SimulationConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.presets.simulation import (
    ACS_F814W,
    EUCLID_VIS,
    WFC3_F140W,
    simulation_preset,
)
from gravlensdiffusion.sets.flux import weights
from gravlensdiffusion.simulation.generate import set_header, simulate_one
from gravlensdiffusion.simulation.instrument import build_instrument
from gravlensdiffusion.simulation.observe import draw_noise, observe

TABLE = ((1.0, 0.37, 0.038), (0.37, 0.148, 0.021), (0.038, 0.021, 0.009))
CORRELATION = SkyCorrelation(table=TABLE)
NATIVE, RMS = 24, 0.3


def true_covariance(num=NATIVE):
    """Return the covariance of all pairs of native pixels, shape ``(num^2, num^2)``."""
    along = np.abs(np.subtract.outer(np.arange(num), np.arange(num)))
    padded = np.zeros((num, num))
    padded[:3, :3] = TABLE
    table = padded[along[:, None, :, None], along[None, :, None, :]]
    return RMS**2 * table.reshape(num**2, num**2)


def moments(noise):
    """Return variance and covariances of neighbours, averaged over the pixels of an image."""
    pairs = (
        (noise, noise),
        (noise[..., 1:], noise[..., :-1]),
        (noise[..., 1:, :], noise[..., :-1, :]),
        (noise[..., 1:, 1:], noise[..., :-1, :-1]),
        (noise[..., 1:, :-1], noise[..., :-1, 1:]),
        (noise[..., 2:], noise[..., :-2]),
        (noise[..., 5:], noise[..., :-5]),
    )
    return np.array([(one * other).mean((-2, -1)) for one, other in pairs])


def expected_moments(covariance, size):
    axis = np.arange(size**2).reshape(size, size)
    pairs = (
        (axis, axis),
        (axis[:, 1:], axis[:, :-1]),
        (axis[1:], axis[:-1]),
        (axis[1:, 1:], axis[:-1, :-1]),
        (axis[1:, :-1], axis[:-1, 1:]),
        (axis[:, 2:], axis[:, :-2]),
        (axis[:, 5:], axis[:, :-5]),
    )
    return np.array([covariance[one, other].mean() for one, other in pairs])


@pytest.mark.parametrize(
    ("size", "method"), [(NATIVE, None), (12, "area"), (16, "area"), (15, "bilinear")]
)
def test_covariances_are_those_of_the_table_after_any_resize(size, method):
    observation = ObservationConfig(
        num_pixels=NATIVE, background_rms=RMS, resize=method, sky_correlation=CORRELATION
    )
    rng = np.random.default_rng(0)
    empty = np.zeros((1, size, size))
    found = np.stack([moments(observe(empty, observation, rng)[0]) for _ in range(1000)], axis=1)
    covariance = true_covariance()
    if method is not None:
        one = weights(NATIVE, size, method) * NATIVE / size
        both = np.kron(one, one)
        covariance = both @ covariance @ both.T
    expected = expected_moments(covariance, size)
    error = found.std(1) / math.sqrt(found.shape[1])
    assert (np.abs(found.mean(1) - expected) < 4.5 * error).all()
    assert (error < 0.015 * expected[0]).all()


def test_the_edges_of_an_image_are_independent():
    rng, level = np.random.default_rng(1), NoiseLevel(background_rms=1.0)
    noise = np.stack([draw_noise(np.zeros((8, 8)), level, rng, CORRELATION) for _ in range(2000)])
    # On a grid of the image's own size, opposite edges would be neighbours.
    for one, other in ((noise[:, 0], noise[:, -1]), (noise[:, :, 0], noise[:, :, -1])):
        assert abs((one * other).mean()) < 5 / math.sqrt(one.size)


def test_photons_of_a_large_area_add_up_whatever_the_correlation():
    rng = np.random.default_rng(2)
    flux, level = np.full((32, 32), 0.4), NoiseLevel(background_rms=0.0, exposure_time=500.0)
    noise = np.stack([draw_noise(flux, level, rng, CORRELATION) for _ in range(1000)])
    single = 0.4 / 500 / CORRELATION.total
    assert noise.var() == pytest.approx(single, rel=0.02)
    inner = noise[:, 8:24, 8:24].sum((1, 2))
    outside = noise.sum((1, 2)).var() / flux.size
    # At the edge of the image pixels lack neighbours: a little less than all photons.
    assert 0.9 * 0.4 / 500 < outside < 0.4 / 500 * 1.05
    assert inner.var() == pytest.approx(0.4 / 500 * 256, rel=0.2)


def test_without_a_correlation_the_noise_is_the_white_noise_of_before():
    image = np.linspace(-0.1, 1, 64).reshape(8, 8)
    level = NoiseLevel(background_rms=0.1, exposure_time=300.0)
    ours = draw_noise(image, level, np.random.default_rng(3))
    white = np.random.default_rng(3).standard_normal((8, 8))
    expected = np.sqrt(0.1**2 + np.maximum(image, 0) / 300.0) * white
    np.testing.assert_array_equal(ours, expected)


def test_images_of_an_instrument_have_its_correlation():
    camera = Camera(
        pixel_scale=0.05,
        psf_fwhm=0.1,
        zero_point=25.0,
        background_rms=RMS,
        sky_correlation=CORRELATION,
    )
    instrument = build_instrument(Imaging(instrument=camera, num_pixels=NATIVE))
    rng = np.random.default_rng(4)
    level = instrument.draw_noise_level(rng)
    empty = np.zeros((NATIVE, NATIVE))
    noise = np.stack([instrument.observe(empty, level, rng) for _ in range(400)])
    assert moments(noise).mean(1)[1] / RMS**2 == pytest.approx(0.37, abs=0.01)
    # The simulator's noise and that on samples are the same.
    observation = ObservationConfig(
        num_pixels=NATIVE, background_rms=RMS, sky_correlation=CORRELATION
    )
    one = observe(empty[None], observation, np.random.default_rng(5))[0]
    other = instrument.observe(empty, level, np.random.default_rng(5))
    np.testing.assert_array_equal(one, other)


def test_depths_come_in_their_shares_with_their_exposures():
    camera = Camera(
        pixel_scale=0.05,
        psf_fwhm=0.1,
        zero_point=25.0,
        background_rms=0.02,
        exposure_time=Constant(value=400.0),
        other_depths=(
            Depth(share=0.3, background_rms=Uniform(low=0.005, high=0.006)),
            Depth(share=0.2, background_rms=0.01, exposure_time=Constant(value=900.0)),
        ),
    )
    instrument = build_instrument(Imaging(instrument=camera, num_pixels=16))
    rng = np.random.default_rng(6)
    drawn = [instrument.draw_noise_level(rng) for _ in range(2000)]
    times = [each.exposure_time for each in drawn]
    for time, share in ((400.0, 0.5), (900.0, 0.2), (None, 0.3)):
        error = math.sqrt(share * (1 - share) / 2000)
        assert times.count(time) / 2000 == pytest.approx(share, abs=4.5 * error)
    deep = [each.background_rms for each in drawn if each.exposure_time is None]
    assert 0.005 <= min(deep) < max(deep) <= 0.006
    with pytest.raises(GravLensError, match="shares"):
        replace(camera, other_depths=(Depth(share=0.6, background_rms=0.1),) * 2)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ((), "square"),
        (((1.0, 0.2),), "square"),
        (((0.9,),), "begin with 1"),
        (((1.0, 0.2), (0.3, 0.1)), "symmetric"),
        (((1.0, 0.6), (0.6, 0.0)), "negative"),
        (((1.0, math.nan), (math.nan, 0.0)), "lie between"),
    ],
)
def test_impossible_correlations_are_refused(table, message):
    with pytest.raises(GravLensError, match=message):
        SkyCorrelation(table=table)


@pytest.mark.parametrize("camera", [ACS_F814W, WFC3_F140W, EUCLID_VIS], ids=["acs", "wfc3", "vis"])
def test_noise_maps_of_presets_would_hold_all_noise_of_an_area(camera):
    # The maps of SLACS and Euclid are larger than the noise of single pixels by this.
    assert 1.3 < math.sqrt(camera.sky_correlation.total) < 2.0


def test_bad_pixels_come_in_their_share_and_look_like_those_beside_them():
    plain = simulation_preset("slacs")
    camera = replace(plain.imaging.instrument, bad_pixels=Constant(value=0.1))
    spoilt = replace(plain, imaging=replace(plain.imaging, instrument=camera))
    assert from_json(SimulationConfig, to_json(spoilt)) == spoilt
    assert "bad_pixels" not in to_json(plain)
    shares, size = [], plain.imaging.num_pixels
    for index in range(4):
        one, other = (simulate_one(config, 1, index) for config in (plain, spoilt))
        changed = one.image != other.image
        shares.append(other.parameters["bad_pixels"])
        assert changed.mean() == pytest.approx(shares[-1], abs=3 / size**2)
        rms = one.parameters["background_rms"]
        edge = changed.copy()
        edge[:, 8:-8, 8:-8] = False
        assert np.median(np.abs(other.image - one.image)[edge]) < 3 * rms
    assert np.mean(shares) == pytest.approx(0.1, abs=0.01)
    assert set_header(spoilt, 1).parameter_units["bad_pixels"] == ""
    with pytest.raises(GravLensError, match="bad_pixels"):
        replace(camera, bad_pixels=Constant(value=0.6))
