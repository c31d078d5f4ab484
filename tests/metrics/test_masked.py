"""Pixels that were not observed count in no statistic."""

import numpy as np
import pytest

from gravlensdiffusion.metrics.morphology import asymmetry
from gravlensdiffusion.metrics.physics import measure, power_spectrum, radial_profile
from gravlensdiffusion.metrics.sky import measure_sky
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.generate import select
from gravlensdiffusion.simulation.simulated_set import simulate

SIZE = 64


@pytest.fixture(scope="module")
def lenses():
    """Lenses and pixels of theirs that are masked: a strip, a corner, and some anywhere."""
    config = select(
        simulation_preset("deeplense"), classes=("no_sub",), size=SIZE, flux_unit="e-/s"
    )
    images = simulate(config, 12, seed=3).read(range(12))[:, 0]
    masked = np.random.default_rng(0).uniform(size=images.shape) < 0.02
    masked[:, :16, :20] = True
    masked[4:8, :, 45:48] = True
    return images, masked


def all_of(images, masked):
    return {
        **measure(images, 0.1, masked),
        "profile": radial_profile(images, 0.1, masked).values,
        "power": power_spectrum(images, 0.1, masked).values,
    }


def test_nothing_depends_on_what_masked_pixels_hold(lenses):
    images, masked = lenses
    once = all_of(images, masked)
    spoilt = np.where(masked, np.float32(37), images)
    for name, values in all_of(spoilt, masked).items():
        np.testing.assert_allclose(values, once[name], rtol=1e-6, err_msg=name)


def test_without_masked_pixels_all_is_as_it_was(lenses):
    images, masked = lenses
    for name, values in all_of(images, np.zeros_like(masked)).items():
        np.testing.assert_array_equal(values, all_of(images, None)[name], err_msg=name)


def test_what_is_left_tells_nearly_the_same(lenses):
    images, masked = lenses
    whole, part = all_of(images, None), all_of(images, masked)
    off = {name: np.nanmedian(np.abs(part[name] / whole[name] - 1)) for name in whole}
    for name, most in {
        "sky_rms": 0.05,
        "einstein_radius": 0.03,
        "maximum": 0.03,
        "gini": 0.05,
        "profile": 0.05,
    }.items():
        assert off[name] < most, (name, off[name])
    shift = np.abs(part["sky_level"] - whole["sky_level"]) / whole["sky_rms"]
    assert np.median(shift) < 0.1
    filled = np.where(masked, np.median(images), images)
    # Filled with the median, sky that is masked would count as sky without noise.
    assert np.median(measure(filled, 0.1)["sky_rms"] / whole["sky_rms"]) < 0.95


def test_a_masked_corner_leaves_the_noise_of_the_others():
    rng = np.random.default_rng(1)
    noise = rng.normal(0.3, 0.1, (200, 48, 48)).astype(np.float32)
    masked = np.zeros(noise.shape, bool)
    masked[:, :20, :20] = True
    masked |= rng.uniform(size=noise.shape) < 0.1
    sky = measure_sky(np.where(masked, 0, noise), masked)
    num = measure_sky(noise)
    assert sky.rms.mean() == pytest.approx(0.1, rel=0.01)
    assert sky.level.mean() == pytest.approx(0.3, abs=0.002)
    assert sky.whiteness.mean() == pytest.approx(0, abs=0.01)
    assert sky.rms.std() < 1.6 * num.rms.std()
    power = power_spectrum(np.where(masked, 0, noise), None, masked).values.mean()
    assert power == pytest.approx(0.1**2, rel=0.02)


def test_opposites_of_masked_pixels_do_not_count_as_asymmetric():
    y, x = np.indices((33, 33)) - 16.0
    flux = np.exp(-(x**2 + y**2) / 40)[None]
    masked = np.zeros(flux.shape, bool)
    masked[0, 10:14, 18:25] = True
    nothing = np.zeros(1)
    assert asymmetry(np.where(masked, 0, flux), nothing, masked)[0] == pytest.approx(0, abs=1e-12)
    assert asymmetry(np.where(masked, 0, flux), nothing)[0] > 0.05
