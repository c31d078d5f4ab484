import math
from dataclasses import replace

import numpy as np
import pytest
from lenstronomy.SimulationAPI.observation_api import SingleBand
from lenstronomy.SimulationAPI.ObservationConfig.Euclid import Euclid
from lenstronomy.SimulationAPI.ObservationConfig.HST import HST

from gravlensdiffusion.config.instrument import Camera, Imaging, NoiseLevel, Telescope
from gravlensdiffusion.config.priors import Constant, LogUniform, Uniform
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.simulation.instrument import build_instrument

CAMERA = Camera(pixel_scale=0.05, psf_fwhm=0.087, zero_point=25.0, background_rms=0.01)


def instrument_of(chosen, num_pixels=100):
    return build_instrument(Imaging(instrument=chosen, num_pixels=num_pixels))


@pytest.mark.parametrize(
    ("chosen", "settings"),
    [
        (Telescope(name="Euclid", band="VIS"), Euclid(band="VIS").kwargs_single_band()),
        (
            Telescope(name="HST", band="WFC3_F160W"),
            HST(band="WFC3_F160W", psf_type="GAUSSIAN").kwargs_single_band(),
        ),
    ],
    ids=["Euclid", "HST"],
)
def test_telescopes_are_lenstronomys(chosen, settings):
    instrument, band = instrument_of(chosen), SingleBand(**settings)
    assert instrument.camera.pixel_scale == settings["pixel_scale"]
    assert instrument.psf_fwhm == settings["seeing"]
    assert instrument.counts(23.0) == pytest.approx(band.magnitude2cps(23.0))
    image = np.linspace(0, 5, 10000).reshape(100, 100)
    level = instrument.draw_noise_level(np.random.default_rng(0))
    ours = instrument.noise_std(image, level)
    np.testing.assert_allclose(ours, band.estimate_noise(image), rtol=1e-12)


def test_noise_variance_is_that_of_sky_and_photons():
    camera = Camera(
        pixel_scale=0.05,
        psf_fwhm=0.087,
        zero_point=25.0,
        background_rms=0.01,
        exposure_time=Constant(value=1000.0),
    )
    instrument = instrument_of(camera)
    image = np.full((100, 100), 0.3)
    rng = np.random.default_rng(2)
    level = instrument.draw_noise_level(rng)
    noise = np.stack([instrument.observe(image, level, rng) - image for _ in range(40)])
    variance = 0.01**2 + 0.3 / 1000
    assert noise.var() == pytest.approx(variance, rel=5 * math.sqrt(2 / noise.size))
    assert noise.mean() == pytest.approx(0, abs=5 * math.sqrt(variance / noise.size))


def test_noise_is_white():
    instrument = instrument_of(CAMERA)
    level = NoiseLevel(background_rms=0.01)
    noise = instrument.observe(np.zeros((100, 100)), level, np.random.default_rng(2))
    for step in ((0, 1), (1, 0), (1, 1)):
        correlation = np.corrcoef(noise.ravel(), np.roll(noise, step, (0, 1)).ravel())[0, 1]
        assert abs(correlation) < 0.05


def test_camera_without_exposure_time_has_sky_noise_only():
    instrument = instrument_of(CAMERA)
    level = instrument.draw_noise_level(np.random.default_rng(0))
    assert level == NoiseLevel(background_rms=0.01)
    np.testing.assert_array_equal(instrument.noise_std(np.ones((4, 4)), level), 0.01)


def test_sky_noise_can_be_drawn_for_each_image():
    camera = replace(CAMERA, background_rms=LogUniform(low=0.001, high=0.1))
    instrument, rng = instrument_of(camera), np.random.default_rng(1)
    drawn = np.log10([instrument.draw_noise_level(rng).background_rms for _ in range(2000)])
    assert drawn.min() > -3
    assert drawn.max() < -1
    assert drawn.mean() == pytest.approx(-2, abs=5 * 2 / math.sqrt(12 * 2000))


def test_signal_to_noise_adds_up_in_quadrature():
    image = np.zeros((100, 100))
    image[:10, :10] = 0.05
    level = NoiseLevel(background_rms=0.01)
    instrument = instrument_of(CAMERA)
    # 100 pixels of 5 sigma each.
    assert instrument.signal_to_noise(image, level) == pytest.approx(50)
    noiseless = NoiseLevel(background_rms=0.0)
    assert math.isnan(instrument.signal_to_noise(image, noiseless))


def test_grid_is_centred_on_the_image():
    x, y = instrument_of(CAMERA, num_pixels=9).numerics.coordinates_evaluate
    assert x.reshape(9, 9)[4, 4] == pytest.approx(0, abs=1e-12)
    assert x.reshape(9, 9)[0, 0] == pytest.approx(-0.2)
    # x runs along the columns and y along the rows.
    assert y.reshape(9, 9)[8, 0] == pytest.approx(0.2)


def test_zero_point_is_the_magnitude_of_one_electron_per_second():
    assert instrument_of(CAMERA).counts(25.0) == 1.0
    assert instrument_of(CAMERA).counts(22.5) == pytest.approx(10.0)


def test_unknown_band_is_refused_by_name():
    with pytest.raises(GravLensError, match=r"Euclid has no band 'g'; choose from VIS, Y, J, H"):
        instrument_of(Telescope(name="Euclid", band="g"))


@pytest.mark.parametrize(
    "changes",
    [
        {"pixel_scale": 0.0},
        {"psf_fwhm": -1.0},
        {"background_rms": -0.1},
        {"background_rms": Uniform(low=-1, high=1)},
        {"exposure_time": Uniform(low=-1, high=1)},
    ],
)
def test_impossible_cameras_are_refused(changes):
    values = {"pixel_scale": 0.05, "psf_fwhm": 0.1, "zero_point": 25.0, "background_rms": 0.0}
    with pytest.raises(GravLensError):
        Camera(**(values | changes))
